"""What every command works with: the services' HTTP routes, the settings, and the way to answer."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import typer
from pydantic import SecretStr

from libs.http.client import new_client
from libs.messaging.settings import KafkaSettings
from services.cli.errors import AskedWrongly, Failed, words_of
from services.cli.output import Output
from services.cli.settings import LOCAL_ENV, SERVICES, CliSettings, ServiceName

T = TypeVar("T")
_READ_TIMEOUT_SECONDS = 60.0
_PAGE_ROWS = 200


@dataclass(frozen=True, slots=True)
class Page:
    """How a route names the parts of a page."""

    rows: str
    cursor: str
    """The parameter that asks for the next page."""
    following: str
    """The field that says what to give for it; null on the last page."""


class Bus:
    """One run of the command. A test gives `transport` to answer in the services' place."""

    def __init__(
        self,
        settings: CliSettings,
        *,
        env_file: Path = LOCAL_ENV,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.env_file = env_file
        self.out = Output()
        self._transport = transport

    def ask(
        self,
        service: ServiceName,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        organization: str | None = None,
        for_all: bool = False,
    ) -> Any:
        """Call a service's route with the key and return its JSON; parameters that are None are left out.

        `organization` comes before PLATFORMBUS_ORGANIZATION; `for_all` names none even if that is set.
        Raises: Failed with the problem document's words, or when nothing answers; AskedWrongly without a key or
        address.
        """
        if self.settings.platformbus_key is None:
            raise AskedWrongly(
                "PLATFORMBUS_KEY is not set: give an API key (`platformbus keys bootstrap` makes the first one)"
            )
        sent = {"Authorization": f"Bearer {self.settings.platformbus_key.get_secret_value()}"} | dict(headers or {})
        meant = organization or self.settings.platformbus_organization
        if meant and not for_all:
            sent["X-Organization-Id"] = meant
        chosen = {name: value for name, value in (params or {}).items() if value is not None}
        answer = self.fetch(service, method, path, params=chosen, body=body, headers=sent)
        if answer.is_success:
            return _json_of(answer)
        raise _refusal(answer, f"{service} {path}")

    def pages(
        self,
        service: ServiceName,
        path: str,
        *,
        limit: int,
        page: Page,
        params: Mapping[str, Any],
        organization: str | None = None,
    ) -> list[dict[str, Any]]:
        """Read up to `limit` rows of a list that comes in pages. Raises as `ask`."""
        rows: list[dict[str, Any]] = []
        after: Any = None
        while len(rows) < limit:
            asked = dict(params) | {"limit": min(limit - len(rows), _PAGE_ROWS), page.cursor: after}
            answer = self.ask(service, "GET", path, params=asked, organization=organization)
            rows += answer[page.rows]
            after = answer[page.following]
            if after is None:
                break
        return rows

    def fetch(
        self,
        service: ServiceName,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call a service and return whatever it answers; `content` is sent as it is, in the place of a `body`.

        Raises: Failed when nothing answers.
        """
        url = self.settings.url(service)
        if url is None:
            raise AskedWrongly(
                f"{service.upper()}_URL is not set: say where {service} listens, or start it with `make up`"
            )

        async def call() -> httpx.Response:
            async with self._client(url) as client:
                # httpx's own encoder of `json` takes None for "no body".
                address = f"{url}{path}"
                if content is not None:
                    return await client.request(method, address, params=params, content=content, headers=headers)
                return await client.request(method, address, params=params, json=body, headers=headers)

        try:
            return self.run(call())
        except httpx.HTTPError as error:
            raise Failed(f"{service} does not answer at {url}: {str(error) or type(error).__name__}") from None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something of the libraries."""
        return asyncio.run(work)

    def dsn(self, variable: str) -> str:
        """The DSN in a variable, e.g. `INGEST_OWNER_DSN`. Raises: AskedWrongly when it is not set."""
        return cast("SecretStr", self._setting(variable)).get_secret_value()

    def kafka(self) -> KafkaSettings:
        """How to reach the broker. Raises: pydantic's ValidationError, which ends the command with 2."""
        return KafkaSettings(_env_file=self.env_file)

    def path(self, variable: str) -> Path:
        """The file named by a variable. Raises: AskedWrongly when it is not set."""
        return cast("Path", self._setting(variable))

    def _setting(self, variable: str) -> object:
        value = getattr(self.settings, variable.lower())
        if value is None:
            raise AskedWrongly(f"{variable} is not set, and this command needs it")
        return value

    def _client(self, url: str) -> httpx.AsyncClient:
        if self._transport is not None:
            return httpx.AsyncClient(transport=self._transport)
        return new_client(allowed_base_urls=[url], read_timeout_seconds=_READ_TIMEOUT_SECONDS)


def bus_of(ctx: typer.Context, as_json: bool = False) -> Bus:
    """The run's Bus, told how to answer."""
    bus = cast("Bus", ctx.obj)
    bus.out.as_json = bus.out.as_json or as_json
    return bus


def one_service(name: str | None) -> tuple[ServiceName, ...]:
    """The service of that name, or all of them. Raises: AskedWrongly."""
    if name is None:
        return SERVICES
    if name not in SERVICES:
        raise AskedWrongly(f"there is no service {name!r}; one of {', '.join(SERVICES)}")
    return (name,)


def _json_of(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise Failed(f"{answer.request.url} did not answer with JSON; is it the right address?") from None


def _refusal(answer: httpx.Response, what: str) -> Failed:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if isinstance(document, dict) and "title" in document:
        return Failed(words_of(document), document)
    return Failed(f"{what} answered {answer.status_code} without a problem document; is it the right address?")
