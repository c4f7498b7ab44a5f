"""What the server lets a client take: time, bytes, places."""

from dataclasses import dataclass

from libs.runtime.body import BODY_SECONDS, DISCARD_SECONDS, DISCARDED_BYTES, MAX_HEAD_BYTES


@dataclass(frozen=True, slots=True)
class ProtocolLimits:
    """What one connection may take; `connections` is for all of a server."""

    connections: int = 1_024
    head_seconds: float = 10.0
    """From a connection's start, or from the first byte of a later request, to the end of the head."""
    head_bytes: int = MAX_HEAD_BYTES
    """Request line and headers; also trailers and chunk extensions together."""
    headers: int = 128
    body_seconds: float = BODY_SECONDS
    """From the end of the head to the end of the body."""
    idle_seconds: float = 15.0
    write_seconds: float = 30.0
    """How long a client may take nothing of its answer."""
    linger_seconds: float = DISCARD_SECONDS
    """How long a client may go on sending what will not be read."""
    linger_bytes: int = DISCARDED_BYTES
    fresh_seconds: float = 1.0
    """Who has kept us waiting for less is not made to go when places run out."""
    pipelined: int = 16
    """Requests that may wait behind the one being served."""
