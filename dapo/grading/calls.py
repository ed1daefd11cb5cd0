"""Calling reward functions: the signatures they may have, sync or async, and the errors they may raise."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from dapo.errors import UserError
from dapo.grading.functions import Parameters, is_async, is_costly, is_isolated, name_of
from dapo.types import Completion, Example


class Ungraded(UserError):
    """A completion could not be graded."""


class TimedOut(Ungraded):
    """Grading a completion took longer than it may."""


Unit = Literal["answer", "awaited", "group"]
"""What is graded at once: one answer after the other; those of a prompt side by side, each for itself; or
those of a prompt together, as they are compared with each other."""


class Outcomes(Protocol):
    """Calls a reward function."""

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[object]:
        """For each completion what the function returned: a verdict of some kind, or the exception it raised.

        Raises UserError for what would strike every completion.
        """
        ...

    @property
    def name(self) -> str:
        """Of the function, for people."""
        ...

    @property
    def unit(self) -> Unit: ...

    @property
    def isolated(self) -> bool:
        """Whether it is to run in a process of its own."""
        ...

    @property
    def costly(self) -> bool:
        """Whether its verdicts cost money or the time of a service: it is not called without need."""
        ...


@runtime_checkable
class _Array(Protocol):
    """An array or a number of NumPy, torch or another library, none of which has to be imported for it."""

    def tolist(self) -> Any: ...


def plain(value: object) -> object:
    """`value` as Python's own numbers, or a list of them, where it is an array."""
    if isinstance(value, (float, int, str)):  # Most are, and to ask for a protocol takes its time.
        return value
    return value.tolist() if isinstance(value, _Array) else value


def outcomes_of(function: Callable[..., Any], conversational: bool = False) -> Outcomes:
    """How to call `function`, decided by the names of its parameters; see `dapo.grading.adapt.as_reward`.

    Raises UserError if the names fit no signature, or if a parameter stays without a value.
    """
    parameters = Parameters.of(function)
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
            f"reward: {name_of(function)} has the parameters ({', '.join(sorted(parameters.names))}); write "
            "(completion, example), or (completions, example) for all of a prompt at once, or TRL's "
            "(completions, **columns), or verl's (data_source, solution_str, ground_truth, extra_info)"
        )
    if missing := sorted(parameters.required - _ARGUMENT_NAMES[arguments]):
        raise UserError(
            f"reward: nothing is known to give {name_of(function)} for {missing[0]!r}; add a default"
        )
    return _PerCompletion(function, parameters, arguments)


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
class _Function:
    """A reward function and what it takes."""

    function: Callable[..., Any]
    parameters: Parameters

    @property
    def name(self) -> str:
        return name_of(self.function)

    @property
    def isolated(self) -> bool:
        return is_isolated(self.function)

    @property
    def costly(self) -> bool:
        return is_costly(self.function)


@dataclass(frozen=True)
class _PerCompletion(_Function):
    """Calls a function that judges one completion."""

    arguments: _Arguments

    @property
    def unit(self) -> Unit:
        return "awaited" if is_async(self.function) else "answer"

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
class _PerGroup(_Function):
    """Calls a function once for all completions of a prompt."""

    arguments: _GroupArguments
    unit: ClassVar[Unit] = "group"

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[object]:
        count = len(completions)
        known = self.arguments(completions, example)
        if missing := sorted(self.parameters.required - known.keys()):
            raise UserError(_missing_column(self.function, missing[0], ["answer", *example.columns]))
        [result] = _attempt_all([functools.partial(self.function, **self.parameters.choose(known))])
        if isinstance(result, BaseException):
            return [result] * count
        returned, result = type(result).__name__, plain(result)
        if not isinstance(result, (list, tuple)):
            return [Ungraded(f"the reward function returned a {returned}, not a list")] * count
        if len(result) != count:
            return [
                Ungraded(f"the reward function returned {len(result)} scores for {count} completions")
            ] * count
        return list(result)


def _missing_column(function: Callable[..., Any], name: str, columns: list[str]) -> str:
    near = get_close_matches(name, columns, n=1)
    hint = f"the nearest is {near[0]!r}" if near else f"the columns are {', '.join(columns)}"
    return (
        f"reward: {name_of(function)} asks for {name!r}, but the data has no such column; {hint}; "
        "rename the parameter or give it a default"
    )


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
    # Anyone's code, run on whatever a model wrote: it may raise anything. It may even call for the end of the
    # program, which is not the reward's to say. Ctrl-C, where it can arrive, stays with the program.
    except (Exception, SystemExit) as error:
        return error
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread() and not _Patience.alone:
            raise
        return error


class _Patience:
    """What a process that only grades knows of itself; see `only_grade`."""

    alone: ClassVar[bool] = False
    seconds: ClassVar[float | None] = None


def only_grade(seconds_per_answer: float) -> None:
    """Say that this process does nothing but grading: nobody interrupts it, and awaited answers have so
    many seconds each."""
    _Patience.alone, _Patience.seconds = True, seconds_per_answer


async def _gather(awaitables: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*(_settled(awaitable) for awaitable in awaitables))


async def _settled(awaitable: Awaitable[Any]) -> object:
    """What came of it: a value, an exception, or TimedOut."""
    task = asyncio.ensure_future(_guarded(awaitable))
    await asyncio.wait([task], timeout=_Patience.seconds)
    if task.done():
        return task.result()
    task.cancel()
    return TimedOut(f"grading it took longer than {_Patience.seconds:g} s (grading.seconds_per_answer)")


async def _guarded(awaitable: Awaitable[Any]) -> object:
    try:
        return await awaitable
    except BaseException as error:  # As in `_attempt`; SystemExit would end the loop, and the next call wait.
        return error


@functools.cache
def _event_loop() -> asyncio.AbstractEventLoop:
    """One loop in a thread of its own: a notebook already runs one here, and the functions may keep
    connections that belong to a loop from one call to the next."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="dapo-async-rewards", daemon=True).start()
    return loop
