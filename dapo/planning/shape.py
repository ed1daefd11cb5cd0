"""What a model consists of, by its config alone: it is built on torch's meta device, without weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dapo.errors import UserError

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder of Llama's kind, dense or with a mixture of experts. Counts are of numbers."""

    name: str
    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_dimension: int
    feed_forward: int
    """Width between gate and down, of a dense layer."""
    vocabulary: int
    parameters: int
    layer_matrices: int
    """Weights of all layers' linear modules, experts excluded."""
    embedding: int
    tied: bool
    """The output layer is the embedding."""
    norms_queries: bool
    """Queries and keys are normalised per head, as in Qwen3."""
    experts: int = 0
    experts_per_token: int = 0
    expert_width: int = 0
    expert_layers: int = 0
    """Layers with a mixture of experts; 0 in a dense model."""
    expert_parameters: int = 0

    @property
    def queries(self) -> int:
        """Numbers of a token's queries in one layer."""
        return self.heads * self.head_dimension

    @property
    def keys(self) -> int:
        """Numbers of a token's keys in one layer; its values are as many."""
        return self.key_value_heads * self.head_dimension

    @property
    def head(self) -> int:
        """Weights of the output layer, also where they are the embedding's."""
        return self.vocabulary * self.hidden

    @property
    def outside(self) -> int:
        """Parameters of no layer: embedding and output layer, mostly."""
        return self.embedding + (0 if self.tied else self.head)

    @property
    def layer_parameters(self) -> float:
        """Of one layer on average."""
        return (self.parameters - self.outside) / self.layers

    @property
    def active(self) -> float:
        """Weights that a token is multiplied by: matrices, the output layer, its share of the experts."""
        share = self.experts_per_token / self.experts if self.experts else 0.0
        return self.layer_matrices + self.head + share * self.expert_parameters


def describe(config: Any) -> ModelShape:
    """The shape of the model that a transformers config describes.

    Raises:
        UserError: for a config that names no sizes a plan could be made from.
    """
    from transformers import AutoModelForCausalLM

    values = config.get_text_config().to_dict()
    missing = [name for name in _NEEDED if not isinstance(values.get(name), int)]
    if missing:
        raise UserError(
            f"model.path: a config of the type {config.model_type!r} cannot be planned: it names no "
            f"{', '.join(missing)}. Decoders with attention (Llama, Qwen, Mistral, Mixtral ...) can."
        )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    named = dict(model.named_parameters())
    layered = {name: weight for name, weight in named.items() if _LAYER.search(name)}
    experts = {name: weight for name, weight in layered.items() if weight.dim() == 3}
    return ModelShape(
        name=type(model).__name__,
        layers=values["num_hidden_layers"],
        hidden=values["hidden_size"],
        heads=values["num_attention_heads"],
        key_value_heads=values.get("num_key_value_heads") or values["num_attention_heads"],
        head_dimension=values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"],
        feed_forward=values.get("intermediate_size") or 4 * values["hidden_size"],
        vocabulary=values["vocab_size"],
        parameters=sum(weight.numel() for weight in named.values()),
        layer_matrices=sum(weight.numel() for weight in layered.values() if weight.dim() == 2),
        embedding=embedding.weight.numel(),
        tied=head is not None and head.weight is embedding.weight,
        norms_queries=any(name.endswith("q_norm.weight") for name in layered),
        **_mixture(values, experts),
    )


def _mixture(values: Mapping[str, Any], experts: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """What `ModelShape` says of experts: the weights [expert, ...] of a layer stand in one tensor."""
    if not experts:
        return {}
    layers = {match[1] for name in experts if (match := _LAYER.search(name))}
    return {
        "experts": next(values[name] for name in _EXPERTS if values.get(name)),
        "experts_per_token": values["num_experts_per_tok"],
        "expert_width": values.get("moe_intermediate_size") or values["intermediate_size"],
        "expert_layers": len(layers),
        "expert_parameters": sum(weight.numel() for weight in experts.values()),
    }
