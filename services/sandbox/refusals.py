"""Hosts that somebody asked for and the sandbox does not stand for: refused, and counted here."""

import logging
from collections import Counter

MAX_HOSTS = 1000
MAX_HOST_CHARS = 255
OTHERS = "(others)"
_logger = logging.getLogger("sandbox.refusals")


class Refusals:
    """Counts by `host` or `host:port`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, host: str) -> None:
        host = host[:MAX_HOST_CHARS]
        if host not in self._counts:
            if len(self._counts) >= MAX_HOSTS:
                host = OTHERS
            else:
                # Once for each: a client that tries again and again would fill the log.
                _logger.warning("refused: the sandbox stands for no host %r", host)
        self._counts[host] += 1

    def as_json(self) -> dict[str, object]:
        return {"count": self._counts.total(), "hosts": dict(sorted(self._counts.items()))}
