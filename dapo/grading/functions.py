"""What is known of a reward function before it is called: its name, its parameters, where it may run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from dapo.errors import UserError


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


def is_isolated(function: Callable[..., Any]) -> bool:
    """The package's own rewards are cheap and end by construction, unless they say otherwise; anyone else's
    code may do anything."""
    declared: object = function
    if isinstance(declared, DeclaresIsolation):
        return declared.isolated
    return not name_of(function).startswith("dapo.rewards.")


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
