"""The processes that grade, shared by all graders of a run."""

from __future__ import annotations

import contextlib
import math
import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from types import TracebackType

from dapo.grading.adapt import AdaptedReward
from dapo.grading.judging import Judged
from dapo.grading.settings import GradingSettings
from dapo.grading.slot import Closed, Job, RemoteReward, Slot
from dapo.types import Completion, Example

_WORTH_SENDING = 0.05
"""Seconds of work in a job: the answers of a prompt that take longer are shared out to several workers."""

_ENDING = 5.0
"""Seconds that `close` waits for those that are still grading to notice."""


class Workers:
    """Grades in processes of its own. A process starts when all others are busy. A context manager, which
    closes."""

    def __init__(self, settings: GradingSettings) -> None:
        self.settings = settings
        self._closing = threading.Event()
        self._slots = [Slot(settings, self._closing) for _ in range(settings.processes)]
        self._free: queue.LifoQueue[Slot] = queue.LifoQueue()  # The last one used is the one that is warm.
        for slot in self._slots:
            self._free.put(slot)
        self._threads = ThreadPoolExecutor(max(1, len(self._slots)), thread_name_prefix="grading-worker")
        self._rewards: dict[bytes, RemoteReward] = {}
        self._adding = threading.Lock()
        self._pace: dict[int, float] = {}
        """Seconds an answer takes, by the number of the reward; the mean of late."""
        # Before multiprocessing waits, as the program ends, for the processes that were not closed.
        self._at_exit = Finalize(self, _kill_all, args=(self._slots,), exitpriority=100)

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, reward: AdaptedReward) -> RemoteReward:
        """Make a reward known, and load it in one worker to see that it can be.

        Raises:
            Unportable: if it cannot be sent to another process.
            UserError: if it cannot be loaded there. The message has the last line of the traceback.
        """
        content = _pickled(reward)
        with self._adding:
            if content in self._rewards:
                return self._rewards[content]
            number = len(self._rewards)
            frame = bytes(ForkingPickler.dumps(("load", number, content, sys.path)))
            remote = RemoteReward(number, frame, reward.outcomes.unit, reward.outcomes.name)
            with self._slot() as slot:
                slot.load(remote, starts=1)
            self._rewards[content] = remote
            return remote

    def grade(
        self, reward: RemoteReward, completions: Sequence[Completion], example: Example
    ) -> list[Judged]:
        """What became of each completion, in order. Any number of threads may call.

        Raises UserError for what would strike every completion, `Closed` where the run is ending.
        """
        size = self._share(reward, len(completions))
        jobs = [
            Job(reward, completions[start : start + size], example)
            for start in range(0, len(completions), size)
        ]
        if len(jobs) == 1:
            self._do(jobs[0])
        else:
            for _ in self._threads.map(self._do, jobs):
                pass
        found = [job.judged[place] for job in jobs for place in range(len(job.completions))]
        mean = sum(judged.seconds for judged in found) / max(1, len(found))
        self._pace[reward.number] = (self._pace.get(reward.number, mean) + mean) / 2
        return found

    def _share(self, reward: RemoteReward, count: int) -> int:
        """Completions per job."""
        pace = self._pace.get(reward.number, 0.0)
        if reward.unit != "answer" or pace * count <= _WORTH_SENDING:
            return max(1, count)
        return max(math.ceil(_WORTH_SENDING / pace), math.ceil(count / len(self._slots)))

    def _do(self, job: Job) -> None:
        with self._slot() as slot:
            slot.grade(job)

    @contextlib.contextmanager
    def _slot(self) -> Iterator[Slot]:
        slot = self._free.get()
        try:
            if self._closing.is_set():
                raise Closed
            yield slot
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """End all processes, those that are grading too, and wait until they have ended."""
        self._closing.set()
        idle = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._free.get_nowait())
        for slot in idle:
            slot.leave()
        busy = [slot for slot in self._slots if slot not in idle]
        for slot in busy:
            slot.kill()
        for slot in idle:
            slot.close()
        with contextlib.suppress(queue.Empty):
            for _ in busy:
                self._free.get(timeout=_ENDING).close()
        for slot in self._slots:
            self._free.put(slot)  # For those that wait for one: they find that the run is ending.
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._at_exit.cancel()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Unportable(Exception):
    """A reward cannot be sent to another process. The message says why."""


def _pickled(reward: AdaptedReward) -> bytes:
    """The names and settings that another process loads the reward by."""
    try:
        content = bytes(ForkingPickler.dumps(reward))
    except Exception as error:  # What a reward holds may refuse in any way.
        raise Unportable(str(error)) from error
    if b"__main__" in content:
        raise Unportable("it is defined in the script or notebook that was started")
    return content


def _kill_all(slots: Sequence[Slot]) -> None:
    for slot in slots:
        slot.kill()
