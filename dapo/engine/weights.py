"""A compute copy of the weights of Llama's relatives, laid out for few and large products.

Queries, keys and values of a layer are one matrix, and so are gate and up. Matrices are transposed, which
products with few rows like better (measured on CPUs: up to 1.5 times as fast with 8 rows, the same with 128).
The two halves of a head that the rotary embedding turns against each other lie side by side, so that turning
them is one complex product. The embedding and, in float32, the head are the model's own memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FAMILY = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_ROPES = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles depend on the position alone, and not on the length of the sequence."""


@dataclass
class LayerWeights:
    """One layer. Products are x @ weight + bias; a bias is None where the model has none."""

    norm_in: Tensor
    """[hidden], times the root of its size, in float32."""
    qkv: Tensor
    """[hidden, (heads + 2 key-value heads) * dimension]."""
    qkv_bias: Tensor | None
    norm_q: Tensor | None
    """[dimension], Qwen3's."""
    norm_k: Tensor | None
    out: Tensor
    """[heads * dimension, hidden]."""
    out_bias: Tensor | None
    norm_mid: Tensor
    gate_up: Tensor
    """[hidden, 2 * feed forward]."""
    gate_up_bias: Tensor | None
    down: Tensor
    """[feed forward, hidden]."""
    down_bias: Tensor | None


class FusedWeights:
    """The weights of a model as they were when `refresh` was called last."""

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        """Raises ValueError where the model is none of the family, or has parts that this does not know."""
        problem = why_not(model)
        if problem:
            raise ValueError(problem)
        self._model, self.dtype = model, dtype
        config: Any = model.config
        attention: Any = model.model.layers[0].self_attn
        self.heads: int = config.num_attention_heads
        self.key_value_heads: int = config.num_key_value_heads
        self.dimension: int = attention.head_dim
        self.epsilon: float = config.rms_norm_eps
        self.depth: int = config.num_hidden_layers
        self.norm_floor = torch.tensor(math.sqrt(config.hidden_size * self.epsilon), device=model.device)
        """What keeps the norm of nothing from being divided by."""
        self.device = model.device
        self.layers: list[LayerWeights] = []
        self.embedding = self.norm = self.head = torch.empty(0)
        self.head_bias: Tensor | None = None

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the model's weights, into the memory of those that were there, layer by layer."""
        body: Any = self._model.model
        head: Any = self._model.lm_head
        if self.layers:
            for old, layer in zip(self.layers, body.layers, strict=True):
                _overwrite(old, self._layer(layer))
        else:
            self.layers = [self._layer(layer) for layer in body.layers]
        self.embedding = body.embed_tokens.weight.detach()
        self.norm = self._scaled(body.norm)
        self.head = self._cast(head.weight)
        self.head_bias = None if head.bias is None else self._cast(head.bias)

    @torch.no_grad()
    def rotations(self, positions: int) -> Tensor:
        """Complex [positions, dimension / 2]: the turn of each pair of a head, scaled as the model does."""
        body: Any = self._model.model
        places = torch.arange(positions, device=self._model.device).unsqueeze(0)
        cos, sin = body.rotary_emb(body.norm.weight.float(), places)
        half = self.dimension // 2
        return torch.complex(cos[0, :, :half].float(), sin[0, :, :half].float())

    def _layer(self, layer: Any) -> LayerWeights:
        attention, mlp = layer.self_attn, layer.mlp
        turned = [(attention.q_proj, self.heads), (attention.k_proj, self.key_value_heads)]
        qkv = [self._side_by_side(module.weight, count) for module, count in turned]
        norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        norm_q, norm_k = (None if n is None else self._side_by_side(n.weight, 1) for n in norms)
        bias = None
        if attention.q_proj.bias is not None:
            parts = [self._side_by_side(module.bias, count) for module, count in turned]
            bias = self._cast(torch.cat([*parts, attention.v_proj.bias]))
        gate_up_bias = None
        if mlp.gate_proj.bias is not None:
            gate_up_bias = self._cast(torch.cat([mlp.gate_proj.bias, mlp.up_proj.bias]))
        return LayerWeights(
            norm_in=self._scaled(layer.input_layernorm),
            qkv=self._across(torch.cat([*qkv, attention.v_proj.weight])),
            qkv_bias=bias,
            norm_q=norm_q,
            norm_k=norm_k,
            out=self._across(attention.o_proj.weight),
            out_bias=None if attention.o_proj.bias is None else self._cast(attention.o_proj.bias),
            norm_mid=self._scaled(layer.post_attention_layernorm),
            gate_up=self._across(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])),
            gate_up_bias=gate_up_bias,
            down=self._across(mlp.down_proj.weight),
            down_bias=None if mlp.down_proj.bias is None else self._cast(mlp.down_proj.bias),
        )

    def _side_by_side(self, weight: Tensor, heads: int) -> Tensor:
        """Rows i and i + dimension / 2 of each head become neighbours."""
        halves = weight.detach().reshape(heads, 2, self.dimension // 2, -1)
        return halves.transpose(1, 2).reshape(weight.shape)

    def _scaled(self, norm: Any) -> Tensor:
        weight: Tensor = norm.weight.detach().float()
        return weight * math.sqrt(len(weight))

    def _across(self, weight: Tensor) -> Tensor:
        return self._cast(weight).t().contiguous()

    def _cast(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self.dtype)


def _overwrite(old: LayerWeights, new: LayerWeights) -> None:
    for name, value in vars(new).items():
        if value is not None:
            getattr(old, name).copy_(value)


def why_not(model: PreTrainedModel) -> str | None:
    """Why the fused forward pass does not know this model; None if it does."""
    config: Any = model.config
    if type(model).__name__ not in _FAMILY or not type(model).__module__.startswith("transformers."):
        return f"{type(model).__name__} is not of Llama's family"
    if "sliding_attention" in (getattr(config, "layer_types", None) or []) or (
        type(model).__name__ == "MistralForCausalLM" and config.sliding_window is not None
    ):
        return "it attends to a sliding window"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    if rope not in _ROPES:
        return f"its rotary embedding is of the type {rope}"
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if any(type(module) is not nn.Linear for module in linear):
        return "it has linear layers of another kind (adapters, quantisation)"
    return None
