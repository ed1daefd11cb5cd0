"""Questions to a model behind an OpenAI-compatible endpoint: limited in rate, retried, remembered."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from dapo.verify.answer_cache import AnswerCache

_LONGEST_PAUSE = 60.0
_PASSING = frozenset({408, 409, 425, 429})
"""Status codes, besides those from 500, that another attempt may not meet."""


class EndpointError(RuntimeError):
    """A question that stayed without an answer."""


@dataclass(frozen=True)
class Endpoint:
    """Where a model is asked, how it samples, and how much is asked of it.

    The limits hold for one process. Equal endpoints in a process share connections, limits and memory.
    """

    urls: tuple[str, ...]
    """Base addresses, such as `http://judge:8000/v1`. They take turns, and a retry goes to the next one."""
    model: str
    api_key_env: str = ""
    """Name of the environment variable that holds the key. The key itself is never stored or shown."""
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 2048
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More of the request's body, as the server takes it: `{top_k: 20, reasoning_effort: medium}`."""
    timeout_seconds: float = 120.0
    """For one attempt."""
    deadline_seconds: float = 600.0
    """For an answer, waiting for a turn and all attempts included."""
    retries: int = 6
    pause_seconds: float = 1.0
    """Before the first retry. It doubles each time, varies by half, and is never below what is asked for."""
    requests_per_second: float = 0.0
    """0: no limit."""
    concurrency: int = 16
    """Requests under way at once."""
    cache: str = ""
    """A file that remembers answers from run to run. Within a run they always are remembered."""

    def __post_init__(self) -> None:
        if not self.urls or not all(url.startswith(("http://", "https://")) for url in self.urls):
            raise ValueError("urls must be one or more addresses such as http://localhost:8000/v1")
        if not self.model:
            raise ValueError("model must be the name under which the endpoint serves its model")
        if self.api_key_env and self.api_key_env not in os.environ:
            raise ValueError(f"api_key_env: {self.api_key_env!r} is not set in the environment; export it")
        for name in ("timeout_seconds", "deadline_seconds", "max_tokens", "concurrency"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0")
        for name in ("retries", "pause_seconds", "requests_per_second", "temperature"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0")

    def ask_all(self, questions: Sequence[str]) -> list[str | EndpointError]:
        """The answer to each question, asked at once, or why there is none."""
        future = asyncio.run_coroutine_threadsafe(_client(_key(self), self).ask_all(questions), _loop())
        return future.result()

    def body(self, question: str) -> dict[str, Any]:
        """What is sent."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            **self.extra,
        }


class _Passing(Exception):
    """A failure that another attempt may not meet."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait
        """Seconds the server asks to wait."""


class _Client:
    """Asks an endpoint. Lives in the event loop of this module, and nowhere else."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(timeout=endpoint.timeout_seconds)
        self._turn = asyncio.Semaphore(endpoint.concurrency)
        self._urls = itertools.cycle(url.rstrip("/") for url in endpoint.urls)
        self._answers = AnswerCache(endpoint.cache)
        self._next_slot = 0.0

    async def ask_all(self, questions: Sequence[str]) -> list[str | EndpointError]:
        return await asyncio.gather(*(self._ask(question) for question in questions))

    async def _ask(self, question: str) -> str | EndpointError:
        body = json.dumps(self._endpoint.body(question), sort_keys=True).encode("ascii")
        known = self._answers.get(body)
        if known is not None:
            return known
        deadline = time.monotonic() + self._endpoint.deadline_seconds
        trouble = "no attempt was made"
        for attempt in range(self._endpoint.retries + 1):
            try:
                answer = await self._attempt(body, deadline)
            except _Passing as failure:
                trouble = str(failure)
                pause = self._pause(attempt, failure.wait)
                if time.monotonic() + pause > deadline:
                    break
                if attempt < self._endpoint.retries:
                    await asyncio.sleep(pause)
            except EndpointError as failure:
                return failure
            else:
                self._answers.put(body, answer)
                return answer
        return EndpointError(f"{self._endpoint.model} gave no answer: {trouble}")

    def _pause(self, attempt: int, asked: float) -> float:
        pause: float = min(self._endpoint.pause_seconds * 2**attempt, _LONGEST_PAUSE)
        return max(pause * random.uniform(0.5, 1.5), asked)

    async def _attempt(self, body: bytes, deadline: float) -> str:
        """Raises _Passing, or EndpointError where another attempt is of no use."""
        try:
            return await asyncio.wait_for(self._request(body), max(deadline - time.monotonic(), 0.0))
        except asyncio.TimeoutError:
            raise _Passing("it took too long") from None

    async def _request(self, body: bytes) -> str:
        async with self._turn:
            await self._slot()
            # Once per attempt: httpx's own limit is on the silence between two bytes.
            return await asyncio.wait_for(self._send(body), self._endpoint.timeout_seconds)

    async def _slot(self) -> None:
        """Waits until the rate allows another request."""
        if self._endpoint.requests_per_second:
            slot = max(time.monotonic(), self._next_slot)
            self._next_slot = slot + 1 / self._endpoint.requests_per_second
            await asyncio.sleep(slot - time.monotonic())

    async def _send(self, body: bytes) -> str:
        key = os.environ.get(self._endpoint.api_key_env, "")
        header = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = await self._http.post(
                f"{next(self._urls)}/chat/completions",
                content=body,
                headers={"Content-Type": "application/json", **header},
            )
        except httpx.HTTPError as error:
            raise _Passing(f"{type(error).__name__}: {error}") from error
        if response.status_code >= 500 or response.status_code in _PASSING:
            raise _Passing(f"status {response.status_code}", _asked_to_wait(response.headers))
        if response.status_code >= 300:
            said = response.text[:300].replace(key, "(the key)") if key else response.text[:300]
            raise EndpointError(f"{self._endpoint.model} refused, status {response.status_code}: {said}")
        return _content(response)


def _content(response: httpx.Response) -> str:
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _Passing(f"the answer is no chat completion: {response.text[:100]!r}") from error
    if not isinstance(content, str):
        raise _Passing("the answer holds no text")
    return content


def _asked_to_wait(headers: Mapping[str, str]) -> float:
    """Seconds that `Retry-After` asks for: a number, or a date."""
    asked = headers.get("retry-after", "0")
    try:
        if asked.strip().isdecimal():
            return float(asked)
        return (parsedate_to_datetime(asked) - datetime.now(timezone.utc)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _key(endpoint: Endpoint) -> str:
    return json.dumps(asdict(endpoint), sort_keys=True)


_CLIENTS: dict[str, _Client] = {}
_LOCK = threading.Lock()


def _client(key: str, endpoint: Endpoint) -> _Client:
    with _LOCK:
        if key not in _CLIENTS:
            _CLIENTS[key] = _Client(endpoint)
        return _CLIENTS[key]


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop in a thread of its own: connections and limits belong to a loop, and outlive a call."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="dapo-judge", daemon=True).start()
    return loop
