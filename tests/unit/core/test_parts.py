"""A module's parts are its dataclasses with a name of their own."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import pytest

from dapo.core import advantages, losses
from dapo.core.parts import parts


def module_with(*classes: type) -> ModuleType:
    module = ModuleType("mine")
    for cls in classes:
        cls.__module__ = module.__name__
        setattr(module, cls.__name__, cls)
    return module


def test_the_parts_that_ship() -> None:
    assert list(parts(losses)) == ["clip", "sequence_clip", "soft_gate", "cispo"]
    assert list(parts(advantages)) == [
        "group_normalized",
        "group_centered",
        "leave_one_out",
        "batch_scaled",
    ]


def test_a_part_is_added_by_one_dataclass() -> None:
    @dataclass(frozen=True)
    class Mine:
        name: ClassVar[str] = "mine"

    @dataclass(frozen=True)
    class Helper:
        width: int = 1

    class NotADataclass:
        name = "no"

    @dataclass(frozen=True)
    class Heir(Mine):
        pass

    assert parts(module_with(Mine, Helper, NotADataclass, Heir)) == {"mine": Mine}


def test_imported_parts_are_not_offered_twice() -> None:
    module = ModuleType("mine")
    vars(module)["ClipLoss"] = losses.ClipLoss
    assert parts(module) == {}


def test_two_parts_of_one_name_are_refused() -> None:
    @dataclass(frozen=True)
    class One:
        name: ClassVar[str] = "same"

    @dataclass(frozen=True)
    class Two:
        name: ClassVar[str] = "same"

    with pytest.raises(ValueError, match="One and Two are both named 'same'"):
        parts(module_with(One, Two))
