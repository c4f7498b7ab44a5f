"""Structured logs: a JSON object a line on stderr, without secrets, of bounded size, with the current trace's ids."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from opentelemetry import trace

from libs.telemetry.redaction import redact, redact_text

MAX_MESSAGE_CHARS = 8_192
MAX_EXCEPTION_CHARS = 16_384
MAX_FIELD_CHARS = 2_048
MAX_FIELDS = 32

# What these say below the level is noise, or (httpx, httpcore, aiokafka, faststream) repeats URLs, headers and records.
_QUIET = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "aiokafka": logging.WARNING,
    "faststream": logging.WARNING,
    "asyncio": logging.WARNING,
    "opentelemetry": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_PLAIN = logging.Formatter()


class JsonFormatter(logging.Formatter):
    """Turns a record into one line; message, arguments, exception and extra fields pass redaction."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": redact_text(_message(record), max_chars=MAX_MESSAGE_CHARS),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
            line["span_id"] = f"{context.span_id:016x}"
        line |= self._fields(record)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact_text(_tail(_PLAIN.formatException(record.exc_info)))
        if record.stack_info:
            line["stack"] = redact_text(_tail(record.stack_info))
        return json.dumps(line, default=str)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        kept = dict(list(extra.items())[:MAX_FIELDS])
        fields: dict[str, Any] = redact(kept, max_chars=MAX_FIELD_CHARS)
        return {f"{key}_" if key in {"at", "level", "service", "logger"} else key: fields[key] for key in fields}


def configure_logging(service: str, level: str = "INFO") -> None:
    """Make stderr the one place of all logs of this process, ours and the libraries', and log what nobody caught.

    Called once, before anything starts; calling it again replaces the set-up. Raises ValueError for an unknown level.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        library = logging.getLogger(name)
        library.handlers[:] = []
        library.propagate = True
        library.setLevel(max(least, root.level))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # arguments that do not fit: the line matters more than its form
        return f"{record.msg!s} {record.args!r}"


def _tail(text: str) -> str:
    """The end of a traceback names the error, so a long one loses its beginning."""
    return text if len(text) <= MAX_EXCEPTION_CHARS else "... " + text[-MAX_EXCEPTION_CHARS:]


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("platformbus").critical("nobody caught this error", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        logging.getLogger("platformbus").critical(
            "nobody caught this error in a thread", exc_info=(args.exc_type, args.exc_value, args.exc_traceback)
        )
