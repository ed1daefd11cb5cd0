from __future__ import annotations

import pickle
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from dapo.verify.endpoint import Endpoint, EndpointError
from tests.unit.verify.model_server import (
    Failure,
    Served,
    body,
    dripping,
    half_closed,
    model_server,
    slow,
    status,
)


@pytest.fixture
def server() -> Iterator[Served]:
    with model_server(lambda prompt: f"re: {prompt}") as served:
        yield served


def endpoint(*served: Served, **settings: Any) -> Endpoint:
    return Endpoint(
        tuple(one.url for one in served), "m", **{"pause_seconds": 0.01, "timeout_seconds": 0.3, **settings}
    )


def test_what_is_sent_and_what_comes_back(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "s3cret")
    asked = endpoint(server, api_key_env="JUDGE_KEY", temperature=0.7, top_p=0.8, extra={"top_k": 20})
    assert asked.ask_all(["one", "two"]) == ["re: one", "re: two"]
    assert server.keys == ["Bearer s3cret"] * 2
    assert server.requests[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": server.prompts[0]}],
        "temperature": 0.7,
        "top_p": 0.8,
        "max_tokens": 2048,
        "top_k": 20,
    }
    assert "s3cret" not in repr(asked) and b"s3cret" not in pickle.dumps(asked)


@pytest.mark.parametrize(
    "failure",
    [
        status(429),
        status(500),
        status(503),
        slow(0.5),
        dripping,
        half_closed,
        body(b"garbage"),
        body(b""),
        body(b"\xff\xfe"),
        body(b"[" * 100_000),
        body(b'{"choices": []}'),
        body(b'{"choices": [{"message": {"content": null}}]}'),
        body(b'{"error": "overloaded"}'),
    ],
)
def test_a_failure_that_passes_is_tried_again(server: Served, failure: Failure) -> None:
    server.failures = [failure, failure]
    assert endpoint(server).ask_all(["x"]) == ["re: x"]
    assert len(server.requests) == 3


def test_a_failure_that_stays_is_an_error(server: Served) -> None:
    server.failures = [status(500)] * 9
    [answer] = endpoint(server, retries=2).ask_all(["x"])
    assert isinstance(answer, EndpointError) and "m gave no answer: status 500" in str(answer)
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [400, 401, 404, 302])
def test_a_refusal_is_not_tried_again(server: Served, code: int) -> None:
    server.failures = [status(code)]
    [answer] = endpoint(server).ask_all(["x"])
    assert isinstance(answer, EndpointError) and f"refused, status {code}: no" in str(answer)
    assert len(server.requests) == 1


def test_an_answer_that_drips_is_not_waited_for(server: Served) -> None:
    server.failures = [dripping]
    start = time.monotonic()
    assert isinstance(endpoint(server, retries=0).ask_all(["x"])[0], EndpointError)
    assert time.monotonic() - start < 1.2  # It would take 2.


def test_a_refusal_does_not_show_the_key(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "no")  # What the server says.
    server.failures = [status(401)]
    [answer] = endpoint(server, api_key_env="JUDGE_KEY").ask_all(["x"])
    assert str(answer).endswith("status 401: (the key)")


def test_one_failure_leaves_the_others(server: Served) -> None:
    server.failures = [status(400)]
    answers = endpoint(server, concurrency=1).ask_all(["a", "b", "c"])
    assert [isinstance(answer, EndpointError) for answer in answers] == [True, False, False]


def test_nobody_is_there() -> None:
    asked = Endpoint(("http://127.0.0.1:9/v1",), "m", retries=1, pause_seconds=0.01)
    [answer] = asked.ask_all(["x"])
    assert isinstance(answer, EndpointError) and "ConnectError" in str(answer)


def test_the_server_is_left_alone_as_long_as_it_asks(server: Served) -> None:
    server.failures = [status(429, Retry_After="1")]
    assert endpoint(server).ask_all(["x"]) == ["re: x"]
    assert server.times[1] - server.times[0] >= 1


def test_a_date_to_retry_after(server: Served) -> None:
    later = datetime.now(timezone.utc) + timedelta(seconds=2)
    server.failures = [status(503, Retry_After=format_datetime(later, usegmt=True))]
    assert endpoint(server).ask_all(["x"]) == ["re: x"]
    assert server.times[1] - server.times[0] >= 0.9  # The date has whole seconds.


@pytest.mark.parametrize("asked", ["soon", "-5", "1e400", "Mon, 99 Foo 99999 00:00:00 GMT"])
def test_a_senseless_time_to_retry_after(server: Served, asked: str) -> None:
    server.failures = [status(429, Retry_After=asked)]
    assert endpoint(server).ask_all(["x"]) == ["re: x"]


def test_pauses_grow(server: Served) -> None:
    server.failures = [status(500)] * 3
    assert endpoint(server, pause_seconds=0.1).ask_all(["x"]) == ["re: x"]
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    for gap, pause in zip(gaps, [0.1, 0.2, 0.4], strict=True):  # Each varies by half.
        assert 0.5 * pause <= gap <= 1.5 * pause + 0.15


def test_the_deadline(server: Served) -> None:
    start = time.monotonic()
    for failures in ([slow(2)], [status(429, Retry_After="99")], [status(500)] * 99):
        server.failures = list(failures)
        asked = endpoint(server, deadline_seconds=0.4, timeout_seconds=5, retries=99)
        assert isinstance(asked.ask_all([f"x{len(failures)}{time.monotonic()}"])[0], EndpointError)
        server.failures = []
    assert time.monotonic() - start < 2.5


def test_the_rate(server: Served) -> None:
    endpoint(server, requests_per_second=20).ask_all([f"{place}" for place in range(6)])
    assert server.times[-1] - server.times[0] >= 5 / 20 - 0.02


def test_requests_under_way_at_once() -> None:
    with model_server(str, seconds=0.05) as served:
        endpoint(served, concurrency=3).ask_all([f"{place}" for place in range(9)])
        assert served.busiest == 3


def test_endpoints_take_turns_and_one_that_fails_is_passed_over(server: Served) -> None:
    with model_server(lambda prompt: f"re: {prompt}") as other:
        other.failures = [status(500)] * 99
        asked = endpoint(server, other)
        assert asked.ask_all(["a", "b", "c", "d"]) == ["re: a", "re: b", "re: c", "re: d"]
        assert len(other.requests) >= 2 and len(server.requests) == 4


def test_an_answer_is_remembered(server: Served) -> None:
    assert endpoint(server).ask_all(["x"]) == endpoint(server).ask_all(["x"])
    assert len(server.requests) == 1
    endpoint(server, temperature=0.5).ask_all(["x"])
    assert len(server.requests) == 2


def test_errors_are_not_remembered(server: Served) -> None:
    server.failures = [status(400)]
    asked = endpoint(server)
    assert isinstance(asked.ask_all(["x"])[0], EndpointError)
    assert asked.ask_all(["x"]) == ["re: x"]


def test_a_file_remembers_from_run_to_run(server: Served, tmp_path: Path) -> None:
    cache = str(tmp_path / "new" / "answers.db")
    endpoint(server, cache=cache).ask_all(["x"])
    # Another time-out makes it another endpoint, with a memory of its own, but the same request.
    assert endpoint(server, cache=cache, timeout_seconds=0.4).ask_all(["x"]) == ["re: x"]
    assert len(server.requests) == 1


def test_a_file_that_is_no_cache(server: Served, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and long enough to tell" * 50)
    with pytest.raises(ValueError, match=r"notes.txt is no cache .* name another file"):
        endpoint(server, cache=str(tmp_path / "notes.txt")).ask_all(["x"])


def test_a_cache_that_breaks_costs_no_answer(server: Served, tmp_path: Path) -> None:
    cache = str(tmp_path / "answers.db")
    asked = endpoint(server, cache=cache)
    asked.ask_all(["x"])
    with sqlite3.connect(cache) as file:
        file.execute("DROP TABLE answers")
    with pytest.warns(UserWarning, match="no longer used"):
        assert asked.ask_all(["y"]) == ["re: y"]
    assert asked.ask_all(["z"]) == ["re: z"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"urls": ()}, "urls must be"),
        ({"urls": ("localhost:8000",)}, "urls must be"),
        ({"model": ""}, "model must be"),
        ({"api_key_env": "DAPO_NO_SUCH_KEY"}, "'DAPO_NO_SUCH_KEY' is not set"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"concurrency": 0}, "concurrency"),
        ({"retries": -1}, "retries"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Endpoint(**{"urls": ("http://localhost/v1",), "model": "m", **settings})
