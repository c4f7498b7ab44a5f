"""The limit of what aiokafka may log."""

import logging

from libs.messaging.kafka_logs import QUIET_SECONDS, OncePerWhile


def _record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka.conn", logging.WARNING, "x.py", 1, text, args, None)


def test_the_same_text_passes_once_per_while_and_says_how_many_were_held_back() -> None:
    now = [100.0]
    limit = OncePerWhile(clock=lambda: now[0])
    assert limit.filter(_record("Unable to connect to node %s", 1))
    assert [limit.filter(_record("Unable to connect to node %s", node)) for node in range(5)] == [False] * 5
    assert limit.filter(_record("something else"))
    now[0] += QUIET_SECONDS
    again = _record("Unable to connect to node %s", 7)
    assert limit.filter(again)
    assert again.getMessage() == "Unable to connect to node 7 (and 5 like it before)"
