"""Any decoder-only model over slots written in place, through its own modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dapo.engine.cache import SlotCache
from dapo.engine.decoder import Context
from dapo.engine.slots import Read, SlotDecoder, chunks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FULL, SLIDING = "full_attention", "sliding_attention"


class SlottedDecoder(SlotDecoder):
    """See `dapo.engine.decoder.Decoder`.

    The model's attention gets the keys and values of the slots, as its cache, and a mask that says which
    columns of each row are there. Sliding windows are masks as well.
    """

    def __init__(self, model: PreTrainedModel, context: Context, slots: int, prefill_tokens: int) -> None:
        """Raises ValueError where the model's cache is more than keys and values, or takes no such mask."""
        problem = why_not(model)
        if problem:
            raise ValueError(problem)
        self._model, self._context, self._prefill_tokens = model, context, prefill_tokens
        self._layers, shapes, dtype = _shapes(model, context)
        super().__init__(SlotCache(shapes, slots, dtype, model.device), slots, model.device)
        self._kinds = _kinds(model)
        self._additive = model.config._attn_implementation == "eager"
        self._cache: Any = None
        self._window: Any = None

    def _moved(self) -> None:
        from transformers import Cache, DynamicLayer

        from dapo.engine.slot_layers import SlotLayer, Window

        nothing = torch.empty(0, dtype=torch.int64)
        self._window = Window(nothing, nothing, 0)
        parts = [part[0] for part in self.cache.parts]
        pairs = iter(zip(parts[::2], parts[1::2], strict=True))
        layers = [
            SlotLayer(*next(pairs), self._window) if holds else DynamicLayer() for holds in self._layers
        ]
        self._cache = Cache(layers=layers)

    def _compute(self, tokens: Tensor, reads: Sequence[Read]) -> Tensor:
        logits = [self._decode(tokens)] if len(tokens) else []
        logits += [self._read(part) for part in chunks(reads, self._prefill_tokens)]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def _decode(self, tokens: Tensor) -> Tensor:
        """Append a token to each row. Returns logits [rows, V]."""
        lengths = torch.from_numpy(self.lengths[: self.rows]).to(self.device)
        columns = int(self.lengths[: self.rows].max()) + 1
        window = self._window
        window.rows, window.positions = torch.arange(len(tokens), device=self.device), lengths
        window.columns = columns
        with self._context():
            output = self._model(
                input_ids=tokens.unsqueeze(1).to(self.device),
                attention_mask=self._masks(lengths, columns),
                position_ids=lengths.unsqueeze(1),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _masks(self, lengths: Tensor, columns: int) -> Any:
        """[rows, 1, 1, columns]: what each row's new token sees; one for each kind of attention."""
        places = torch.arange(columns, device=self.device)
        seen = places <= lengths.unsqueeze(1)
        window = self._kinds.get(SLIDING)
        near = seen if window is None else seen & (places > lengths.unsqueeze(1) - window)
        masks = {kind: self._mask(near if kind == SLIDING else seen) for kind in self._kinds}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _mask(self, seen: Tensor) -> Tensor:
        mask = seen[:, None, None]
        if not self._additive:
            return mask
        lowest = torch.finfo(torch.float32).min
        return torch.zeros(mask.shape, device=self.device).masked_fill_(~mask, lowest)

    def _read(self, reads: Sequence[Read]) -> Tensor:
        """Read new sequences into their rows. Returns logits [reads, V].

        They are padded on the right, where no earlier token looks.
        """
        from transformers import DynamicCache

        sizes = torch.tensor([len(read.ids) for read in reads])
        width = int(sizes.max())
        ids = torch.zeros((len(reads), width), dtype=torch.int64)
        for place, read in enumerate(reads):
            ids[place, : len(read.ids)] = torch.tensor(read.ids)
        ends, column = (sizes - 1).unique(return_inverse=True)
        cache: Any = DynamicCache()
        with self._context():
            output = self._model(
                input_ids=ids.to(self.device),
                position_ids=torch.arange(width, device=self.device).expand(len(reads), width),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=ends.to(self.device),
            )
        rows = torch.tensor([read.row for read in reads], device=self.device)
        held = [part for layer in _holding(cache.layers) for part in (layer.keys, layer.values)]
        for part, values in zip(self.cache.parts, held, strict=True):
            part[0, rows, :, :width] = values.to(part.dtype)
        logits: Tensor = output.logits[torch.arange(len(reads)), column.to(self.device)].float()
        return logits


def why_not(model: PreTrainedModel) -> str | None:
    """Why the model cannot be decoded over slots; None if it can."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
    if model._is_stateful or not kinds <= {DynamicLayer, DynamicSlidingWindowLayer}:
        return "its cache is more than keys and values"
    if model.config._attn_implementation not in ("sdpa", "eager"):
        return f"attention {model.config._attn_implementation!r} takes no mask by rows (sdpa and eager do)"
    unknown = set(_kinds(model)) - {FULL, SLIDING}
    return f"it has layers of the kind {', '.join(sorted(unknown))}" if unknown else None


def _kinds(model: PreTrainedModel) -> dict[str, int | None]:
    """The kinds of attention in the model's layers, with the tokens a sliding window sees."""
    config: Any = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or [FULL if window is None else SLIDING]
    return {kind: window if kind == SLIDING else None for kind in dict.fromkeys(kinds)}


@torch.inference_mode()
def _shapes(
    model: PreTrainedModel, context: Context
) -> tuple[list[bool], list[tuple[int, int, int]], torch.dtype]:
    """Which layers hold keys and values, the shapes (1, heads, dimension) of these, and their type."""
    from transformers import DynamicCache

    cache: Any = DynamicCache()
    ids = torch.zeros((1, 2), dtype=torch.int64, device=model.device)
    with context():
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    held = [part for layer in _holding(cache.layers) for part in (layer.keys, layer.values)]
    shapes = [(1, part.shape[1], part.shape[3]) for part in held]
    return [bool(_holding([layer])) for layer in cache.layers], shapes, held[0].dtype


def _holding(layers: Sequence[Any]) -> list[Any]:
    """The layers that hold keys; where layers share them, some hold none."""
    return [layer for layer in layers if layer.get_seq_length()]
