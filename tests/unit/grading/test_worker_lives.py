"""Grading processes come when needed, and leave with the run, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest

from dapo.grading.adapt import as_reward
from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.grading.slot import Closed, Job, RemoteReward, Slot
from dapo.grading.workers import Workers
from dapo.types import Completion, Example, Score
from tests.unit.grading import bad_rewards

EXAMPLE = Example("row-1", [{"role": "user", "content": "2+2?"}], "4")


def completions(*texts: str) -> list[Completion]:
    return [Completion([len(text)], [0.0], [0], [True], "eos", text) for text in texts]


def gone(pid: int) -> bool:
    """Whether the process ends within a second. A zombie that nobody here has to wait for has ended."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def has_zombies() -> bool:
    """Whether a child of this process has ended and was never waited for."""
    children = [
        int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()
    ]
    states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in children]
    return "Z" in states


def test_close_leaves_no_process_behind() -> None:
    workers = Workers(GradingSettings(workers=2))
    [found] = Grader(bad_rewards.child, workers=workers).grade(completions("4"), EXAMPLE)
    worker, child = map(int, str(found.answer).split())
    assert Path(f"/proc/{worker}").exists() and Path(f"/proc/{child}").exists()
    workers.close()
    assert gone(worker) and gone(child)
    assert not has_zombies()


def test_close_does_not_wait_for_an_answer_that_hangs() -> None:
    workers = Workers(GradingSettings(workers=1, seconds_per_answer=600))
    grader = Grader(bad_rewards.per_completion, workers=workers)
    with ThreadPoolExecutor(2) as pool:
        hanging = [pool.submit(grader.grade, completions("loop in C"), EXAMPLE) for _ in range(2)]
        time.sleep(0.3)
        started = time.monotonic()
        workers.close()
        assert time.monotonic() - started < 3
        for future in hanging:
            with pytest.raises(Closed):
                future.result(timeout=3)
    assert not has_zombies()


PROGRAM = """
import time
from dapo.grading.adapt import as_reward
from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.types import Completion, Example, Score
from tests.unit.grading import bad_rewards

print("started", flush=True)
workers = Workers(GradingSettings(workers=1, seconds_per_answer=600))
def grade(reward, text):
    grader = Grader(reward, workers=workers)
    return grader.grade([Completion([1], [0.0], [0], [True], "eos", text)], Example("a", [], "4"))
print(grade(bad_rewards.pid, "4")[0].answer, flush=True)
"""
"""A script without `if __name__ == "__main__"`, as people write them."""


def program(tmp_path: Path, then: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM + then)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


@pytest.mark.parametrize("then", ["", "raise RuntimeError('on purpose')"])
def test_a_program_that_never_closes_its_workers_ends(tmp_path: Path, then: str) -> None:
    started = program(tmp_path, then)
    out, err = started.communicate(timeout=60)
    first, pid = out.split()
    assert first == "started"  # Once: the worker has not run the script again.
    assert ("on purpose" in err) == bool(then)
    assert gone(int(pid))


@pytest.mark.parametrize("text", ["loop", "loop in C"])
def test_a_worker_goes_with_a_run_that_is_killed(tmp_path: Path, text: str) -> None:
    started = program(tmp_path, f"grade(bad_rewards.per_completion, {text!r})")
    assert started.stdout is not None
    pid = int([started.stdout.readline() for _ in range(2)][1])
    time.sleep(0.3)
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=60)
    assert gone(pid)


def test_an_idle_worker_goes_with_a_run_that_is_killed(tmp_path: Path) -> None:
    started = program(tmp_path, "time.sleep(600)")
    assert started.stdout is not None
    pid = int([started.stdout.readline() for _ in range(2)][1])
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=60)
    assert gone(pid)


def test_ctrl_c_reaches_the_run_alone(tmp_path: Path) -> None:
    again = "print(grade(bad_rewards.pid, '4')[0].answer)"
    started = program(tmp_path, f"try:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    {again}")
    assert started.stdout is not None
    pid = [started.stdout.readline() for _ in range(2)][1]
    time.sleep(0.2)
    os.killpg(started.pid, signal.SIGINT)  # As a terminal does, to all that the program has in its group.
    out, _ = started.communicate(timeout=60)
    assert out == pid  # The same worker, alive.
    assert gone(int(pid))


def test_a_worker_needs_neither_torch_nor_numpy() -> None:
    with Workers(GradingSettings(workers=1)) as workers:
        [found] = Grader(bad_rewards.modules, workers=workers).grade(completions("4"), EXAMPLE)
    assert not {"torch", "numpy"} & set(str(found.answer).split())


class Recorded(threading.Event):
    """Remembers how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return super().wait(timeout)


def test_restarts_slow_down_where_nothing_is_ever_graded() -> None:
    """A pause is twice the one before it plus 0.05 s, and 1 s at most. The first answer takes it back; the
    sixth crash is no worker's first answer, so that it is tried again in a worker of its own."""
    content = bytes(ForkingPickler.dumps(as_reward(bad_rewards.per_completion)))
    frame = bytes(ForkingPickler.dumps(("load", 0, content, sys.path)))
    reward = RemoteReward(0, frame, "answer", "bad_rewards:per_completion")
    closing = Recorded()
    slot = Slot(GradingSettings(workers=1), closing)
    job = Job(reward, completions(*["crash"] * 5, "4", "crash"), EXAMPLE)
    slot.grade(job)
    slot.close()
    found = [job.judged[place].score for place in range(7)]
    assert found == [None, None, None, None, None, Score(1.0), None]
    assert closing.pauses == pytest.approx([0, 0.05, 0.15, 0.35, 0.75, 1.0, 0])


def test_a_reward_of_the_script_itself_runs_in_its_process(tmp_path: Path) -> None:
    then = """
def mine(completion, example):
    return completion.text == "4"

grader = Grader(mine, workers=workers)
print(grader.threads, len(grader.notes), "script or notebook" in grader.notes[0], grade(mine, "4")[0].score)
"""
    out, _ = program(tmp_path, then).communicate(timeout=60)
    assert out.splitlines()[2:] == ["1 1 True 1.0"]
