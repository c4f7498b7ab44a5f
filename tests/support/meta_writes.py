"""Short ways to write to the sandbox's Meta, and to what tests of writes need again and again."""

import json
from typing import Any

import httpx

from tests.support.sandbox import GRAPH, SandboxProcess

VERSIONS = {"graph.threads.net": "v1.0"}
INSTAGRAM, THREADS = "graph.instagram.com", "graph.threads.net"


def write(
    sandbox: SandboxProcess,
    path: str,
    token: str = "user_main",
    *,
    method: str = "POST",
    host: str = GRAPH,
    files: Any = None,
    **params: Any,
) -> httpx.Response:
    """A form as the official SDK sends it: what is no text is JSON."""
    form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    data = {"access_token": sandbox.token(token), **form}
    if method == "DELETE":
        return sandbox.client.delete(_address(host, path), params=data)
    return sandbox.client.post(_address(host, path), data=data, files=files)


def written(sandbox: SandboxProcess, path: str, token: str = "user_main", **params: Any) -> dict[str, Any]:
    """The answer to a write that has to go well."""
    answer = write(sandbox, path, token, **params)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def refusal(sandbox: SandboxProcess, path: str, token: str = "user_main", **params: Any) -> dict[str, Any]:
    """The error of a write that has to be refused."""
    answer = write(sandbox, path, token, **params)
    assert answer.status_code in {400, 403}, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def blamed(error: dict[str, Any]) -> list[list[str]]:
    fields: list[list[str]] = error["error_data"]["blame_field_specs"]
    return fields


def read(sandbox: SandboxProcess, path: str, token: str = "user_main", *, host: str = GRAPH, **params: str) -> Any:
    """The content of a read that has to go well."""
    query = {"access_token": sandbox.token(token), **params}
    answer = sandbox.client.get(_address(host, path), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _address(host: str, path: str) -> str:
    return f"/{host}/{VERSIONS.get(host, 'v26.0')}/{path}"


def advance(sandbox: SandboxProcess, seconds: float) -> None:
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": seconds}).raise_for_status()


def ids(listed: Any) -> list[str]:
    return [row["id"] for row in listed["data"]]
