"""Meta's batches in tests without a network: what a request asks, and answers written by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from libs.platforms.meta.settings import MetaSettings

ANSWERS = Path(__file__).parents[1] / "libs" / "platforms" / "meta" / "answers"
SETTINGS = MetaSettings(graph_url="https://graph.facebook.com", multi_get=True, throttle_wait_seconds=77)


def recorded(name: str) -> Any:
    """Give a recorded answer."""
    return json.loads((ANSWERS / f"{name}.json").read_text())


def form_of(request: httpx.Request) -> dict[str, str]:
    """Give the form of a POST."""
    return dict(parse_qsl(request.content.decode(), strict_parsing=True))


def batch_items(request: httpx.Request) -> list[dict[str, str]]:
    """Give the elements of a batch."""
    items: list[dict[str, str]] = json.loads(form_of(request)["batch"])
    return items


def query_of(element: dict[str, str]) -> dict[str, str]:
    """Give what an element of a batch asks for beside its path."""
    return dict(parse_qsl(urlsplit(element["relative_url"]).query))


def path_of(element: dict[str, str]) -> str:
    """Give an element's path without the version."""
    return urlsplit(element["relative_url"]).path.partition("/")[2]


def item(body: Any, code: int = 200, headers: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Write an element of a batch's answer."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"code": code, "headers": [{"name": name, "value": value} for name, value in headers], "body": text}


def answers(request: httpx.Request) -> list[Any]:
    """Answer every element with an object of its own."""
    return [item({"id": path_of(each), "name": f"Name of {path_of(each)}"}) for each in batch_items(request)]


def graph_error(code: int, subcode: int | None = None, message: str = "refused", **more: Any) -> dict[str, Any]:
    """Write an error object."""
    error = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "AbC123", **more}
    return {"error": error if subcode is None else {**error, "error_subcode": subcode}}
