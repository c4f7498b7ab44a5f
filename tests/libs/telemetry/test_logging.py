import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from libs.telemetry.logging import MAX_EXCEPTION_CHARS, JsonFormatter, configure_logging
from libs.telemetry.redaction import MARK
from libs.telemetry.tracing import start_span

SECRET = "EAAGm0PX4ZCpsBAKZBZC0123456789"


class Captured:
    """A logger whose lines can be read back as JSON."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        handler = logging.StreamHandler(self.text)
        handler.setFormatter(JsonFormatter("ingest"))
        self.log = logging.Logger("test.logger", logging.DEBUG)
        self.log.addHandler(handler)

    def line(self) -> dict[str, Any]:
        lines = self.text.getvalue().splitlines()
        assert len(lines) == 1
        parsed: dict[str, Any] = json.loads(lines[0])
        return parsed


@pytest.fixture
def captured() -> Captured:
    return Captured()


def test_a_line_says_when_who_and_what(captured: Captured) -> None:
    captured.log.warning("read %d records", 5, extra={"topic": "requests", "partition": 3})
    line = captured.line()
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning",
        "service": "ingest",
        "logger": "test.logger",
        "message": "read 5 records",
        "topic": "requests",
        "partition": 3,
    }


def test_a_secret_in_message_arguments_fields_or_exception_is_hidden(captured: Captured) -> None:
    try:
        raise ValueError(f"cannot reach https://x/?access_token={SECRET}")
    except ValueError as error:
        captured.log.exception(
            "failed with token=%s",
            SECRET,
            extra={"url": f"/me?access_token={SECRET}", "headers": {"Authorization": "q"}},
        )
        captured.log.removeHandler(captured.log.handlers[0])
        assert SECRET in str(error)
    line = captured.line()
    assert SECRET not in json.dumps(line)
    assert line["message"] == f"failed with token={MARK}"
    assert line["headers"] == {"Authorization": MARK}
    assert "ValueError" in line["exception"]


def test_a_secret_given_as_an_argument_object_is_hidden(captured: Captured) -> None:
    captured.log.info("got %s", {"access_token": "not-a-known-shape"})
    assert "not-a-known-shape" not in json.dumps(captured.line())


def test_newlines_of_a_message_cannot_forge_a_second_line(captured: Captured) -> None:
    captured.log.info('one\n{"level": "critical"}\r\u2028two')
    assert captured.line()["message"].startswith("one\n")


def test_arguments_that_do_not_fit_lose_no_line(captured: Captured) -> None:
    captured.log.info("%d records of %s", "many")  # noqa: PLE1206  the fault under test
    assert "many" in captured.line()["message"]


def test_fields_cannot_pass_for_the_frame(captured: Captured) -> None:
    captured.log.info("x", extra={"service": "other", "level": "none"})
    line = captured.line()
    assert (line["service"], line["service_"], line["level"]) == ("ingest", "other", "info")


def test_a_long_traceback_keeps_its_end(captured: Captured) -> None:
    try:
        raise ValueError("start " + "y" * 2 * MAX_EXCEPTION_CHARS + " end")
    except ValueError:
        captured.log.exception("long")
    exception = captured.line()["exception"]
    assert exception.endswith(" end")
    assert len(exception) <= MAX_EXCEPTION_CHARS + 4


def test_a_line_names_the_current_trace(captured: Captured) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with start_span("work", parent_traceparent=parent):
        captured.log.info("inside")
    assert captured.line()["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def process_logging(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Give what was logged to stderr so far; the process's logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level, hook, thread_hook = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hook, thread_hook
    logging.captureWarnings(False)


def test_libraries_speak_through_the_same_handler_and_only_when_it_matters(
    process_logging: Callable[[], list[dict[str, Any]]],
) -> None:
    configure_logging("batcher", "INFO")
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?access_token=%s", SECRET)
    logging.getLogger("uvicorn.access").error("GET / 200")
    logging.getLogger("aiokafka.consumer").error("lost token=%s", SECRET)
    lines = process_logging()
    assert [line["logger"] for line in lines] == ["aiokafka.consumer"]
    assert lines[0]["message"] == f"lost token={MARK}"


def test_an_error_that_nobody_caught_is_logged(process_logging: Callable[[], list[dict[str, Any]]]) -> None:
    configure_logging("batcher")

    def fail() -> None:
        raise RuntimeError(f"token={SECRET}")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (line,) = process_logging()
    assert line["level"] == "critical"
    assert SECRET not in json.dumps(line)


def test_an_unknown_level_is_refused(process_logging: Callable[[], list[dict[str, Any]]]) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("batcher", "loud")
