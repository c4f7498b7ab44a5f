"""Tokens: looked at without harm, exchanged once, never shown."""

from typing import Any

import httpx
import pytest

from libs.platforms.base import CodeGrant, IssuedToken, Platform, TokenFacts, Tokens
from libs.platforms.errors import ContractBroken, OutcomeUnknown, PlatformError
from libs.vocabulary import AccountRef
from tests.libs.platforms.conformance.errors import TOKEN, ErrorsConformance, Handler, always, assert_silent

NEW_TOKEN = "conformance-new-token-that-must-stay-secret"
CODE = "conformance-code-that-must-stay-secret"


class TokensConformance(ErrorsConformance):
    """Inherited by what speaks to a platform's token endpoints."""

    def build(self, handler: Handler) -> Platform:
        """Give the platform over a stand-in for its host."""
        raise NotImplementedError

    def living(self) -> httpx.Response:
        """Describe a token that lives, of app 4711, with an owner and scopes."""
        raise NotImplementedError

    def dead(self) -> httpx.Response:
        """Describe a token that does not live any more."""
        raise NotImplementedError

    def issuing(self, token: str) -> Handler:
        """Answer every question of an exchange or refresh so that it ends with this new token."""
        raise NotImplementedError

    def issuing_nothing(self) -> httpx.Response:
        """Answer an exchange with a good status and no token."""
        raise NotImplementedError

    def grant(self) -> CodeGrant:
        """Give a login's code, CODE, of app 4711."""
        raise NotImplementedError

    def asset_with_a_token(self) -> AccountRef:
        """Give an asset that has a token of its own."""
        raise NotImplementedError

    def asset_without_a_token(self) -> AccountRef:
        """Give an asset of a kind that has none."""
        raise NotImplementedError

    def tokens(self, handler: Handler) -> Tokens:
        tokens = self.build(handler).tokens
        assert tokens is not None
        return tokens

    async def ask(self, handler: Handler) -> TokenFacts:
        return await self.tokens(handler).inspect(self.credential())

    async def test_a_living_token_is_described(self) -> None:
        facts = await self.ask(always(self.living()))
        assert facts.valid
        assert facts.app_id == "4711"
        assert facts.owner_id
        assert facts.scopes
        assert facts.kind == facts.kind.lower()
        assert TOKEN not in repr(facts)

    async def test_a_dead_token_is_described_and_is_no_error(self) -> None:
        facts = await self.ask(always(self.dead()))
        assert not facts.valid

    async def test_a_new_token_is_returned_and_shown_to_nobody(self) -> None:
        tokens = self.tokens(self.issuing(NEW_TOKEN))
        refreshed = await tokens.refresh(self.credential())
        exchanged = await tokens.exchange_code(self.grant())
        assert refreshed.access_token == exchanged.access_token == NEW_TOKEN
        for issued in (refreshed, exchanged):
            assert isinstance(issued, IssuedToken)
            assert NEW_TOKEN not in repr(issued)
            assert issued.expires_in_seconds is None or issued.expires_in_seconds > 0
        assert CODE not in repr(self.grant())

    @pytest.mark.parametrize("what", ["refresh", "exchange"])
    async def test_an_exchange_whose_answer_is_lost_is_asked_once_and_may_have_happened(self, what: str) -> None:
        asked: list[str] = []

        def cut(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            raise httpx.ReadError(f"gone {request.url}", request=request)

        tokens = self.tokens(cut)
        with pytest.raises(OutcomeUnknown) as caught:
            await (tokens.refresh(self.credential()) if what == "refresh" else tokens.exchange_code(self.grant()))
        assert len(asked) == 1
        assert_silent(caught.value)
        assert CODE not in str(caught.value)

    @pytest.mark.parametrize(("status", "body"), [(502, b"<html>"), (200, b'{"access_token": "'), (200, b"[]")])
    async def test_a_code_may_be_spent_when_its_answer_says_nothing(self, status: int, body: bytes) -> None:
        tokens = self.tokens(lambda _: httpx.Response(status, content=body))
        with pytest.raises(OutcomeUnknown) as caught:
            await tokens.exchange_code(self.grant())
        assert CODE not in str(caught.value)

    @pytest.mark.parametrize("what", ["refresh", "exchange"])
    async def test_an_exchange_without_a_token_is_no_success(self, what: str) -> None:
        tokens = self.tokens(always(self.issuing_nothing()))
        with pytest.raises(ContractBroken):
            await (tokens.refresh(self.credential()) if what == "refresh" else tokens.exchange_code(self.grant()))

    async def test_an_assets_own_token_is_given_apart(self) -> None:
        asset = self.asset_with_a_token()
        own = await self.tokens(self.issuing(NEW_TOKEN)).asset_credential(self.credential(), asset)
        assert own.asset == asset
        assert own.access_token == NEW_TOKEN
        assert NEW_TOKEN not in repr(own)

    async def test_an_asset_that_can_have_no_token_is_refused_without_a_call(self) -> None:
        def handler(request: httpx.Request) -> Any:
            raise AssertionError(f"asked {request.url.path}")

        with pytest.raises(PlatformError):
            await self.tokens(handler).asset_credential(self.credential(), self.asset_without_a_token())
