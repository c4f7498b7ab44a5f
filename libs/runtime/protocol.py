"""HTTP/1.1 on one connection: uvicorn's httptools protocol, with the limits and the strictness that it leaves out.

- Deadlines for a request's head, its body, an idle connection, a client that does not read. A byte extends none of
  them, so who trickles is cut like who is silent.
- Heads, trailers and chunk extensions have a size, connections a number. Where there are too many, the ones that have
  been idle longest make room for new ones; where too many requests are served, those that wait for slow clients.
- A request whose length can be read in two ways is refused and the connection closed, and so is a repeated or missing
  Host. Trailers never become headers. An offer to upgrade is ignored, as RFC 9110 section 7.8 allows.
- A refusal comes after the answers to the requests before it, and the connection stays open for reading for a moment,
  so that it arrives. An answer leaves in one write.
"""

import asyncio
import math
from enum import Enum
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from libs.runtime.cycle import Cycle, Refused, malformed, too_large
from libs.runtime.limits import ProtocolLimits
from libs.runtime.room import Room
from libs.telemetry.metrics import counter, gauge

CUT: Final = counter(
    "http_server_cut_connections_total", "Connections that the server ended for breaking a rule or a limit", ["reason"]
)
CONNECTIONS: Final = gauge("http_server_connections", "Open connections of clients")
_FRAMING: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_UPGRADING: Final = frozenset({b"upgrade", b"connection"})
_OVERHEAD_PER_BYTE: Final = 8
"""A chunk of one byte takes five more."""


class _Phase(Enum):
    """What is expected of the client."""

    IDLE = 1
    HEAD = 2
    BODY = 3
    NOTHING = 4
    """What still comes is thrown away."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        limits: ProtocolLimits,
        room: Room,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._room = room
        self._phase = _Phase.HEAD
        self._deadline = math.inf
        self._write_deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._chunk_bytes = 0
        self._head_bytes = 0  # at most so much of the head has come
        self._discarded_bytes = 0
        self._framing: dict[bytes, bytes] = {}
        self._overhead_bytes = 0
        self._skipping = False  # a head that offers an upgrade is being read for the first time
        self._served: RequestResponseCycle | None = None  # `cycle` is the one that was read last
        self._refusal: bytes | None = None  # to be sent when what came before is answered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        full = len(self.connections) >= self._limits.connections and not self._room.make_for_connection()
        super().connection_made(transport)
        CONNECTIONS.set(len(self.connections))
        if full:  # and not for a moment longer: those who are refused are connections too
            CUT.labels("too_many_connections").inc()
            transport.write(Refused(503, "too_many_connections", "Too many connections are open.").answer())
            self._close()
        else:
            self._expect(_Phase.HEAD, self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._served is not None:
            self._served.disconnected = not self._served.response_complete
            self._served.message_event.set()
        super().connection_lost(exc)
        CONNECTIONS.set(len(self.connections))
        self._deadline = self._write_deadline = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase is _Phase.NOTHING:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > self._limits.linger_bytes:
                self.transport.abort()
            return
        if phase is _Phase.IDLE:
            self._phase = _Phase.HEAD
            self._head_bytes = 0
            self._deadline = math.inf
        self._chunk_bytes = len(data)
        self._head_bytes += len(data)
        self._overhead_bytes += len(data)
        try:
            self._feed(data)
            self._check_progress()
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else malformed())
        except Refused as refused:
            self._refuse(refused)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            # The parser takes what follows such a head for another protocol: it reads the head again without the offer.
            wants_close = any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
            kept = [(name, value) for name, value in self.headers if name not in _UPGRADING]
            kept.append((b"connection", b"close" if wants_close else b"keep-alive"))
            version = self.parser.get_http_version().encode()
            lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
            lines += [b"%s: %s" % header for header in kept]
            self.parser = httptools.HttpRequestParser(self)
            self._feed(b"\r\n".join([*lines, b"", b""]) + data[offer.args[0] :])

    def _check_progress(self) -> None:
        """After a piece of input: limits of what is not complete yet."""
        if self._phase is _Phase.HEAD:
            if self._head_bytes > self._limits.head_bytes:
                raise too_large()
            if self._deadline == math.inf:
                self._expect(_Phase.HEAD, self._limits.head_seconds)
        elif self._phase is _Phase.BODY:
            if self._deadline == math.inf:
                self._expect(_Phase.BODY, self._limits.body_seconds)
            if self._overhead_bytes > self._limits.head_bytes:
                raise too_large()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = _Phase.HEAD
        self._head_bytes = self._chunk_bytes if self._head_bytes > self._chunk_bytes else self._head_bytes
        self._framing = {}
        self._skipping = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not _Phase.HEAD:
            return  # a trailer
        name = name.lower()
        if name in _FRAMING:
            if name in self._framing:
                raise Refused(400, "bad_request", "A header that can only be given once is given twice.")
            self._framing[name] = value
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        if len(self.headers) > self._limits.headers:
            raise too_large()
        if self._head_bytes > self._limits.head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._limits.head_bytes:
                raise too_large()
        version = parser.get_http_version()
        self._check_framing(version)
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise malformed()
            self._skipping = True
            return
        self._fill_scope(version)
        waits = self.cycle is not None and not self.cycle.response_complete
        if waits and len(self.pipeline) >= self._limits.pipelined:
            raise malformed()
        self._phase = _Phase.BODY
        self._deadline = math.inf
        self._overhead_bytes = 0
        self.cycle = cycle = Cycle(self, self._on_answered, keep_alive=version == "1.1" and parser.should_keep_alive())
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        else:
            self._serve(cycle)

    def on_body(self, body: bytes) -> None:
        left = self._overhead_bytes - (1 + _OVERHEAD_PER_BYTE) * len(body)
        self._overhead_bytes = max(left, -HIGH_WATER_LIMIT)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._skipping:
            return
        self._phase = _Phase.IDLE
        self._deadline = math.inf
        cycle = self.cycle
        cycle.more_body = False
        cycle.message_event.set()

    def _check_framing(self, version: str) -> None:
        framing = self._framing
        if version not in ("1.1", "1.0"):
            raise Refused(400, "bad_request", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if b"host" not in framing and version == "1.1":
            raise Refused(400, "bad_request", "The header Host is missing.")
        if b"transfer-encoding" in framing and (
            b"content-length" in framing
            or version != "1.1"
            or framing[b"transfer-encoding"].strip().lower() != b"chunked"
        ):
            raise Refused(400, "bad_request", "The end of the body cannot be told: send Content-Length, or chunked.")
        self.expect_100_continue = framing.get(b"expect", b"").lower() == b"100-continue"

    def _fill_scope(self, version: str) -> None:
        scope = self.scope
        url = httptools.parse_url(self.url)
        raw_path = url.path
        if raw_path is None:
            raise malformed()
        path = raw_path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""

    def _serve(self, cycle: RequestResponseCycle) -> None:
        self._served = cycle
        self._start_asgi_task(cycle, self.app)

    def _on_answered(self, cycle: Cycle) -> None:
        """Go on with what waits behind an answer that is out."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not cycle.keep_alive:
            self.pipeline.clear()
            if cycle.more_body:
                self._linger()
            else:
                self._close()
            return
        self.flow.resume_reading()
        if self.pipeline:
            waiting, _ = self.pipeline.pop()
            self._serve(waiting)
        elif self._refusal is not None:
            self._send_refusal(self._refusal)
        elif self._phase is _Phase.IDLE:
            self._expect(_Phase.IDLE, self._limits.idle_seconds)

    def _refuse(self, refused: Refused) -> None:
        """Answer for the server and end the connection, once the requests before this one are answered."""
        CUT.labels(refused.reason).inc()
        if self.transport.is_closing():
            self.transport.abort()
            return
        cycle = self.cycle
        is_its_body = self._phase is _Phase.BODY
        self._phase = _Phase.NOTHING
        self._deadline = math.inf
        if cycle is None or cycle.response_complete:
            self._send_refusal(refused.answer())
        elif is_its_body and not self.pipeline:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
            else:
                self._send_refusal(refused.answer())
        else:
            if is_its_body:
                self.pipeline.popleft()
            self._refusal = refused.answer()

    def _send_refusal(self, answer: bytes) -> None:
        self.transport.write(answer)
        self._linger()

    def _linger(self) -> None:
        """Send nothing more, but read on for a moment: a client that still sends would lose the answer otherwise."""
        self._expect(_Phase.NOTHING, self._limits.linger_seconds)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _close(self) -> None:
        """Close when what was written is out; a client that takes it too slowly loses it."""
        self._expect(_Phase.NOTHING, self._limits.linger_seconds)
        self.transport.close()

    @property
    def deadline(self) -> float:
        """When what is expected of the client is given up."""
        return min(self._deadline, self._write_deadline)

    def is_spare(self, now: float) -> bool:
        """Whether nothing is being served here, and nothing but a slow head is being read."""
        limits = self._limits
        if self._phase is _Phase.NOTHING:
            return self._deadline < now + limits.linger_seconds - limits.fresh_seconds
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        is_slow = self._deadline < now + limits.head_seconds - limits.fresh_seconds
        return self._phase is _Phase.IDLE or (self._phase is _Phase.HEAD and is_slow)

    def leave(self) -> None:
        """Make room for another connection."""
        CUT.labels("made_room").inc()
        if self._phase is _Phase.NOTHING:
            self._deadline = math.inf
            self.transport.abort()
        else:
            self._close()

    def keeps_waiting(self, now: float, *, long: bool) -> bool:
        """Whether the request being served waits for its body, or for room for its answer."""
        until = now - (self._limits.fresh_seconds if long else 0.0)
        if self.flow.write_paused:
            return self._write_deadline < until + self._limits.write_seconds and not self.cycle.response_complete
        is_body = self._phase is _Phase.BODY and not self.flow.read_paused and not self.pipeline
        return is_body and self._deadline < until + self._limits.body_seconds

    def give_up(self) -> None:
        """Make room for another request."""
        if self.flow.write_paused:
            self._write_deadline = math.inf
            CUT.labels("answer_made_room").inc()
            self.transport.abort()
        else:
            self._refuse(Refused(503, "body_made_room", "Others need the place that this body kept by coming slowly."))

    def _expect(self, phase: _Phase, seconds: float) -> None:
        """Expect something by a time. The one timer is armed again when it rings: most deadlines never touch it."""
        self._phase = phase
        self._deadline = self.loop.time() + seconds
        self._arm(self._deadline)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_at(at, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self.loop.time() + 0.001  # the loop's clock has milliseconds
        if now >= self._write_deadline:
            CUT.labels("answer_not_read").inc()
            self.transport.abort()
            return
        if now >= self._deadline:
            self._late()
        due = min(self._deadline, self._write_deadline)
        if due < math.inf:  # also while it closes: what nobody reads would keep it open for ever
            self._arm(due)

    def _late(self) -> None:
        phase, self._deadline = self._phase, math.inf
        if phase is _Phase.NOTHING:
            self.transport.abort()
        elif phase is _Phase.IDLE or (phase is _Phase.HEAD and not self._head_bytes):
            self._close()
        elif self.flow.read_paused:  # we are the slow one
            self._expect(phase, self._limits.body_seconds)
        elif phase is _Phase.HEAD:
            self._refuse(Refused(408, "head_too_slow", "The headers did not arrive in time."))
        else:
            self._refuse(Refused(408, "body_too_slow", "The body did not arrive in time."))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.time() + self._limits.write_seconds
        self._arm(self._write_deadline)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._write_deadline = math.inf
