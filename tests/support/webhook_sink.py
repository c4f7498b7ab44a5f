"""What a subscriber runs: an HTTP server that answers handshakes, keeps deliveries and answers them as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST as it came. `headers`: names in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class WebhookSink:
    """`statuses` are given to deliveries one after the other; 200 when there is none left."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.verify_token = "whatever we agreed on / ä"
        self.statuses: list[int] = []
        self.handshakes: list[dict[str, str]] = []
        self._deliveries: list[Delivery] = []
        self._came = threading.Condition()

    def got(self, count: int) -> list[Delivery]:
        """The first so many deliveries; waits for them."""
        with self._came:
            came = self._came.wait_for(lambda: len(self._deliveries) >= count, WAIT_SECONDS)
            assert came, f"{len(self._deliveries)} of {count} deliveries came"
            return self._deliveries[:count]

    def count(self) -> int:
        with self._came:
            return len(self._deliveries)

    def take(self, delivery: Delivery) -> int:
        with self._came:
            self._deliveries.append(delivery)
            self._came.notify_all()
            return self.statuses.pop(0) if self.statuses else 200

    def greet(self, query: dict[str, str]) -> bytes | None:
        self.handshakes.append(query)
        known = query.get("hub.mode") == "subscribe" and query.get("hub.verify_token") == self.verify_token
        return query["hub.challenge"].encode() if known else None


@contextmanager
def webhook_sink() -> Iterator[WebhookSink]:
    """A subscriber on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            challenge = known.greet(query)
            self._answer(200 if challenge else 403, challenge or b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._answer(known.take(Delivery(headers, body)), b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            """Nothing of a test's traffic belongs on its error output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known = WebhookSink(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def sink() -> Iterator[WebhookSink]:
    """A subscriber of its own for each test."""
    with webhook_sink() as started:
        yield started
