"""A server with an OpenAI-compatible endpoint that answers, and fails, on command."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Failure = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Failure:
    def fail(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        send(handler, b"no")

    return fail


def body(content: bytes) -> Failure:
    def fail(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        send(handler, content)

    return fail


def slow(seconds: float) -> Failure:
    return lambda handler: time.sleep(seconds)


def half_closed(handler: BaseHTTPRequestHandler) -> None:
    """Promises more than it sends, and hangs up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Sends a byte now and then, without end: no silence is ever long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def send(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@dataclass
class Served:
    """What the server was asked, and what it is to do."""

    reply: Callable[[str], str]
    url: str = ""
    failures: list[Failure] = field(default_factory=list)
    """One for each of the next requests."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    """Most requests under way at once."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][0]["content"] for request in self.requests]


@contextmanager
def model_server(reply: Callable[[str], str], seconds: float = 0.0) -> Iterator[Served]:
    """Serves `reply` of the prompt, after `seconds`."""
    served = Served(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with served.lock:
                served.requests.append(request)
                served.keys.append(self.headers["Authorization"])
                served.times.append(time.monotonic())
                served.busy += 1
                served.busiest = max(served.busy, served.busiest)
                failure = served.failures.pop(0) if served.failures else None
            time.sleep(seconds)
            with served.lock:
                served.busy -= 1
            try:
                if failure is None or self.path != "/v1/chat/completions":
                    content = served.reply(request["messages"][0]["content"])
                    message = {"choices": [{"message": {"role": "assistant", "content": content}}]}
                    body(json.dumps(message).encode())(self)
                else:
                    failure(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # The other side did not want to wait.

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()
