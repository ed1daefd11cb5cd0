"""Log-probabilities of a batch's completion tokens under one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from dapo.core.linear_logprobs import linear_logprobs
from dapo.core.logprobs import token_logprobs
from dapo.engine.choice import TOLERANCE
from dapo.learning.batches import Batch, Layout, collate
from dapo.learning.shared_attention import sharing
from dapo.types import Sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE_TOKENS = 8
PROBE_LOGIT = 100.0
"""Size of the probe's largest logit: a cap that spares the logits of a model not yet trained shows here."""


class Scorer:
    """Scores completion tokens under one model, at the temperature they were sampled at.

    Where a model's logits are the product of its hidden states with its head and no more, only those that
    predict a wanted token are computed, a block at a time (`linear_logprobs`). Of other models all logits
    of a batch are computed.
    """

    def __init__(self, model: PreTrainedModel, temperature: float, share_prompts: bool = True) -> None:
        """Call this, and what it makes, in the autocast region that the model computes in."""
        self.model, self.temperature = model, temperature
        self.head = linear_head(model)
        """The output layer; None where logits are more than its product with the hidden states."""
        self._wanted: Layout = "shared" if share_prompts else "padded"
        self.layout: Layout = self._wanted if not share_prompts or shares_prompts(model) else "padded"
        """How batches have to be laid out."""

    @property
    def notes(self) -> list[str]:
        """What the user should know of how this model is scored."""
        name, notes = type(self.model).__name__, []
        if self.head is None:
            vocabulary = self.model.config.get_text_config().vocab_size
            notes.append(
                f"{name} does more with its hidden states than multiply them by its output layer: the logits "
                f"of whole batches are held, {vocabulary:,} for each token; lower learner.tokens_per_batch "
                "if memory is short"
            )
        if self.layout != self._wanted:
            notes.append(
                f"the learner reads each completion of {name} with a prompt of its own and padding, which is "
                "slower: its layers need every sequence as a row, or another attention than sdpa"
            )
        return notes

    @contextmanager
    def recomputing(self) -> Iterator[None]:
        """In here layers may be computed again in the backward pass, as gradient checkpointing does."""
        with sharing(self.model) if self.layout == "shared" else nullcontext():
            yield

    def __call__(self, batch: Batch, entropies: bool) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities [N] of the batch's targets, and their entropies [N] if asked for."""
        with nullcontext() if batch.shared_rows is None else sharing(self.model):
            return self._score(batch, entropies)

    def _score(self, batch: Batch, entropies: bool) -> tuple[Tensor, Tensor | None]:
        device = self.model.device
        targets = batch.targets.to(device)
        if self.head is not None:
            hidden, weight, bias = _states(self.model, batch), self.head.weight, self.head.bias
            return linear_logprobs(hidden, weight, targets, self.temperature, bias=bias, entropies=entropies)
        kept, place = batch.columns.to(device).unique(return_inverse=True)
        logits = self.model(**_inputs(self.model, batch), logits_to_keep=kept).logits
        predicting = _at(logits, batch.rows.to(device), place)
        logprobs, entropy = token_logprobs(predicting, targets, self.temperature)
        return logprobs, entropy if entropies else None


def _states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Hidden states [N, H] that predict the batch's targets."""
    states: Tensor = model.get_decoder()(**_inputs(model, batch)).last_hidden_state
    return _at(states, batch.rows.to(model.device), batch.columns.to(model.device))


def _at(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """values[rows, columns] of [B, W, D], [N, D].

    A shared prompt's last place is there once for each of its samples. Indexing would add their gradients up
    in any order, and no run would be like another; a lookup adds them in one.
    """
    return embedding(rows * values.shape[1] + columns, values.flatten(0, 1))


def _inputs(model: PreTrainedModel, batch: Batch) -> dict[str, Any]:
    inputs: dict[str, Any] = {"input_ids": batch.input_ids.to(model.device), "use_cache": False}
    if batch.position_ids is not None and batch.shared_rows is not None:
        inputs["position_ids"] = batch.position_ids.to(model.device)
        inputs["shared_rows"] = batch.shared_rows.to(model.device)
    return inputs


@torch.no_grad()
def linear_head(model: PreTrainedModel) -> nn.Linear | None:
    """The output layer of a model whose logits are its product with the decoder's hidden states.

    None for all others: models that cap or scale their logits or states, or whose layer is of another
    kind. Found out by a forward pass over a few tokens, whose hidden states are made so large that even
    a cap shows.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:  # one with an adapter, for example, is more than its weight
        return None
    expected: list[Tensor] = []

    def amplify(decoder: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, dict) and "last_hidden_state" in output:
            hidden = output["last_hidden_state"]
            hidden = hidden * (PROBE_LOGIT / linear(hidden, head.weight).abs().max())
            output["last_hidden_state"] = hidden
            expected.append(linear(hidden, head.weight, head.bias))
        return output

    hook = model.get_decoder().register_forward_hook(amplify)
    try:
        ids = torch.arange(PROBE_TOKENS, device=model.device).remainder(head.out_features).unsqueeze(0)
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    same = len(expected) == 1 and expected[0].shape == logits.shape
    tolerance = PROBE_LOGIT * max(1e-4, 4 * torch.finfo(logits.dtype).eps)
    return head if same and bool((logits - expected[0]).abs().max() < tolerance) else None


@torch.no_grad()
def shares_prompts(model: PreTrainedModel) -> bool:
    """Whether a pass that reads each prompt once gives the hidden states of one that reads whole rows.

    Found out by trying it, on samples of two prompts.
    """
    if model.get_decoder().config._attn_implementation != "sdpa":
        return False
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = [(7 * place + 3) % vocabulary for place in range(24)]
    nothing = torch.empty(0)
    samples = [
        Sample(ids[:prompt], ids[start:stop], nothing, nothing)
        for prompt, start, stop in ((5, 5, 12), (5, 9, 11), (9, 0, 1), (5, 3, 20), (9, 9, 14))
    ]
    padded, shared = (collate(samples, 0, layout) for layout in ("padded", "shared"))
    expected = _states(model, padded)
    try:
        with sharing(model):
            found = _states(model, shared)
    except (ValueError, TypeError, RuntimeError, AttributeError, IndexError, KeyError):
        return False  # whatever a model of another make says of what it does not know
    difference = (found.float() - expected.float()).abs().mean() / (expected.float().std() + 1e-9)
    return bool(difference < TOLERANCE.get(expected.dtype, TOLERANCE[torch.bfloat16]))
