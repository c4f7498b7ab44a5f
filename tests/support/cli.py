"""The command `platformbus` with made-up services behind it: what it asked, what it printed, how it ended."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from services.cli.app import create_app
from services.cli.bus import Bus
from services.cli.settings import CliSettings

KEY = "pbk_plantedkey"
URLS = {
    "ingest": "http://ingest.test",
    "asset_sync": "http://asset-sync.test",
    "batcher": "http://batcher.test",
    "webhook_receiver": "http://webhook-receiver.test",
}
_SERVICES = {httpx.URL(url).host: name for name, url in URLS.items()}


@dataclass
class Run:
    """How a run ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def words(self) -> str:
        """Both streams with their lines joined: boxes of the usage message break lines anywhere."""
        return " ".join((self.stdout + self.stderr).replace("│", " ").split())


@dataclass
class FakeServices:
    """Answers by (service, method, path); an answer may be a list, given one after the other."""

    answers: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def on(self, service: str, method: str, path: str, *answers: Any, status: int = 200) -> None:
        """Answer with these bodies in turn, the last one again and again; one may be a function that gives it."""
        self.answers[service, method, path] = [(status, answer) for answer in answers]

    def refuse(self, service: str, method: str, path: str, status: int, title: str, detail: str, *errors: Any) -> None:
        """Answer with a problem document."""
        document = {"type": "urn:x", "title": title, "status": status, "detail": detail, "errors": list(errors)}
        self.answers[service, method, path] = [(status, document)]

    def body(self, index: int = -1) -> Any:
        """The JSON body of one of the requests."""
        return json.loads(self.asked[index].content)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        found = self.answers.get((_SERVICES[request.url.host], request.method, request.url.path))
        if found is None:
            return httpx.Response(404, json={"title": "Not found", "status": 404, "detail": f"no {request.url.path}"})
        status, answer = found.pop(0) if len(found) > 1 else found[0]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(status, json=answer)


def run_cli(
    *arguments: str,
    services: FakeServices | None = None,
    settings: Mapping[str, Any] | None = None,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run the command in this process against made-up services."""
    values = {f"{name}_url": url for name, url in URLS.items()} | {"platformbus_key": KEY} | dict(settings or {})
    transport = httpx.MockTransport(services or FakeServices())
    return _invoke(arguments, values, transport, stdin, environment)


async def run_real(*arguments: str, settings: Mapping[str, Any], stdin: str | None = None) -> Run:
    """Run the command in a thread of this process against services that really listen."""
    return await asyncio.to_thread(_invoke, arguments, settings, None, stdin, None)


def _invoke(
    arguments: Sequence[str],
    settings: Mapping[str, Any],
    transport: httpx.AsyncBaseTransport | None,
    stdin: str | None,
    environment: Mapping[str, str] | None,
) -> Run:
    """Nothing of this machine's own variables or local stack is seen: a field that is not given is None."""
    known = {name: settings.get(name) for name in CliSettings.model_fields}
    bus = Bus(CliSettings.model_validate(known), env_file=Path("/nonexistent/env"), transport=transport)
    result = CliRunner().invoke(create_app(), list(arguments), obj=bus, input=stdin, env=dict(environment or {}))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout, result.stderr)
