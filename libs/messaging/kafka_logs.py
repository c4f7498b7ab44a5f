"""aiokafka warns once per attempt while a broker is away (hundreds of lines in seconds): a few a minute say as much."""

import logging
import time
from collections.abc import Callable
from typing import Final

_LOGGERS: Final = (
    "aiokafka",  # the client itself logs under this name
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)
QUIET_SECONDS: Final = 10.0


class OncePerWhile(logging.Filter):
    """Lets one record of each text template pass per 10 s, with the number of those held back before it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        template = str(record.msg)
        now = self._clock()
        if now - self._last.get(template, -QUIET_SECONDS) < QUIET_SECONDS:
            self._held[template] = self._held.get(template, 0) + 1
            return False
        if len(self._last) > 1_000:
            self._last.clear()
            self._held.clear()
        self._last[template] = now
        held = self._held.pop(template, 0)
        if held:
            record.msg = f"{template} (and {held} like it before)"
        return True


_limit: Final = OncePerWhile()


def limit_kafka_logs() -> None:
    """Limit what aiokafka's loggers let through. Safe to call again: a filter is attached once."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_limit)
