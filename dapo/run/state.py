"""The trainer's state on disk, in two files that hold data only: safetensors and JSON.

Nothing is pickled, so that reading a state from anywhere executes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dapo.errors import UserError

FORMAT = 1
"""Number of the layout. It changes whenever a reader of the old layout would misread the new one."""

_TENSORS = "tensors.safetensors"
_VALUES = "values.json"


class StateError(UserError):
    """A state that cannot be read. The message names the file and the way out."""


def save_state(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a state into the directory `path`, which is made.

    Args:
        path: a directory of its own: readers of model folders take every *.safetensors in them for weights.
        tensors: any shapes, types and devices. Copies go to the disk where tensors share memory.
        values: plain data: mappings with string keys, lists, strings, numbers, booleans, None. Floats
            come back to the last bit, NaN and infinity too; tuples come back as lists.

    Raises TypeError for values JSON would change or cannot hold; OSError or SafetensorError where the
    disk does not take it. `dapo.run.checkpoints` gives a save its atomicity.
    """
    _check_keys(values, "values")
    text = json.dumps({"format": FORMAT, "values": values})
    path.mkdir(parents=True, exist_ok=True)
    save_file({name: _alone(tensor) for name, tensor in tensors.items()}, path / _TENSORS)
    (path / _VALUES).write_text(text, encoding="utf-8")


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and values that `save_state` wrote to `path`.

    Raises StateError for a missing or damaged file, or one of another format number.
    """
    values = load_values(path)
    try:
        return load_file(path / _TENSORS), values
    except FileNotFoundError as error:
        raise StateError(f"{path} holds no trainer state: {_TENSORS} is missing") from error
    except SafetensorError as error:
        raise StateError(
            f"{path / _TENSORS} is damaged ({error}); resume from an older checkpoint"
        ) from error


def load_values(path: Path) -> dict[str, Any]:
    """The values alone. Raises StateError as `load_state` does."""
    try:
        content = json.loads((path / _VALUES).read_text(encoding="utf-8"))
        number, values = content["format"], dict(content["values"])
    except FileNotFoundError as error:
        raise StateError(f"{path} holds no trainer state: {_VALUES} is missing") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{path / _VALUES} is damaged ({error!r}); resume from an older checkpoint"
        ) from error
    if number != FORMAT:
        raise StateError(
            f"{path} has state format {number!r}, this version of dapo reads {FORMAT}; "
            "resume with the version that wrote it, or start a new run from its model"
        )
    return values


def part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _alone(tensor: Tensor) -> Tensor:
    """The tensor with memory of its own: the format refuses views and shared storage."""
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor.contiguous() if whole else tensor.clone().contiguous()


def _check_keys(value: Any, place: str) -> None:
    """JSON turns every key into a string without a word; here that is an error."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}; keys of a state are strings")
            _check_keys(item, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_keys(item, f"{place}[{index}]")
