"""Tokens looked at, exchanged and refreshed over answers as Meta's documents show them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.base import CodeGrant, Credential, IssuedToken, TokenFacts, Tokens
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    ContractBroken,
    Misconfigured,
    PermissionMissing,
    PlatformError,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.platforms.meta import build_platform
from libs.platforms.meta.auth import appsecret_proof
from libs.platforms.meta.settings import MetaSettings
from libs.vocabulary import AccountRef
from tests.libs.platforms.conformance.errors import Handler
from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.meta_graph import DESCRIBED_TOKEN as DESCRIBED
from tests.support.meta_told import JSON

SETTINGS = MetaSettings.model_validate({"app_secrets": {"4711": "the-app-secret"}})
CREDENTIAL = Credential("the-user-token", "4711")
REDIRECT = "https://bus.example/callback?of=meta"


def error(code: int, message: str = "refused", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A1", **more}}


class Host:
    """Answers by host and path, and remembers what was asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        where = f"{request.url.host}{request.url.path}"
        given = dict(request.url.params) | dict(parse_qsl(request.content.decode()))
        self.asked.append((request.method, where, given))
        answer = self._answers[where]
        answer = next(answer) if isinstance(answer, Iterator) else answer
        if isinstance(answer, Exception):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(status, text=body) if isinstance(body, str) else httpx.Response(status, json=body)


def tokens(handler: Handler) -> Tokens:
    found = build_platform(httpx.AsyncClient(transport=httpx.MockTransport(handler)), SETTINGS).tokens
    assert found is not None
    return found


async def inspect(answer: Any, credential: Credential = CREDENTIAL) -> TokenFacts:
    return await tokens(Host({"graph.facebook.com/v26.0/debug_token": answer})).inspect(credential)


async def test_a_living_token_is_described_whole() -> None:
    host = Host({"graph.facebook.com/v26.0/debug_token": {"data": DESCRIBED}})
    assert await tokens(host).inspect(CREDENTIAL) == TokenFacts(
        valid=True,
        kind="user",
        app_id="4711",
        scopes=("ads_read", "pages_show_list"),
        expires_at_unix=1768651511,
        owner_id="9",
        issued_at_unix=1763467511,
        data_access_expires_at_unix=1771243511,
        targets={"pages_show_list": ("153125381133",)},
    )
    ((method, _, params),) = host.asked
    assert method == "GET"
    asker = "4711|the-app-secret"
    proof = appsecret_proof("the-app-secret", asker)
    assert params == {"input_token": "the-user-token", "access_token": asker, "appsecret_proof": proof}


async def test_zero_means_never_and_ids_may_be_numbers() -> None:
    facts = await inspect({"data": {"app_id": 4711, "type": "SYSTEM_USER", "expires_at": 0, "is_valid": True}})
    assert facts == TokenFacts(True, "system_user", "4711", (), None, None)


async def test_a_pages_token_without_a_user_is_of_the_page() -> None:
    facts = await inspect({"data": {"type": "PAGE", "is_valid": True, "profile_id": "153125381133"}})
    assert (facts.kind, facts.owner_id) == ("page", "153125381133")


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ({"code": 190, "subcode": 463, "message": "expired"}, AuthExpired.code),
        ({"code": 190, "subcode": 458, "message": "app removed"}, AuthRevoked.code),
        ({"code": 190, "subcode": 492, "message": "role lost"}, PermissionMissing.code),
        ({"code": 190, "message": "could not be decrypted"}, AuthExpired.code),
        ({"code": "190", "subcode": "460"}, AuthRevoked.code),
        (None, AuthExpired.code),
    ],
)
async def test_a_dead_token_says_what_a_call_with_it_would_raise(problem: Any, expected: str) -> None:
    facts = await inspect({"data": {"is_valid": False, "scopes": [], "error": problem}})
    assert (facts.valid, facts.problem) == (False, expected)


async def test_without_the_apps_secret_nothing_is_asked() -> None:
    silent = tokens(Host({}))
    for credential in (Credential("the-user-token", "12"), Credential("the-user-token")):
        with pytest.raises(Rejected, match="META_APP_SECRETS"):
            await silent.inspect(credential)
        with pytest.raises(Rejected, match="META_APP_SECRETS"):
            await silent.refresh(credential)
    with pytest.raises(Rejected, match="META_APP_SECRETS"):
        await silent.exchange_code(CodeGrant("12", "code", REDIRECT))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((400, error(190, "bad app token 4711|the-app-secret")), AuthExpired),
        ((502, "<html>"), Unavailable),
        ("Service Unavailable", Unavailable),
        ({"data": {}}, ContractBroken),
        ({"data": {"is_valid": "perhaps"}}, ContractBroken),
        ({"data": {"is_valid": True, "expires_at": 10**30}}, ContractBroken),
        ({"data": {"is_valid": True, "user_id": "../me"}}, ContractBroken),
        ({"data": {"is_valid": True, "scopes": "ads_read"}}, ContractBroken),
    ],
)
async def test_a_failed_question_raises_and_shows_no_secret(answer: Any, expected: type[PlatformError]) -> None:
    with pytest.raises(expected) as caught:
        await inspect(answer)
    assert "the-app-secret" not in str(caught.value)
    assert "the-user-token" not in str(caught.value)


async def test_a_code_of_facebooks_login_becomes_a_long_token() -> None:
    answers = iter([{"access_token": "short", "token_type": "bearer", "expires_in": 5100}, {"access_token": "long"}])
    host = Host({"graph.facebook.com/v26.0/oauth/access_token": answers})
    issued = await tokens(host).exchange_code(CodeGrant("4711", "the-code#_", REDIRECT))
    assert issued == IssuedToken("long", "user", None)
    app = {"client_id": "4711", "client_secret": "the-app-secret"}
    assert [asked for _, _, asked in host.asked] == [
        {**app, "redirect_uri": REDIRECT, "code": "the-code"},
        {**app, "grant_type": "fb_exchange_token", "fb_exchange_token": "short"},
    ]


@pytest.mark.parametrize(
    ("first", "scopes"),
    [
        ({"data": [{"access_token": "short", "user_id": "17", "permissions": "basic, publish"}]}, ("basic", "publish")),
        ({"access_token": "short", "user_id": 17, "permissions": ["basic", "publish"]}, ("basic", "publish")),
        ({"access_token": "short", "user_id": 17}, ()),
    ],
)
async def test_a_code_of_instagrams_own_login_becomes_a_long_token(first: Any, scopes: tuple[str, ...]) -> None:
    host = Host(
        {
            "api.instagram.com/oauth/access_token": first,
            "graph.instagram.com/access_token": {"access_token": "long", "token_type": "bearer", "expires_in": 5183944},
        }
    )
    issued = await tokens(host).exchange_code(CodeGrant("4711", "the-code#_", REDIRECT, "instagram"))
    assert issued == IssuedToken("long", "user", 5183944, scopes, "17")
    app = {"client_id": "4711", "client_secret": "the-app-secret"}
    grant = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code": "the-code"}
    assert host.asked == [
        ("POST", "api.instagram.com/oauth/access_token", {**app, **grant}),
        (
            "GET",
            "graph.instagram.com/access_token",
            {"grant_type": "ig_exchange_token", "client_secret": "the-app-secret", "access_token": "short"},
        ),
    ]


async def test_a_code_of_threads_login_becomes_a_long_token() -> None:
    host = Host(
        {
            "graph.threads.net/oauth/access_token": {"access_token": "short", "user_id": 78901},
            "graph.threads.net/access_token": {"access_token": "long", "token_type": "bearer", "expires_in": 5184000},
        }
    )
    issued = await tokens(host).exchange_code(CodeGrant("4711", "the-code", REDIRECT, "threads"))
    assert issued == IssuedToken("long", "user", 5184000, (), "78901")
    assert [(method, asked.get("grant_type")) for method, _, asked in host.asked] == [
        ("POST", "authorization_code"),
        ("GET", "th_exchange_token"),
    ]


@pytest.mark.parametrize("fault", [(500, error(2)), httpx.ReadError("gone"), (400, error(100)), {"nothing": 1}])
async def test_a_short_token_is_not_lost_when_it_cannot_be_made_long(fault: Any) -> None:
    answers = {
        "graph.threads.net/oauth/access_token": {"access_token": "short", "user_id": 78901, "expires_in": 3600},
        "graph.threads.net/access_token": fault,
    }
    issued = await tokens(Host(answers)).exchange_code(CodeGrant("4711", "the-code", REDIRECT, "threads"))
    assert issued == IssuedToken("short", "short_user", 3600, (), "78901")
    host = Host({"graph.threads.net/access_token": {"access_token": "long", "expires_in": 5184000}})
    long = await tokens(host).refresh(Credential("short", "4711", login="threads"), kind=issued.kind)
    assert (long.access_token, long.kind) == ("long", "user")
    assert host.asked[0][2]["grant_type"] == "th_exchange_token"


@pytest.mark.parametrize(
    ("login", "host", "grant"),
    [
        ("instagram", "graph.instagram.com", "ig_refresh_token"),
        ("threads", "graph.threads.net", "th_refresh_token"),
    ],
)
async def test_long_tokens_of_their_own_logins_are_refreshed_without_the_apps_secret(
    login: str, host: str, grant: str
) -> None:
    asked = Host({f"{host}/refresh_access_token": {"access_token": "new", "token_type": "bearer", "expires_in": 100}})
    issued = await tokens(asked).refresh(Credential("old", None, login=login))
    assert issued == IssuedToken("new", "user", 100)
    assert asked.asked == [("GET", f"{host}/refresh_access_token", {"grant_type": grant, "access_token": "old"})]


async def test_a_system_users_token_is_asked_to_live_another_sixty_days() -> None:
    where = "graph.facebook.com/v26.0/oauth/access_token"
    host = Host({where: {"access_token": "new", "expires_in": 5184000}})
    issued = await tokens(host).refresh(CREDENTIAL, kind="system_user")
    assert issued == IssuedToken("new", "system_user", 5184000)
    assert host.asked == [
        (
            "GET",
            where,
            {
                "grant_type": "fb_exchange_token",
                "client_id": "4711",
                "client_secret": "the-app-secret",
                "set_token_expires_in_60_days": "true",
                "fb_exchange_token": "the-user-token",
            },
        )
    ]


@pytest.mark.parametrize("kind", ["page", "app", "unknown"])
async def test_kinds_without_an_end_are_not_refreshed(kind: str) -> None:
    with pytest.raises(Rejected, match="not refreshed"):
        await tokens(Host({})).refresh(CREDENTIAL, kind=kind)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((400, error(190, "Session has expired", error_subcode=463)), AuthExpired),
        ((400, error(190, "The user removed the app", error_subcode=458)), AuthRevoked),
        ((400, error(1, "Error validating client secret.")), Misconfigured),
        ((400, error(101, "Error validating application. Invalid application ID.")), Misconfigured),
        ((400, error(100, "This authorization code has been used.", error_subcode=36009)), Rejected),
        ((400, error(100, "Error validating verification code. Please make sure your redirect_uri is ...")), Rejected),
        ((400, error(191, "Given URL is not allowed by the Application configuration")), Misconfigured),
        ((400, error(4, "Application request limit reached")), RateLimited),
        ({"success": False}, Rejected),
        ({"access_token": ""}, ContractBroken),
        ({"access_token": 7}, ContractBroken),
        ({"access_token": "two words"}, ContractBroken),
        ({"access_token": "with\na line"}, ContractBroken),
        ({"access_token": "x" * 10_000}, ContractBroken),
        ({"access_token": "new", "expires_in": -1}, ContractBroken),
        ({"access_token": "new", "expires_in": 10**12}, ContractBroken),
    ],
)
async def test_an_exchange_that_was_refused_or_makes_no_sense_is_no_success(
    answer: Any, expected: type[PlatformError]
) -> None:
    host = Host({"graph.facebook.com/v26.0/oauth/access_token": answer})
    with pytest.raises(expected):
        await tokens(host).refresh(CREDENTIAL)
    with pytest.raises(expected):
        await tokens(host).exchange_code(CodeGrant("4711", "the-code", REDIRECT))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Invalid Client Secret", Misconfigured),
        ("Invalid platform app", Misconfigured),
        ("This authorization code has been used", Rejected),
    ],
)
async def test_instagrams_own_form_of_a_refusal_is_read(message: str, expected: type[PlatformError]) -> None:
    said = {"error_type": "OAuthException", "code": 400, "error_message": f"{message} the-app-secret"}
    host = Host({"api.instagram.com/oauth/access_token": (400, said)})
    with pytest.raises(expected, match=message) as caught:
        await tokens(host).exchange_code(CodeGrant("4711", "the-code", REDIRECT, "instagram"))
    assert "the-app-secret" not in str(caught.value)


async def test_threads_is_asked_on_its_own_host_with_the_apps_token_in_its_form() -> None:
    host = Host({"graph.threads.net/v1.0/debug_token": {"data": {**DESCRIBED, "app_id": "4711"}}})
    facts = await tokens(host).inspect(Credential("the-user-token", "4711", login="threads"))
    assert facts.valid
    asked = host.asked[0][2]
    assert (asked["input_token"], asked["access_token"]) == ("the-user-token", "TH|4711|the-app-secret")


async def test_a_token_of_instagrams_own_login_lives_when_it_can_read_its_account() -> None:
    where = "graph.instagram.com/v26.0/me"
    credential = Credential("the-user-token", "12", login="instagram")
    host = Host({where: {"user_id": "17841405309211844", "username": "harbour", "id": "66"}})
    assert await tokens(host).inspect(credential) == TokenFacts(True, "user", "12", (), None, "17841405309211844")
    dead = Host({where: (400, error(190, "expired", error_subcode=463))})
    facts = await tokens(dead).inspect(credential)
    assert (facts.valid, facts.problem) == (False, AuthExpired.code)
    with pytest.raises(Unavailable):
        await tokens(Host({where: (500, error(2))})).inspect(credential)


async def test_a_login_that_is_none_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="myspace"):
        await tokens(Host({})).inspect(Credential("t", "4711", login="myspace"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"id": "153125381133"}, PermissionMissing),
        ({"id": "2", "access_token": "of-another"}, ContractBroken),
        ({"access_token": "x"}, ContractBroken),
        ((400, error(100, "missing", error_subcode=33)), Rejected),
    ],
)
async def test_a_pages_token_that_is_not_there_is_no_success(answer: Any, expected: type[PlatformError]) -> None:
    host = Host({"graph.facebook.com/v26.0/153125381133": answer})
    with pytest.raises(expected):
        await tokens(host).asset_credential(CREDENTIAL, AccountRef("page", "153125381133"))


@pytest.mark.parametrize("asset_id", ["../me", "", "1?fields=x", "me"])
async def test_a_page_whose_id_could_be_none_is_not_asked_for(asset_id: str) -> None:
    with pytest.raises(Rejected):
        await tokens(Host({})).asset_credential(CREDENTIAL, AccountRef("page", asset_id))


@st.composite
def _mutated(draw: Any) -> Any:
    """One to three places of a good answer replaced by anything, or taken out."""
    good: Any = draw(st.sampled_from([{"data": DESCRIBED}, {"access_token": "new", "expires_in": 60}, {"id": "1"}]))
    answer = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        inner = answer["data"] if isinstance(answer.get("data"), dict) and draw(st.booleans()) else answer
        if not inner:
            break
        name = draw(st.sampled_from(sorted(inner)))
        if draw(st.booleans()):
            del inner[name]
        else:
            inner[name] = draw(JSON)
    return answer


@settings(max_examples=FUZZ_EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(_mutated() | JSON)
async def test_any_answer_is_understood_or_an_error_of_the_tree(answer: Any) -> None:
    text = json.dumps(answer).encode("utf-8", "surrogatepass")
    asked = tokens(lambda _: httpx.Response(200, content=text))
    page = AccountRef("page", "1")
    grant = CodeGrant("4711", "c", REDIRECT, "instagram")
    for ask in (
        asked.inspect(CREDENTIAL),
        asked.refresh(CREDENTIAL),
        asked.exchange_code(grant),
        asked.asset_credential(CREDENTIAL, page),
    ):
        try:
            found = await ask
        except PlatformError as refused:
            assert str(refused)
            continue
        if isinstance(found, TokenFacts):
            assert isinstance(answer, dict)
            assert found.valid is answer["data"]["is_valid"]
        else:
            assert isinstance(answer, dict)
            assert found.access_token in json.dumps(answer, ensure_ascii=False)
