from typing import Any

import httpx
import pytest

from libs.platforms.base import Credential, TokenFacts
from libs.platforms.errors import AuthExpired, ContractBroken, OutcomeUnknown, PlatformError, Rejected, Unavailable
from libs.platforms.meta import build_platform
from libs.platforms.meta.settings import MetaSettings

SETTINGS = MetaSettings.model_validate({"app_secrets": {"4711": "the-app-secret"}})
CREDENTIAL = Credential("the-user-token", "4711")


async def inspect(answer: Any, credential: Credential = CREDENTIAL, status: int = 200) -> TokenFacts:
    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        assert request.url.path == "/v26.0/debug_token"
        assert request.url.params["input_token"] == "the-user-token"
        assert request.url.params["access_token"] == "4711|the-app-secret"
        return httpx.Response(status, text=answer) if isinstance(answer, str) else httpx.Response(status, json=answer)

    tokens = build_platform(httpx.AsyncClient(transport=httpx.MockTransport(handler)), SETTINGS).tokens
    assert tokens is not None
    return await tokens.inspect(credential)


async def test_a_living_token_is_described() -> None:
    data = {"app_id": "4711", "type": "SYSTEM_USER", "expires_at": 0, "is_valid": True, "user_id": "9"}
    facts = await inspect({"data": {**data, "scopes": ["ads_read"], "issued_at": 1}})
    assert facts == TokenFacts(True, "system_user", "4711", ("ads_read",), None, "9")


async def test_a_dead_token_is_described_and_no_error() -> None:
    facts = await inspect({"data": {"is_valid": False, "error": {"code": 190, "subcode": 463}, "expires_at": 17}})
    assert not facts.valid
    assert facts.expires_at_unix == 17


async def test_without_the_apps_secret_nothing_is_asked() -> None:
    with pytest.raises(Rejected, match="META_APP_SECRETS"):
        await inspect({}, Credential("the-user-token", "12"))
    with pytest.raises(Rejected):
        await inspect({}, Credential("the-user-token"))


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        ({"error": {"message": "bad app token 4711|the-app-secret", "code": 190}}, 400, AuthExpired),
        ("<html>", 502, Unavailable),
        ("Service Unavailable", 200, Unavailable),
        ({"data": {}}, 200, ContractBroken),
        (httpx.ReadTimeout("late"), 200, OutcomeUnknown),
        (httpx.ConnectTimeout("away"), 200, Unavailable),
    ],
)
async def test_a_failed_question_raises_and_shows_no_secret(
    answer: Any, status: int, expected: type[PlatformError]
) -> None:
    with pytest.raises(expected) as caught:
        await inspect(answer, status=status)
    assert "the-app-secret" not in str(caught.value)
    assert "the-user-token" not in str(caught.value)
