"""What is known of a reward function before it is called: its name, its parameters, where it may run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from dapo.errors import UserError

K = TypeVar("K")
V = TypeVar("V")


@runtime_checkable
class DeclaresIsolation(Protocol):
    """A reward that says whether it is to run in a process of its own: a class variable of a dataclass, or
    an attribute of a function."""

    isolated: bool


@runtime_checkable
class DeclaresCost(Protocol):
    """A reward that says whether its verdicts cost money, or the time of a service: a class variable or a
    property of a dataclass, or an attribute of a function."""

    costly: bool


def name_of(function: Callable[..., Any]) -> str:
    """The place of a function, or of the class of a reward: `package.module:name`."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    thing = function if inspect.isroutine(function) else type(function)
    return f"{thing.__module__}:{thing.__qualname__}"


def is_ours(function: Callable[..., Any]) -> bool:
    """Whether it is a reward of the package."""
    return name_of(function).startswith("dapo.rewards.")


def is_isolated(function: Callable[..., Any]) -> bool:
    """The package's own rewards are cheap and end by construction, unless they, or rewards among their
    settings, say otherwise; anyone else's code may do anything."""
    declared: object = function
    if isinstance(declared, DeclaresIsolation):
        return declared.isolated
    return not is_ours(function) or any(is_isolated(inner) for inner in _rewards_in(function))


def _rewards_in(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The functions that a reward holds in its fields, alone or several."""
    if not is_dataclass(function):
        return
    for field in fields(function):
        value = vars(function)[field.name]
        several = value.values() if isinstance(value, Mapping) else value
        held = several if isinstance(value, (Mapping, tuple)) else [value]
        yield from (inner for inner in held if callable(inner))


def is_costly(function: Callable[..., Any]) -> bool:
    """Only what says so is: nothing is guessed from what a reward imports or how long it takes."""
    declared: object = function
    return isinstance(declared, DeclaresCost) and declared.costly


def is_async(function: Callable[..., Any]) -> bool:
    called = function.func if isinstance(function, functools.partial) else function
    return inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(type(called).__call__)


@dataclass(frozen=True)
class Parameters:
    """What a function takes by keyword."""

    names: frozenset[str]
    required: frozenset[str]
    takes_any: bool

    @staticmethod
    def of(function: Callable[..., Any]) -> Parameters:
        if inspect.isclass(function) or not callable(function):
            raise UserError(
                f"reward: {function!r} cannot be called with a completion; give a function or an instance"
            )
        parameters = inspect.signature(function).parameters.values()
        keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = [parameter for parameter in parameters if parameter.kind in keywords]
        return Parameters(
            names=frozenset(parameter.name for parameter in named),
            required=frozenset(parameter.name for parameter in named if parameter.default is parameter.empty),
            takes_any=any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters),
        )

    def choose(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that the function takes."""
        return {name: value for name, value in arguments.items() if self.takes_any or name in self.names}


class Remembered(Generic[K, V]):
    """What was made of things, which need not be hashable: the same thing gives the same result.

    It forgets now and then, so that things made for a moment do not pile up, and nothing of it is sent to
    other processes.
    """

    _MOST = 1000

    def __init__(self) -> None:
        self._known: dict[int, tuple[K, V]] = {}

    def __call__(self, thing: K, make: Callable[[K], V]) -> V:
        known = self._known.get(id(thing))
        if known is None or known[0] is not thing:
            if len(self._known) >= self._MOST:
                self._known.clear()
            known = self._known[id(thing)] = (thing, make(thing))
        return known[1]

    def __reduce__(self) -> tuple[type[Remembered[K, V]], tuple[()]]:
        return Remembered, ()
