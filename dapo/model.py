"""Loading and saving of causal language models: weights, tokenizer, precision, device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from dapo.errors import UserError
from dapo.text import TextCodec

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Precision = Literal["float32", "bfloat16"]

BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
"""Of x86 and of ARM, by the names of `torch.cpu.get_capabilities`. One of them is enough."""


class ModelError(UserError):
    """A model that cannot be loaded as it stands. The message names the fix."""


@dataclass(frozen=True)
class ModelSettings:
    """Which model, and how it is held. The weights are always kept in float32."""

    path: str
    """A directory in Hugging Face's format, or a name on the hub."""
    revision: str | None = None
    template: str | None = None
    """Chat template for a base model without one: Jinja text, the path of a .jinja file, or `plain`."""
    precision: Precision = "float32"
    """What products are computed in. `bfloat16` is autocast over the float32 master weights."""
    device: str = "auto"
    attention: str = "sdpa"
    """transformers' attention implementation."""
    gradient_checkpointing: bool = False
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path must name a model directory or a model on the hub")


def resolve_device(name: str) -> torch.device:
    """`auto` is the first of CUDA, MPS and CPU that this machine has."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which forward passes run."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def precision_note(precision: Precision, device: torch.device) -> str | None:
    """A warning where products in this precision are slower than in float32, for want of instructions."""
    if precision == "float32" or device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return None  # older releases of torch cannot tell
    found = torch.cpu.get_capabilities()
    if any(found.get(name) for name in BFLOAT16_INSTRUCTIONS):
        return None
    return (
        "model.precision: bfloat16 is emulated on this CPU, which has no instructions for it "
        f"({', '.join(BFLOAT16_INSTRUCTIONS)}): slower than float32, and no more exact"
    )


def load_codec(settings: ModelSettings) -> TextCodec:
    """The tokenizer and chat template of a model.

    Raises:
        ModelError: if there is no such model, or it has no tokenizer.
    """
    from transformers import AutoTokenizer

    _check_directory(settings.path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            settings.path, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"model.path: no tokenizer could be loaded from {settings.path!r} ({_first_line(error)}). "
            "Save one beside the weights with tokenizer.save_pretrained(directory), "
            "or name a model that has one."
        ) from error
    return TextCodec(tokenizer, settings.template, _generation_eos_ids(settings))


def load_model(settings: ModelSettings) -> PreTrainedModel:
    """The weights in float32 on the device of `settings`, without dropout, in evaluation mode.

    Raises:
        ModelError: if there is no such model, or its weights cannot be read.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would break into the run's own view
    _check_directory(settings.path)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            settings.path,
            revision=settings.revision,
            dtype=torch.float32,
            attn_implementation=settings.attention,
            trust_remote_code=settings.trust_remote_code,
            use_safetensors=True,
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.path: no causal language model could be loaded from {settings.path!r} "
            f"({_first_line(error)}). It needs config.json and weights as *.safetensors."
        ) from error
    _remove_dropout(model)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.to(resolve_device(settings.device)).eval()


def save_model(model: PreTrainedModel, codec: TextCodec, directory: Path) -> None:
    """Write a directory that `AutoModelForCausalLM.from_pretrained` loads, with tokenizer and template."""
    model.save_pretrained(directory, safe_serialization=True)
    codec.save(directory)


def _check_directory(path: str) -> None:
    local = Path(path).expanduser()
    looks_local = path.startswith((".", "/", "~")) or path.count("/") != 1 or local.exists()
    if looks_local and not (local / "config.json").is_file():
        found = "has no config.json" if local.is_dir() else "does not exist"
        raise ModelError(
            f"model.path: the directory {path!r} {found}. "
            "Give a directory in Hugging Face's format or a hub name such as 'Qwen/Qwen2.5-0.5B'."
        )


def _generation_eos_ids(settings: ModelSettings) -> list[int]:
    from transformers import GenerationConfig

    try:
        config = GenerationConfig.from_pretrained(settings.path, revision=settings.revision)
    except OSError:  # many base models ship without a generation config
        return []
    ids = config.eos_token_id
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def _remove_dropout(model: nn.Module) -> None:
    """The old policy and the new one must be the same function of the weights, so nothing is dropped."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010  the attribute is some models' own


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def model_config(settings: ModelSettings) -> Any:
    """The config of a model; nothing else of it is read.

    Raises:
        ModelError: if there is none.
    """
    from transformers import AutoConfig

    _check_directory(settings.path)
    try:
        return AutoConfig.from_pretrained(
            settings.path, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"model.path: no config could be read from {settings.path!r} ({_first_line(error)}). Name a "
            "directory with its config.json, or a model on the hub that this machine can reach."
        ) from error


def context_length(settings: ModelSettings) -> int | None:
    """The longest sequence the model can read, in tokens; None where its config names no limit."""
    config = model_config(settings).get_text_config()
    limit: int | None = getattr(config, "max_position_embeddings", None)
    return limit


def check_context(settings: ModelSettings, tokens: int) -> None:
    """Refuse prompts and completions that together are longer than the model can read.

    Raises:
        ModelError: naming both lengths.
    """
    limit = context_length(settings)
    if limit is not None and tokens > limit:
        raise ModelError(
            f"max_prompt_tokens + max_completion_tokens = {tokens} exceeds the {limit} positions of "
            f"{settings.path!r} (max_position_embeddings): lower one of them"
        )
