"""What a run computes with, as far as its bits depend on it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version


def environment(device: str) -> dict[str, str]:
    """Versions, thread count and device: where all are equal, a resumed run computes the same bits."""
    import torch

    packages = {name: _version(name) for name in ("dapo", "torch", "transformers", "numpy")}
    return {
        "python": platform.python_version(),
        **packages,
        "machine": platform.machine(),
        "device": device,
        "threads": str(torch.get_num_threads()),
    }


def differences(saved: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """What is not as it was, a line each."""
    names = [*saved, *(name for name in current if name not in saved)]
    return [
        f"{name}: {saved.get(name, 'unknown')} then, {current.get(name, 'unknown')} here"
        for name in names
        if saved.get(name) != current.get(name)
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
