"""Calling reward functions: the signatures they may have, sync or async, and the errors they may raise."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from torch import Tensor

from dapo.errors import UserError
from dapo.types import Completion, Example


class Ungraded(UserError):
    """A completion could not be graded."""


Outcomes = Callable[[Sequence[Completion], Example], list[object]]
"""For each completion what the function returned: a verdict of some kind, or the exception it raised."""


def outcomes_of(function: Callable[..., Any], conversational: bool = False) -> Outcomes:
    """How to call `function`, decided by the names of its parameters; see `dapo.grading.adapt.as_reward`.

    Raises UserError if the names fit no signature, or if a parameter stays without a value.
    """
    parameters = _Parameters.of(function)
    if {"completions", "example"} <= parameters.names:
        return _PerGroup(function, parameters, _own_group)
    if "completions" in parameters.names:
        return _PerGroup(function, parameters, _TrlGroup(conversational))
    if "completion" in parameters.names:
        arguments: _Arguments = _own_arguments
    elif "solution_str" in parameters.names:
        arguments = _verl_arguments
    else:
        raise UserError(
            f"reward: {_name(function)} has the parameters ({', '.join(sorted(parameters.names))}); write "
            "(completion, example), or (completions, example) for all of a prompt at once, or TRL's "
            "(completions, **columns), or verl's (data_source, solution_str, ground_truth, extra_info)"
        )
    if missing := sorted(parameters.required - _ARGUMENT_NAMES[arguments]):
        raise UserError(
            f"reward: nothing is known to give {_name(function)} for {missing[0]!r}; add a default"
        )
    return _PerCompletion(function, parameters, arguments)


@dataclass(frozen=True)
class _Parameters:
    """What a function takes by keyword."""

    names: frozenset[str]
    required: frozenset[str]
    takes_any: bool

    @staticmethod
    def of(function: Callable[..., Any]) -> _Parameters:
        if inspect.isclass(function) or not callable(function):
            raise UserError(
                f"reward: {function!r} cannot be called with a completion; give a function or an instance"
            )
        parameters = inspect.signature(function).parameters.values()
        keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = [parameter for parameter in parameters if parameter.kind in keywords]
        return _Parameters(
            names=frozenset(parameter.name for parameter in named),
            required=frozenset(parameter.name for parameter in named if parameter.default is parameter.empty),
            takes_any=any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters),
        )

    def choose(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that the function takes."""
        return {name: value for name, value in arguments.items() if self.takes_any or name in self.names}


_Arguments = Callable[[Completion, Example], dict[str, Any]]


def _own_arguments(completion: Completion, example: Example) -> dict[str, Any]:
    return {"completion": completion, "example": example}


def _verl_arguments(completion: Completion, example: Example) -> dict[str, Any]:
    return {
        "data_source": example.columns.get("data_source", ""),
        "solution_str": completion.text,
        "ground_truth": example.answer,
        "extra_info": example.columns.get("extra_info"),
    }


_ARGUMENT_NAMES: Mapping[_Arguments, frozenset[str]] = {
    _own_arguments: frozenset({"completion", "example"}),
    _verl_arguments: frozenset({"data_source", "solution_str", "ground_truth", "extra_info"}),
}


@dataclass(frozen=True)
class _PerCompletion:
    """Calls a function that judges one completion."""

    function: Callable[..., Any]
    parameters: _Parameters
    arguments: _Arguments

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[object]:
        named = (self.parameters.choose(self.arguments(completion, example)) for completion in completions)
        return _attempt_all([functools.partial(self.function, **arguments) for arguments in named])


_GroupArguments = Callable[[Sequence[Completion], Example], dict[str, Any]]


def _own_group(completions: Sequence[Completion], example: Example) -> dict[str, Any]:
    return {"completions": list(completions), "example": example}


@dataclass(frozen=True)
class _TrlGroup:
    """What TRL hands over: lists with an entry per completion, of what was generated and of every column."""

    conversational: bool

    def __call__(self, completions: Sequence[Completion], example: Example) -> dict[str, Any]:
        columns = {"answer": example.answer, **example.columns}
        repeated = {name: [value] * len(completions) for name, value in columns.items()}
        return {**repeated, **self._generated(completions, example)}

    def _generated(self, completions: Sequence[Completion], example: Example) -> dict[str, list[Any]]:
        ids = [list(completion.token_ids) for completion in completions]
        texts = [completion.text for completion in completions]
        if self.conversational:
            answers = [[{"role": "assistant", "content": text}] for text in texts]
            prompts = [[dict(message) for message in example.messages] for _ in completions]
            return {"prompts": prompts, "completions": answers, "completion_ids": ids}
        prompt = "\n".join(message["content"] for message in example.messages)
        return {"prompts": [prompt] * len(completions), "completions": texts, "completion_ids": ids}


@dataclass(frozen=True)
class _PerGroup:
    """Calls a function once for all completions of a prompt."""

    function: Callable[..., Any]
    parameters: _Parameters
    arguments: _GroupArguments

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[object]:
        count = len(completions)
        known = self.arguments(completions, example)
        if missing := sorted(self.parameters.required - known.keys()):
            raise UserError(_missing_column(self.function, missing[0], ["answer", *example.columns]))
        [result] = _attempt_all([functools.partial(self.function, **self.parameters.choose(known))])
        if isinstance(result, BaseException):
            return [result] * count
        if not isinstance(result, (list, tuple, np.ndarray, Tensor)):
            return [Ungraded(f"the reward function returned a {type(result).__name__}, not a list")] * count
        if len(result) != count:
            return [
                Ungraded(f"the reward function returned {len(result)} scores for {count} completions")
            ] * count
        return list(result)


def _missing_column(function: Callable[..., Any], name: str, columns: list[str]) -> str:
    near = get_close_matches(name, columns, n=1)
    hint = f"the nearest is {near[0]!r}" if near else f"the columns are {', '.join(columns)}"
    return (
        f"reward: {_name(function)} asks for {name!r}, but the data has no such column; {hint}; "
        "rename the parameter or give it a default"
    )


def _name(function: Callable[..., Any]) -> str:
    return function.__qualname__ if inspect.isroutine(function) else repr(function)


def _attempt_all(calls: Sequence[Callable[[], Any]]) -> list[object]:
    """What each call returned or raised. Those that returned an awaitable are awaited together."""
    outcomes = [_attempt(call) for call in calls]
    pending = {place: outcome for place, outcome in enumerate(outcomes) if inspect.isawaitable(outcome)}
    if pending:
        future = asyncio.run_coroutine_threadsafe(_gather(list(pending.values())), _event_loop())
        for place, outcome in zip(pending, future.result(), strict=True):
            outcomes[place] = outcome
    return outcomes


def _attempt(call: Callable[[], Any]) -> object:
    try:
        return call()
    except Exception as error:  # Anyone's code, run on whatever a model wrote: it may raise anything.
        return error


async def _gather(awaitables: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*awaitables, return_exceptions=True)


@functools.cache
def _event_loop() -> asyncio.AbstractEventLoop:
    """One loop in a thread of its own: a notebook already runs one here, and the functions may keep
    connections that belong to a loop from one call to the next."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="dapo-async-rewards", daemon=True).start()
    return loop
