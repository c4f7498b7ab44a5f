"""Speaking to the Graph API: one place for addresses, credentials, time limits and hostile answers.

Nothing of httpx or pydantic leaves this module, and no error's text holds a token, a secret or a body. The size of an
answer is bounded by the HTTP client (`libs.http`), its time here. Nothing is repeated here: whoever asked knows whether
it may be.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from libs.platforms.base import Credential
from libs.platforms.errors import ContractBroken, OutcomeUnknown, PlatformError, Rejected, Unavailable
from libs.platforms.meta.auth import auth_params, secrets_of
from libs.platforms.meta.failures import NO_JSON, error_in, may_have_happened, platform_error, read_json
from libs.platforms.meta.paging import Page, read_page
from libs.platforms.meta.quota import Budgets, Subject, wait_told
from libs.platforms.meta.settings import GraphHost, MetaSettings, host_of
from libs.platforms.meta.wire import GraphError
from libs.vocabulary import PlatformName, UsageReading

MAX_PAGES = 10_000
"""Of one list: a million objects at 100 a page. Our own bound, against a list that never ends."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of the Graph API, read whole. Its repr does not show the body."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    text: str

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.text)} characters)"


@dataclass(frozen=True, slots=True)
class Found:
    """What a call found: JSON of Meta's, not freed of credentials. Its repr does not show it."""

    body: dict[str, Any]
    usage: tuple[UsageReading, ...]

    def __repr__(self) -> str:
        return f"Found({len(self.body)} keys)"


class GraphClient:
    """Sends requests to Meta's hosts, each under its API version; knows what the answers said of our budgets."""

    def __init__(self, http: httpx.AsyncClient | None, settings: MetaSettings) -> None:
        self._http = http
        self.settings = settings
        self.budgets = Budgets(settings)

    async def read(
        self,
        operation: str,
        path: str,
        params: Mapping[str, str],
        *,
        credential: Credential | None = None,
        method: Literal["GET", "POST"] = "GET",
        host: GraphHost | None = None,
        versioned: bool = True,
        about: Subject | None = None,
        counts_once: bool = False,
    ) -> Found:
        """Ask one thing, `path` e.g. `me/accounts`, and give the JSON object that answers it.

        `credential` adds its token and proof and, unless `host` is given, says which host is asked; without one,
        `params` hold what authenticates. `about` says whose budget the call costs. An error object is an error whatever
        the status says. `counts_once`: asking has an effect, so an answer that proves nothing raises OutcomeUnknown.
        Raises a PlatformError.
        """
        whole = {**params, **(auth_params(self.settings, credential) if credential is not None else {})}
        asker = credential or Credential("")
        answer = await self.send(operation, method, path, whole, host=host or host_of(asker), versioned=versioned)
        usage = tuple(self.budgets.readings(answer.headers, asker, about)) if credential is not None else ()
        found = self._judged(operation, answer, asker, whole, about, usage)
        if isinstance(found, PlatformError):
            raise may_have_happened(found) if counts_once else found
        return Found(found, usage)

    def _judged(
        self,
        operation: str,
        answer: Answer,
        asker: Credential,
        whole: Mapping[str, str],
        about: Subject | None,
        usage: tuple[UsageReading, ...],
    ) -> dict[str, Any] | PlatformError:
        body = read_json(answer.text)
        error = error_in(body, answer.status)
        if error is not None or answer.status != 200:
            return self._error(operation, answer.status, error, asker, whole, about, usage)
        if body is NO_JSON:
            # Also plain words such as "Service Unavailable" with status 200 (seen by the Python business SDK).
            return Unavailable(PlatformName.META, operation, "status 200 with a body that is not JSON")
        if not isinstance(body, dict):
            return ContractBroken(PlatformName.META, operation, "the answer is no JSON object")
        if body.get("success") is False:  # with status 200 (seen by the Python business SDK)
            return Rejected(PlatformName.META, operation, "answered with `success` false")
        return body

    async def pages(
        self,
        operation: str,
        path: str,
        params: Mapping[str, str],
        *,
        credential: Credential,
        about: Subject | None = None,
        begin: Mapping[str, Any] | None = None,
        max_pages: int = MAX_PAGES,
    ) -> AsyncIterator[Page]:
        """Yield the pages of a list in its order, one request each; the last one's `following` is None.

        `begin` is the first page where another answer held it already (an expanded field, a batch item). An empty page
        is no end. Safe to call again: reads only. Raises a PlatformError, after the pages before it were given:
        ContractBroken for a list that leads back to a page that was read, or is longer than `max_pages`.
        """
        seen: set[frozenset[tuple[str, str]]] = set()
        position: Mapping[str, str] = {}
        page = read_page(operation, begin) if begin is not None else None
        for _ in range(max_pages):
            if page is None:
                found = await self.read(operation, path, {**params, **position}, credential=credential, about=about)
                page = read_page(operation, found.body, found.usage)
            yield page
            if page.following is None:
                return
            position, page = page.following, None
            key = frozenset(position.items())
            if key in seen:
                raise ContractBroken(PlatformName.META, operation, "the next page is one that was read already")
            seen.add(key)
        raise ContractBroken(PlatformName.META, operation, f"the list does not end after {max_pages} pages")

    async def send(
        self,
        operation: str,
        method: Literal["GET", "POST"],
        path: str,
        params: Mapping[str, str],
        *,
        host: GraphHost = GraphHost.FACEBOOK,
        versioned: bool = True,
    ) -> Answer:
        """Send what holds its credentials already, a POST as a form, and give whatever is answered.

        Raises Unavailable when nothing was sent, OutcomeUnknown when no whole answer came.
        """
        if self._http is None:
            raise RuntimeError("this platform was built without an HTTP client; it can only plan calls")
        url = f"{self.settings.address(host, versioned=versioned)}/{path.removeprefix('/')}"
        in_query, in_form = (params, None) if method == "GET" else (None, params)
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                response = await self._http.request(method, url, params=in_query, data=in_form)
                # JSON is UTF-8; what the answer says of itself is not asked, some names of encodings raise.
                text = response.content.decode("utf-8", "replace")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            message = f"no connection ({type(error).__name__}); nothing was sent"
            failed: PlatformError = Unavailable(PlatformName.META, operation, message)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            message = f"no whole answer ({type(error).__name__})"
            failed = OutcomeUnknown(PlatformName.META, operation, message)
        else:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, headers, text)
        # Raised out here, so that it has no context: httpx keeps the request, and with it the token, on its errors.
        raise failed

    def _error(
        self,
        operation: str,
        status: int,
        error: GraphError | None,
        asker: Credential,
        params: Mapping[str, str],
        about: Subject | None,
        usage: tuple[UsageReading, ...],
    ) -> PlatformError:
        scope = self.budgets.closed_by(error, asker, about, usage)
        return platform_error(
            operation,
            status,
            error,
            wait_seconds=wait_told(usage, scope) or self.settings.throttle_wait_seconds,
            scope=scope,
            hide=secrets_of(self.settings, [asker], params),
        )
