"""Which decoder serves a model: the fastest whose logits are those of the model's own forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dapo.engine.decoder import Context, Decoder, New
from dapo.engine.fused import FusedDecoder
from dapo.engine.slotted import SlottedDecoder
from dapo.engine.waves import WaveDecoder
from dapo.engine.weights import FusedWeights
from dapo.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Make = Callable[[int], Decoder]
"""Makes a decoder with so many slots."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""Largest mean difference between logits, in standard deviations of the logits. Rounding makes a hundredth
of it in float32, up to a quarter in bfloat16; a mask or position that is off by one makes more than all."""
GARBAGE = 0.5
"""The same for the last choice, behind which there is none: refused is only what is no rounding at all."""


def choose(
    model: PreTrainedModel, context: Context, pad_id: int, prefill_tokens: int, cuda_graphs: bool
) -> tuple[Make, list[str]]:
    """How to decode this model, and what there is to say about it where it is not the fastest way.

    Raises UserError where no way gives the model's own logits.
    """
    dtype = compute_dtype(model, context)

    def fused(slots: int) -> Decoder:
        return FusedDecoder(FusedWeights(model, dtype), slots, prefill_tokens, cuda_graphs)

    def slotted(slots: int) -> Decoder:
        return SlottedDecoder(model, context, slots, prefill_tokens)

    def waves(slots: int) -> Decoder:
        return WaveDecoder(model, context, slots, pad_id)

    no_fused = problem(fused, model, context, TOLERANCE[dtype])
    if no_fused is None:
        return fused, []
    no_slots = problem(slotted, model, context, TOLERANCE[dtype])
    if no_slots is None:
        return slotted, [f"the sampler runs the model's own modules, which is slower: {no_fused}"]
    no_waves = problem(waves, model, context, GARBAGE)
    if no_waves is None:
        return waves, [f"the sampler works batch by batch, which is slow: {no_slots}"]
    raise UserError(
        f"{type(model).__name__} cannot be sampled from: with its cache, {no_waves}; "
        "choose another model, or another version of transformers"
    )


@torch.inference_mode()
def compute_dtype(model: PreTrainedModel, context: Context) -> torch.dtype:
    """What products are computed in inside `context`."""
    one = torch.ones(1, 1, device=model.device)
    with context():
        return torch.nn.functional.linear(one, one).dtype


def problem(make: Make, model: PreTrainedModel, context: Context, tolerance: float) -> str | None:
    """Why this decoder does not serve the model, None if it does: asked by trying it."""
    try:
        difference = _probe(make, model, context)
    except (ValueError, TypeError, RuntimeError, AttributeError, IndexError, KeyError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    if difference > tolerance:
        return f"its logits differ from the model's own, by {difference:.2g} standard deviations"
    return None


@torch.inference_mode()
def _probe(make: Make, model: PreTrainedModel, context: Context) -> float:
    """How far a decoder's logits are from those of the model's forward pass over the whole sequences.

    Two beginnings of different length, one of them shared, decode side by side; then one row ends.
    """
    decoder = make(4)
    decoder.open()
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = [(7 * place + 3) % vocabulary for place in range(16)]
    rows = [ids[:5], ids[:5], ids[3:11]]
    new = [New(rows[0], 2), New(rows[2], 1)]
    worst, tokens = 0.0, torch.empty(0, dtype=torch.int64)
    for tick in range(4):
        logits = decoder.step(tokens, new if tick == 0 else [], 16)
        worst = max(worst, *(_distance(logits[i], model, context, row) for i, row in enumerate(rows)))
        if tick == 1:
            rows = [rows[i] for i in decoder.drop([0])]
        tokens = torch.tensor([ids[(5 * tick + place) % 16] for place in range(len(rows))])
        rows = [[*row, int(token)] for row, token in zip(rows, tokens, strict=True)]
    decoder.close()
    return worst


def _distance(logits: Tensor, model: PreTrainedModel, context: Context, ids: list[int]) -> float:
    with context():
        expected = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1]
    return float((logits.float() - expected.float()).abs().mean() / (expected.float().std() + 1e-9))
