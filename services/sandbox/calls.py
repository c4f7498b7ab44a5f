"""The log of calls: one row per call in order of arrival, one row per item of a batch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.sandbox.clock import rfc3339

MAX_ROWS = 500_000
"""The oldest half goes when the log is full: the sandbox must not grow without end in a long soak."""
MAX_PAGE = MAX_ROWS


@dataclass(slots=True)
class CallRow:
    """One call. `status` is None until the answer is sent, and stays None when the connection was cut."""

    seq: int
    at: datetime
    via: str
    platform: str
    method: str
    host: str
    path: str
    query: dict[str, list[str]]
    parent: int | None = None
    operation: str | None = None
    token: str | None = None
    status: int | None = None
    cost: dict[str, int] = field(default_factory=dict)
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "at": rfc3339(self.at),
            "via": self.via,
            "platform": self.platform,
            "method": self.method,
            "host": self.host,
            "path": self.path,
            "query": self.query,
            "operation": self.operation,
            "token": self.token,
            "status": self.status,
            "cost": self.cost,
            "fault": self.fault,
            "parent": self.parent,
        }


class CallLog:
    """Rows numbered from 1 without gaps."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._rows: list[CallRow] = []
        self._last = 0

    def begin(
        self,
        *,
        via: str,
        platform: str,
        method: str,
        host: str,
        path: str,
        query: dict[str, list[str]],
        parent: int | None = None,
    ) -> CallRow:
        """Give a call its number. `query` must be free of secrets already."""
        self._last += 1
        row = CallRow(self._last, self._now(), via, platform, method, host, path, query, parent)
        self._rows.append(row)
        if len(self._rows) > MAX_ROWS:
            del self._rows[: MAX_ROWS // 2]
        return row

    def read(self, *, since: int = 0, platform: str | None = None, limit: int = MAX_PAGE) -> dict[str, Any]:
        """Rows after number `since`, oldest first; `next` is the mark to read on from."""
        first = self._rows[0].seq if self._rows else self._last + 1
        chosen: list[CallRow] = []
        seen = max(since, 0)
        for row in self._rows[max(0, since + 1 - first) :]:
            if len(chosen) >= limit:
                break
            seen = row.seq
            if platform is None or row.platform == platform:
                chosen.append(row)
        return {"next": min(seen, self._last), "calls": [row.as_json() for row in chosen]}
