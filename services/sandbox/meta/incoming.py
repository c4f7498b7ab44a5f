"""What an HTTP call asks for, whatever way it is written: where its parameters stand, its method, files, JSONP."""

import re
from dataclasses import dataclass
from http import HTTPStatus

from services.sandbox.exchange import Answer, Call
from services.sandbox.meta.params import Files, Params, files_from_body, from_body, from_query

METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})  # O, batch-requests
BYTES_ONLY = frozenset({"rupload.facebook.com"})
"""Hosts whose bodies are what is uploaded, whatever their content type says."""
_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,127}")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call, read."""

    method: str
    params: Params
    files: Files
    callback: str | None = None
    """Name of the function that a JSONP answer calls."""


def read_call(call: Call) -> Incoming:
    """Raises: GraphError 100 for a body that cannot be read.

    `method=delete` beside a GET or POST is for clients without other methods (M); `callback` asks for JSONP, for
    batches too (O, batch-requests). A callback that is no name of a function is ignored (M): it would be a script.
    """
    kind = call.headers.get("content-type", "")
    params = from_query(call.query)
    if call.host not in BYTES_ONLY and "/upload:" not in call.path:
        params |= from_body(call.body, kind)
    method = params.get("method", "").upper()
    if call.method in {"GET", "POST"} and method in METHODS:
        del params["method"]
    else:
        method = call.method
    callback = params.pop("callback", "")
    return Incoming(
        method, params, files_from_body(call.body, kind), callback if _CALLBACK.fullmatch(callback) else None
    )


def wrap(answer: Answer, callback: str | None) -> Answer:
    """The answer as a script that calls the function: always status 200, or no browser would run it (M).

    What the sandbox does not cover stays a 501.
    """
    if callback is None or answer.cut or not answer.content_type.startswith("application/json"):
        return answer
    if answer.status == HTTPStatus.NOT_IMPLEMENTED:
        return answer
    answer.body = b"/**/ " + callback.encode() + b"(" + answer.body + b");"
    answer.status = 200
    answer.content_type = "text/javascript; charset=UTF-8"
    return answer


def header_token(value: str) -> str | None:
    """`Authorization: Bearer` (O for WhatsApp), `OAuth` where bytes are uploaded (O)."""
    scheme, _, token = value.partition(" ")
    return token.strip() or None if scheme.lower() in {"bearer", "oauth"} else None
