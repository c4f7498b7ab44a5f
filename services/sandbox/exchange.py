"""What a platform gets and gives: one HTTP call and its answer, whatever way they travelled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from services.sandbox.calls import CallLog
from services.sandbox.clock import Clock
from services.sandbox.deliveries import Deliveries
from services.sandbox.faults import FaultBook

Query = dict[str, list[str]]
JOB_SECONDS = 1
"""Of the sandbox's clock: how long a report takes."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a client made to a platform's host."""

    via: str
    """`prefix` or `proxy`."""
    method: str
    host: str
    path: str
    """As the platform sees it: begins with `/`, without the host's prefix; still percent-encoded."""
    query: Query
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    base_url: str
    """What absolute links inside the answer begin with, e.g. `http://127.0.0.1:8090/graph.facebook.com`."""


@dataclass(slots=True)
class Answer:
    """What is sent back, or not: a cut answer closes the socket without a byte."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    content_type: str = "application/json; charset=UTF-8"
    cut: bool = False
    pad_to_bytes: int = 0
    """Blanks are sent behind the body until it is this long."""


class NotServed(Exception):  # noqa: N818  reads as the fact it reports
    """What the sandbox's own interface names and this platform does not show yet; the text says which."""


class Platform(Protocol):
    """One platform as the core sees it."""

    limits_enforced: bool

    @property
    def name(self) -> str: ...

    @property
    def hosts(self) -> tuple[str, ...]: ...

    def describe(self) -> dict[str, Any]:
        """The platform's part of `GET /_sandbox/world`."""

    async def children(self, kind: str, node_id: str, child: str, *, everything: bool) -> list[dict[str, Any]] | None:
        """The whole true list below an account; None if there is no such account or child."""

    async def metrics(
        self, kind: str, node_id: str, since: date, until: date, by: str | None
    ) -> list[dict[str, Any]] | None:
        """The true daily numbers of an account, or of each of its children of one sort; None if there is none such.

        A row per object and day of the account's zone, both days inclusive, rows of zeros too: `{"id", "date",
        "impressions", "clicks", "spend_micros", "views"?, "likes"?}`; what the platform has no number for is None.
        Raises: NotServed where no statistics answer could add up to them.
        """

    def known_fault_args(self, kind: str) -> Mapping[str, tuple[str, ...] | None] | None:
        """Which args a kind of fault takes here, with their allowed values if those are words; None: kind unknown."""

    async def answer(self, call: Call) -> Answer:
        """Answer a call, and log it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every platform shares with the core until the next reset."""

    clock: Clock
    calls: CallLog
    faults: FaultBook
    deliveries: Deliveries
