"""A place for one worker at a time: it is started when needed, and again when an answer cost it its life."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler

from dapo.errors import UserError
from dapo.grading.calls import Unit
from dapo.grading.judging import Judged, setting_error
from dapo.grading.process import Lost, WorkerProcess
from dapo.grading.settings import GradingSettings
from dapo.types import Completion, Example

_LOADING = 300.0
"""Seconds that a worker has to start and to load a reward, with all that it imports and reads."""

_MARGIN = 5.0
"""Seconds that a worker has for what takes none: to take a job, and to say that it is done with it."""

_STARTS = 5
"""Attempts at starting a worker in the midst of a run, with growing pauses."""

_LONGEST_PAUSE = 1.0

_CHILDREN = 16
"""Processes that rewards may leave behind in a worker before it is replaced, and they with it."""


class Closed(Exception):
    """There are no workers any more: the run is ending."""


@dataclass(frozen=True)
class RemoteReward:
    """A reward as workers get it."""

    number: int
    frame: bytes
    """What loads it: functions and classes by the names they are imported under, and settings."""
    unit: Unit
    name: str


@dataclass
class Job:
    """Completions of a prompt to be graded by one worker, as long as it lives."""

    reward: RemoteReward
    completions: Sequence[Completion]
    example: Example
    judged: dict[int, Judged] = field(default_factory=dict)
    """By the place of the completion."""

    def frame(self, places: Sequence[int]) -> bytes:
        completions = [self.completions[place] for place in places]
        content = ("grade", self.reward.number, completions, self.example)
        try:
            return bytes(ForkingPickler.dumps(content))
        except Exception as error:  # The columns of an example may hold anything.
            raise UserError(
                f"example {self.example.id} cannot be sent to the processes that grade ({error}); leave out "
                "the column, or set grading.workers: 0"
            ) from error


class Slot:
    """Grades jobs, whatever the reward does to the worker. For one thread at a time, but for `kill`."""

    def __init__(self, settings: GradingSettings, closing: threading.Event) -> None:
        self._settings, self._closing = settings, closing
        self._worker: WorkerProcess | None = None
        self._loaded: set[int] = set()
        self._answers = 0
        """Graded in the worker's life so far."""
        self._left_behind = False
        """Whether an answer has left a thread running, which may disturb the next ones."""
        self._pause = 0.0

    def load(self, reward: RemoteReward, starts: int = _STARTS) -> WorkerProcess:
        """A worker with the reward in it. Raises UserError where none comes up in so many attempts."""
        for attempt in range(1, starts + 1):
            try:
                return self._with(reward)
            except (Lost, OSError) as error:
                self._end()
                if attempt == starts:
                    raise UserError(
                        f"reward: {reward.name} cannot be loaded by a process that grades: {error}; make it "
                        "importable from the directory you start in, or set grading.workers: 0"
                    ) from error
        raise ValueError("starts must be at least 1")

    def _with(self, reward: RemoteReward) -> WorkerProcess:
        worker = self._worker
        if worker is None:
            if self._closing.wait(self._pause):
                raise Closed
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause + 0.05)  # Taken back by the first answer.
            worker = self._worker = WorkerProcess(self._settings.seconds_per_answer, self._settings.memory_gb)
            if self._closing.is_set():  # `kill` may have come too early to see this worker.
                self._end()
                raise Closed
            worker.receive(_LOADING)
            self._loaded, self._answers, self._left_behind = set(), 0, False
        if reward.number not in self._loaded:
            worker.send(reward.frame, _MARGIN)
            kind, *reason = worker.receive(_LOADING)
            if kind != "loaded":
                raise Lost("died", str(reason[0]))
            self._loaded.add(reward.number)
        return worker

    def grade(self, job: Job) -> None:
        """Fill `job.judged`.

        An answer is to blame for the end of a worker only if it was the worker's first, or if it took too
        long where nothing else ran: otherwise an earlier one may have left the harm behind, and the answer
        gets a worker of its own. Those that wait behind it are graded by the next worker.

        Raises:
            UserError: for what would strike every completion, or where no worker can be started.
            Closed: where the run is ending.
        """
        todo = deque([list(range(len(job.completions)))])
        idle = 0
        while todo:
            places = todo.popleft()
            worker = self.load(job.reward)
            first = self._answers == 0
            begun = False
            try:
                worker.send(job.frame(places), self._settings.seconds_per_answer + _MARGIN)
                _, *error = worker.receive(self._settings.seconds_per_answer + _MARGIN)
                if error:
                    raise setting_error(*error)
                begun = True
                self._collect(worker, job, places)
            except Lost as lost:
                if self._closing.is_set():
                    raise Closed from lost
                certain = self._answers == 0 or (lost.failure == "timeout" and not self._left_behind)
                self._end()
                idle = idle + 1 if first and not begun else 0
                if idle == _STARTS:
                    raise UserError(f"a process that grades {lost} at once, again and again") from lost
                if begun:
                    todo.extendleft(reversed(self._after(lost, job, places, certain)))
                else:
                    todo.appendleft(places)

    def _collect(self, worker: WorkerProcess, job: Job, places: Sequence[int]) -> None:
        seconds = self._seconds(job.reward.unit, len(places))
        while True:
            kind, *content = worker.receive(seconds)
            if kind == "end":
                break
            if kind == "stop":
                raise setting_error(*content)
            try:
                place, judged, left_behind = content
                job.judged[places[place]] = Judged.loads(judged)
            except (TypeError, ValueError, IndexError):
                raise Lost("died", "wrote what is no result") from None
            self._left_behind = self._left_behind or left_behind
            self._answers += 1
            self._pause = 0.0
        if content[0] > _CHILDREN:
            self._end()

    def _seconds(self, unit: Unit, count: int) -> float:
        """How long a worker may be silent."""
        seconds = self._settings.seconds_per_answer
        if unit == "group":
            return seconds * count
        return seconds + _MARGIN if unit == "awaited" else seconds

    def _after(self, lost: Lost, job: Job, places: Sequence[int], certain: bool) -> list[list[int]]:
        """What is to be graded next, one list after the other, now that a worker was lost over `places`."""
        left = [place for place in places if place not in job.judged]
        one_by_one = job.reward.unit == "answer"
        suspects, others = (left[:1], left[1:]) if one_by_one else (left, [])
        if job.reward.unit == "awaited" and len(suspects) > 1:
            return [[place] for place in suspects]
        if not certain:
            return [part for part in (suspects, others) if part]
        seconds = self._seconds(job.reward.unit, len(places)) if lost.failure == "timeout" else 0.0
        for place in suspects:
            job.judged[place] = Judged(None, seconds, lost.failure, f"grading it {lost}")
        return [others] if others else []

    def _end(self, patience: float = 0.0) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close(patience)

    def kill(self) -> None:
        """End the worker, whoever uses it. Whoever does not is to call `close`."""
        worker = self._worker
        if worker is not None:
            worker.kill()

    def leave(self) -> None:
        """Let the worker end by itself. `close` has to follow."""
        if self._worker is not None:
            self._worker.leave()

    def close(self, patience: float = 1.0) -> None:
        self._end(patience)
