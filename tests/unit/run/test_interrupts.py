from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dapo.errors import UserError
from dapo.run.interrupts import Interrupted, Interrupts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals between processes")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Python's own handlers, however the shell started the tests."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        interrupts.check()
        assert interrupts.requested is None
        send(number)
        assert interrupts.requested == number.name
        for _ in range(2):
            with pytest.raises(Interrupted, match=f"stopped by {number.name}"):
                interrupts.check()


def test_it_is_no_mistake_of_the_user() -> None:
    assert not issubclass(Interrupted, UserError)


def test_the_first_signal_is_the_one_named() -> None:
    with Interrupts() as interrupts:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGINT)
        assert interrupts.requested == "SIGTERM"


def test_a_second_ctrl_c_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        send(signal.SIGINT)
        assert interrupts.requested == "SIGINT"
        send(signal.SIGINT)
    assert interrupts.requested == "SIGINT"


@pytest.mark.parametrize("ends", ["well", "with an error"])
def test_the_handlers_before_come_back(ends: str) -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with Interrupts():
            send(signal.SIGTERM)
            if ends == "with an error":
                raise RuntimeError
    except RuntimeError:
        pass
    assert heard == []
    send(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts() as interrupts:
        send(signal.SIGINT)
        send(signal.SIGINT)
        assert interrupts.requested is None
        send(signal.SIGTERM)
        assert interrupts.requested == "SIGTERM"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_in_another_thread_it_does_nothing() -> None:
    seen: list[object] = []

    def work() -> None:
        with Interrupts() as interrupts:
            seen.append(signal.getsignal(signal.SIGINT))
            interrupts.check()
            seen.append(interrupts.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler, None]


PROGRAM = """
import signal, sys, time
from dapo.run.interrupts import Interrupted, Interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)
with Interrupts() as interrupts:
    print("working", flush=True)
    try:
        while True:
            time.sleep(0.01)
            interrupts.check()
    except Interrupted as error:
        print(error, flush=True)
    if sys.argv[1] == "slow to save":
        time.sleep(60)
print("saved", flush=True)
"""


def start(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_in_its_own_time(number: signal.Signals) -> None:
    process = start("quick")
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (output, errors, process.returncode) == (f"stopped by {number.name}\nsaved\n", "", 0)


def test_a_process_that_takes_too_long_is_stopped_by_a_second_ctrl_c() -> None:
    process = start("slow to save")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "stopped by SIGINT\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (output, process.returncode) == ("", -signal.SIGINT)
    assert "KeyboardInterrupt" in errors
