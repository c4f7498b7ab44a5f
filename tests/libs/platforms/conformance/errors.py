"""What comes of answers that are refusals, absurd, cut off or missing: the same tree of errors for every ability."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.platforms.base import Credential
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    OutcomeUnknown,
    PlatformError,
    RateLimited,
    Retryable,
    Unavailable,
)

Handler = Callable[[httpx.Request], httpx.Response]
TOKEN = "conformance-token-that-must-stay-secret"
APP_SECRET = "conformance-app-secret-that-must-stay-secret"
REFUSALS = (RateLimited, AuthExpired, AuthRevoked, Unavailable)


def always(response: httpx.Response) -> Handler:
    return lambda _: response


def no_call(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"sent {request.method}")


def assert_silent(error: BaseException) -> None:
    """No text of an error, or of what it came from, holds a secret."""
    for text in (str(error), repr(error), repr(error.__cause__), repr(error.__context__), repr(vars(error))):
        assert TOKEN not in text
        assert APP_SECRET not in text


class Asker:
    """Who asks in all of these tests."""

    def credential(self) -> Credential:
        return Credential(access_token=TOKEN, app_id="4711", app_secret=APP_SECRET)


class ErrorsConformance(Asker):
    """Inherited by the class of each ability that calls the platform."""

    async def ask(self, handler: Handler) -> Any:
        """Do the ability's plainest call over a stand-in for the platform's host."""
        raise NotImplementedError

    def refusal(self, error: type[PlatformError]) -> httpx.Response:
        """Refuse the whole call for the given reason, repeating token and secret in the message as platforms do."""
        raise NotImplementedError

    async def failure(self, handler: Handler) -> PlatformError:
        with pytest.raises(PlatformError) as caught:
            await self.ask(handler)
        return caught.value

    @pytest.mark.parametrize("error", REFUSALS)
    async def test_a_refused_call_raises_the_error_that_decides_what_is_next(self, error: type[PlatformError]) -> None:
        raised = await self.failure(lambda _: self.refusal(error))
        assert type(raised) is error

    @pytest.mark.parametrize("error", REFUSALS)
    async def test_no_error_shows_a_secret(self, error: type[PlatformError]) -> None:
        assert_silent(await self.failure(lambda _: self.refusal(error)))

    async def test_a_throttle_says_when_it_ends(self) -> None:
        before = datetime.now(UTC)
        raised = await self.failure(lambda _: self.refusal(RateLimited))
        assert isinstance(raised, RateLimited)
        assert raised.retry_after_seconds > 0
        left = raised.regain_at - before
        assert abs(left - timedelta(seconds=raised.retry_after_seconds)) < timedelta(seconds=60)

    @pytest.mark.parametrize("cut", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
    async def test_a_connection_that_was_not_made_proves_that_nothing_was_done(
        self, cut: type[httpx.TransportError]
    ) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            raise cut("refused", request=request)

        raised = await self.failure(handler)
        assert isinstance(raised, Retryable)
        assert_silent(raised)

    @pytest.mark.parametrize("cut", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError])
    async def test_an_answer_that_is_cut_off_leaves_the_outcome_unknown(self, cut: type[httpx.TransportError]) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            raise cut(f"gone {request.url} {request.content!r}", request=request)

        raised = await self.failure(handler)
        assert isinstance(raised, OutcomeUnknown)
        assert raised.__cause__ is None
        assert_silent(raised)

    @pytest.mark.parametrize("status", [500, 502, 503])
    async def test_a_broken_server_can_be_tried_again(self, status: int) -> None:
        raised = await self.failure(lambda _: httpx.Response(status, text="<html>bad gateway</html>"))
        assert isinstance(raised, Unavailable)

    @pytest.mark.parametrize("status", [301, 302, 307])
    async def test_a_redirection_is_never_followed(self, status: int) -> None:
        asked: list[str] = []

        def handler(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.host)
            return httpx.Response(status, headers={"Location": "https://elsewhere.example/"})

        assert isinstance(await self.failure(handler), PlatformError)
        assert "elsewhere.example" not in asked

    @pytest.mark.parametrize("charset", ["rot13", "hex", "zlib", "utf-16", "none-such", "\xff"])
    async def test_an_answer_that_lies_about_its_letters_is_an_error_of_the_tree_at_most(self, charset: str) -> None:
        kind = [(b"content-type", b"application/json; charset=" + charset.encode("latin-1"))]
        response = httpx.Response(500, headers=kind, content=b"{}")
        assert isinstance(await self.failure(always(response)), PlatformError)

    @pytest.mark.parametrize("body", [b"", b"null", b"42", b'"text"', b"[", b"\xff\xfe", b"[" * 100_000, b'[1,"x"]'])
    async def test_an_absurd_answer_is_an_error_of_the_tree(self, body: bytes) -> None:
        assert isinstance(await self.failure(lambda _: httpx.Response(200, content=body)), PlatformError)
