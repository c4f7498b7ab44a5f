"""Hosts that somebody asked for and the sandbox does not stand for: refused, and counted here."""

import logging
from collections import Counter

MAX_HOSTS = 1000
OTHERS = "(others)"
_logger = logging.getLogger("sandbox.refusals")


class Refusals:
    """Counts by `host` or `host:port`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, host: str) -> None:
        if host not in self._counts:
            if len(self._counts) >= MAX_HOSTS:
                host = OTHERS
            else:
                # Once for each: a client that tries again and again would fill the log.
                _logger.warning("refused: the sandbox stands for no host %r", host[:255])
        self._counts[host[:255]] += 1

    def as_json(self) -> dict[str, object]:
        return {"count": self._counts.total(), "hosts": dict(sorted(self._counts.items()))}
