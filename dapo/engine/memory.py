"""How many sequences fit into memory side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dapo.engine.decoder import Context

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST = 256
"""More in flight at once hardly decode faster, and the last of a step wait longer for each other."""
SHARE = {"cuda": 0.6, "cpu": 0.3, "mps": 0.3}
"""Share of the memory that the cache may have: of what is free on a GPU, of all on other devices."""


def slots_for(model: PreTrainedModel, context: Context, sequence_tokens: int | None) -> int:
    """As many sequences as fit into their share of the memory, at least 1 and at most `MOST`."""
    limit: int = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 4096
    per_sequence = bytes_per_token(model, context) * min(limit, sequence_tokens or limit)
    device = model.device.type
    return max(1, min(MOST, int(SHARE.get(device, 0.3) * _memory(model.device)) // per_sequence))


@torch.inference_mode()
def bytes_per_token(model: PreTrainedModel, context: Context) -> int:
    """What the keys and values of a token take, in all layers, as the model itself writes them."""
    ids = torch.zeros((1, 2), dtype=torch.int64, device=model.device)
    with context():
        output = model(input_ids=ids, use_cache=True, logits_to_keep=1)
    cache: Any = getattr(output, "past_key_values", None)  # state-space models have another
    layers = [] if cache is None else [x for x in cache.layers if getattr(x, "keys", None) is not None]
    held: list[Tensor] = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
    return max(1, sum(tensor.nbytes // tensor.shape[-2] for tensor in held if tensor.numel()))


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), _container_limit())


def _container_limit() -> int:
    """What a container allows, in bytes; no limit where there is none."""
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text().strip() if path.is_file() else "max"
    return int(text) if text.isdigit() else 1 << 62
