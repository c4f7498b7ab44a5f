"""Talks to an application in this process, without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.types import ASGIApp


@asynccontextmanager
async def client_of(app: ASGIApp, *, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Give an HTTP client of the application; with `key` it sends the Authorization header."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service.test", headers=headers) as client:
        yield client


def problem_of(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Demand a problem document of this status and type, and give it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:platformbus:problem:{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document
