from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest

from dapo.run.console import Console
from dapo.run.live import sparkline
from dapo.run.progress import Progress, clock

METRICS = {
    "score/mean": 0.8125,
    "reward/mean": 0.5,
    "completion/mean_tokens": 43.14,
    "policy/entropy": 0.2126,
    "sampling/signal_share": 0.375,
    "perf/tokens_per_second": 12345.6,
    "time/step": 2.0,
}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A real pseudo-terminal: `stream` is written to, `text()` is what arrived."""

    def __init__(self) -> None:
        import pty

        self._master, slave = pty.openpty()
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._master, 65536):
                self._chunks.append(chunk)
        except OSError:
            return  # the other end is closed

    def raw(self) -> str:
        self.stream.close()
        self._reader.join(timeout=5)
        return b"".join(self._chunks).decode()

    def hang_up(self) -> None:
        os.close(self._master)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    pytest.importorskip("pty")
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "90")
    yield Terminal()


def a_run(stream: TextIO, pause: float = 0.0) -> None:
    with Console(60, "quickstart · tiny", stream) as console:
        console.message("run directory: runs/x [1]")
        console.phase("sampling")
        console.sampling(20, 32, 41)
        time.sleep(pause)
        for step in (11, 12):
            console.step(step, {**METRICS, "score/mean": 0.8 + step / 1000}, share=step / 60)
        console.warn("2 completions could not be graded")
        console.finish(["accuracy 0.612 before, 0.981 after", "next: dapo eval runs/x"])


def test_a_pipe_gets_a_line_per_step() -> None:
    stream = io.StringIO()
    a_run(stream)
    assert stream.getvalue().splitlines() == [
        "run directory: runs/x [1]",
        "step 11/60  accuracy 0.811  reward 0.500  tokens 43.1  entropy 0.213  signal 38%  "
        "tokens/s 12,346  seconds 2.0  left 1:38",
        "step 12/60  accuracy 0.812  reward 0.500  tokens 43.1  entropy 0.213  signal 38%  "
        "tokens/s 12,346  seconds 2.0  left 1:36",
        "warning: 2 completions could not be graded",
        "accuracy 0.612 before, 0.981 after",
        "next: dapo eval runs/x",
    ]


def test_a_missing_figure_is_a_dash() -> None:
    stream = io.StringIO()
    with Console(3, "x", stream) as console:
        console.step(1, {"score/mean": float("nan")}, share=1 / 3)
    assert re.fullmatch(
        r"step 1/3  accuracy nan  reward -  tokens -  entropy -  "
        r"signal -  tokens/s -  seconds -  left 0:00\n",
        stream.getvalue(),
    )


def test_a_terminal_gets_the_live_view(terminal: Terminal) -> None:
    a_run(terminal.stream, pause=0.6)
    raw = terminal.raw()
    text = ESCAPES.sub("", raw)
    assert "quickstart · tiny" in text
    assert "kept 20/32 groups, generated 41" in text
    assert "sampling" in text
    for title in ("step", "accuracy", "reward", "tokens", "entropy", "signal", "tokens/s", "seconds"):
        assert title in text
    last = text[text.rindex("quickstart · tiny") :]
    assert "12/60" in last
    assert "1:36 left" in last
    assert "0.811 → 0.812" in last
    assert re.search(r"12 +0\.812 +0\.500 +43\.1 +0\.213 +38% +12,346 +2\.0", last)
    assert "groups" not in last  # no round goes on at the end
    assert last.rstrip().endswith("next: dapo eval runs/x")
    assert "run directory: runs/x [1]" in text
    assert "warning: 2 completions could not be graded" in text
    assert raw.count("\x1b[?25l") == raw.count("\x1b[?25h") == 1  # the cursor comes back


def test_a_step_without_an_accuracy_is_drawn(terminal: Terminal) -> None:
    with Console(3, "x", terminal.stream) as console:
        console.step(1, METRICS, share=1 / 3)
        console.step(2, {**METRICS, "score/mean": float("nan")}, share=2 / 3)
    assert "nan" in terminal.raw()


def test_the_time_left_runs_down_between_steps() -> None:
    progress = Progress("x", total_steps=10, step=4, share=0.4, durations=(1.0, 3.0), step_ended=100.0)
    assert progress.seconds_left(100.0) == pytest.approx(12.0)
    assert progress.seconds_left(105.0) == pytest.approx(7.0)
    assert progress.seconds_left(200.0) == 0.0
    assert Progress("x", total_steps=10).seconds_left(0.0) is None


def test_the_time_left_follows_the_limit_that_ends_the_run_first() -> None:
    by_tokens = Progress("x", total_steps=None, step=4, share=0.5, durations=(2.0,), step_ended=100.0)
    assert by_tokens.seconds_left(100.0) == pytest.approx(8.0)
    assert replace(by_tokens, seconds_limit=5.0).seconds_left(101.0) == pytest.approx(4.0)
    assert replace(by_tokens, seconds_limit=50.0).seconds_left(100.0) == pytest.approx(8.0)
    by_hours = Progress("x", total_steps=None, step=4, durations=(2.0,), seconds_limit=30.0, step_ended=100.0)
    assert by_hours.seconds_left(110.0) == pytest.approx(20.0)


def test_a_run_of_an_open_number_of_steps_shows_the_step_alone() -> None:
    stream = io.StringIO()
    with Console(None, "x", stream) as console:
        console.step(12, METRICS, share=0.5, seconds_limit=10.0)
    line = stream.getvalue()
    assert line.startswith("step 12  accuracy ")
    assert line.endswith("left 0:10\n")


def test_the_live_view_is_drawn_at_most_four_times_a_second(terminal: Terminal) -> None:
    with Console(1000, "busy run", terminal.stream) as console:
        began = time.monotonic()
        for step in range(1, 400):
            console.sampling(step % 32, 32, step)
            console.step(step, METRICS, share=step / 1000)
            time.sleep(0.001)
        seconds = time.monotonic() - began
    frames = terminal.raw().count("busy run")
    assert frames <= 4 * seconds + 3  # the first, the last and one at the edge


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")])
def test_the_environment_can_ask_for_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    a_run(terminal.stream)
    raw = terminal.raw()
    assert "\x1b" not in raw
    assert "step 12/60  accuracy 0.812" in raw


def test_an_error_inside_gives_the_terminal_back(terminal: Terminal) -> None:
    output = sys.stdout
    with pytest.raises(RuntimeError, match="out of memory"), Console(3, "x", terminal.stream):
        raise RuntimeError("out of memory")
    assert sys.stdout is output
    assert "\x1b[?25h" in terminal.raw()


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    a_run(stream)
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_closed_stream_is_no_error() -> None:
    stream = io.StringIO()
    stream.close()
    a_run(stream)


def test_a_terminal_that_goes_away_is_no_error(terminal: Terminal) -> None:
    with Console(3, "x", terminal.stream) as console:
        terminal.hang_up()
        console.sampling(1, 2, 3)
        time.sleep(0.4)
        console.step(1, METRICS, share=1 / 3)
        console.finish(["done"])


def test_a_stream_without_unicode_gets_question_marks() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with Console(1, "x", stream) as console:
        console.message("naïve → 中")
    stream.flush()
    assert raw.getvalue().decode() == f"na?ve ? ?{os.linesep}"


def test_plain_lines_load_no_rich() -> None:
    program = (
        "import sys; from dapo.run.console import Console\n"
        "with Console(1, 'x') as console: console.step(1, {}, share=1.0)\n"
        "assert not any(name.split('.')[0] in ('rich', 'torch') for name in sys.modules), 'loaded'"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.2, "0:00"), (59.7, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_clock(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_sparkline_spans_the_range_and_keeps_noise_small() -> None:
    assert sparkline([0.6, 0.8, 1.0]) == "▁▅█"
    assert sparkline([0.70, 0.71]) == "▁▁"
    assert sparkline([0.5]) == "▁"
    assert len(sparkline([step / 999 for step in range(1000)], width=40)) == 40
    assert sparkline([0.0, 0.0, 1.0, 1.0], width=2) == "▁█"
