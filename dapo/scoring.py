"""Log-probabilities of a batch's completion tokens under one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from dapo.batches import Batch
from dapo.core.linear_logprobs import linear_logprobs
from dapo.core.logprobs import token_logprobs

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

    def __init__(self, model: PreTrainedModel, temperature: float) -> None:
        """Call this, and what it makes, in the autocast region that the model computes in."""
        self.model, self.temperature = model, temperature
        self.head = linear_head(model)
        """The output layer; None where logits are more than its product with the hidden states."""

    @property
    def note(self) -> str | None:
        """What the user should know of how this model is scored."""
        if self.head is not None:
            return None
        vocabulary = self.model.config.get_text_config().vocab_size
        return (
            f"{type(self.model).__name__} does more with its hidden states than multiply them by its output "
            f"layer: the logits of whole batches are held, {vocabulary:,} for each token; lower "
            "learner.tokens_per_batch if memory is short"
        )

    def __call__(self, batch: Batch, entropies: bool) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities [N] of the batch's targets, and their entropies [N] if asked for."""
        device = self.model.device
        inputs: dict[str, Any] = {"input_ids": batch.input_ids.to(device), "use_cache": False}
        if batch.position_ids is not None:
            inputs["position_ids"] = batch.position_ids.to(device)
        rows, columns, targets = (index.to(device) for index in (batch.rows, batch.columns, batch.targets))
        if self.head is not None:
            hidden = self.model.get_decoder()(**inputs).last_hidden_state[rows, columns]
            weight, bias = self.head.weight, self.head.bias
            return linear_logprobs(hidden, weight, targets, self.temperature, bias=bias, entropies=entropies)
        logits = self.model(**inputs, logits_to_keep=batch.logits_to_keep).logits
        predicting = logits[rows, columns - (batch.input_ids.shape[1] - logits.shape[1])]
        logprobs, entropy = token_logprobs(predicting, targets, self.temperature)
        return logprobs, entropy if entropies else None


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
