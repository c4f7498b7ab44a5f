"""Turns all that can go wrong at the HTTP edge into a problem document (RFC 9457): what, where, how to mend it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.events.problem import Problem, ProblemError, ProblemItem, problem
from libs.postgres.pool import is_available_error
from libs.telemetry.redaction import redact_text

CONTENT_TYPE = "application/problem+json"
MAX_ITEMS = 50
RETRY_AFTER_SECONDS = 2

_log = logging.getLogger(__name__)

_TITLES = {
    400: ("bad_request", "Bad request"),
    401: ("unauthenticated", "Not authenticated"),
    403: ("forbidden", "Not allowed"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
}
_HOW = {
    "missing": "add it",
    "extra_forbidden": "leave it out",
    "uuid_parsing": "send a UUID, e.g. 018f5b0e-7c1a-7c3e-9f5b-3f2a1b0c9d8e",
    "enum": "use one of the values named",
    "literal_error": "use one of the values named",
    "dict_type": "send a JSON object",
    "model_attributes_type": "send a JSON object",
    "list_type": "send a JSON array",
    "string_type": "send a JSON string",
    "int_type": "send a whole number",
    "int_parsing": "send a whole number",
    "bool_parsing": "send true or false",
}


def add_problem_handlers(app: FastAPI) -> None:
    """Let the application answer refusals, failed validation and unknown routes with problem documents."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)


def problem_response(document: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Give the answer that carries a problem document; a 401 always names the scheme it wants."""
    all_headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"} | dict(headers or {})
    if document.status == 401:
        all_headers.setdefault("WWW-Authenticate", 'Bearer realm="platformbus"')
    return Response(orjson.dumps(document.model_dump()), status_code=document.status, headers=all_headers)


class ErrorMiddleware:
    """Answers what no handler did: 503 while our database is away, 500 without internals but with an id to quote."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            return
        except Exception as error:
            response = _answer_to(error)
            if started:
                raise  # the answer is under way: only cutting the connection tells the client that it is not whole
            await response(scope, receive, send)


def unavailable(detail: str, *, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> ProblemError:
    """Build the 503 that asks to come again."""
    return ProblemError(
        problem("unavailable", 503, "Temporarily unavailable", detail),
        headers={"Retry-After": str(retry_after_seconds)},
    )


def items_of(errors: Sequence[Mapping[str, Any]], *, body_prefix: str = "") -> tuple[ProblemItem, ...]:
    """Turn pydantic's errors into problem items; the offending value is never repeated, it could be a secret."""
    return tuple(
        ProblemItem(
            where=_where(error["loc"], body_prefix),
            what=str(error["msg"])[:300],
            how=_HOW.get(error["type"], "send a value that keeps this rule"),
        )
        for error in errors[:MAX_ITEMS]
    )


def pointer(*parts: str | int) -> str:
    """Give the JSON pointer (RFC 6901) of a path of names and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _answer_to(error: Exception) -> Response:
    if isinstance(error, ProblemError):
        return problem_response(error.problem, error.headers)
    if is_available_error(error):
        _log.warning("the database is away, a request was answered 503", exc_info=error)
        away = unavailable("Our database does not answer at the moment; nothing was recorded.")
        return problem_response(away.problem, away.headers)
    incident = str(uuid4())
    _log.error("a request failed and was answered 500", exc_info=error, extra={"incident": incident})
    detail = f"The request could not be served because of a fault of ours. Quote {incident} when you report it."
    return problem_response(problem("internal", 500, "Internal error", detail))


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error.problem, error.headers)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    if errors and errors[0]["type"] == "json_invalid":
        item = ProblemItem(where="", what=f"not JSON at character {errors[0]['loc'][-1]}", how="send valid JSON")
        return problem_response(problem("malformed_json", 400, "Malformed JSON", "The body is not JSON.", item))
    count = len(errors)
    detail = f"{count} {'value does' if count == 1 else 'values do'} not keep the rules of this request."
    return problem_response(problem("invalid", 422, "Request not valid", detail, *items_of(errors)))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slug, title = _TITLES.get(error.status_code, ("http_error", "Request refused"))
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"Nothing is at {redact_text(request.url.path, max_chars=200)}."
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{request.method} is not possible here; allowed: {allowed}."
    return problem_response(problem(slug, error.status_code, title, detail), error.headers)


def _where(location: Sequence[str | int], body_prefix: str) -> str:
    source, *rest = location
    if source == "body":
        return body_prefix + pointer(*rest)
    return f"{source}:{'.'.join(str(part) for part in rest)}"
