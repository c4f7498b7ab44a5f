"""Our tokens against the sandbox: each login from its code to its end, by the sandbox's own clock."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from libs.http.client import new_client
from libs.platforms.base import CodeGrant, Credential, IssuedToken, Tokens
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    Misconfigured,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.platforms.meta import build_platform
from libs.platforms.single_flight import SingleFlight
from libs.vocabulary import AccountRef
from tests.support.meta_graph import settings_for
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e

BACK = "https://bus.example/back?from=meta"
DAY = 86_400
DIALOGS = {
    None: "www.facebook.com/v26.0/dialog/oauth",
    "instagram": "www.instagram.com/oauth/authorize",
    "threads": "www.threads.net/oauth/authorize",
}
SCOPES = {None: "pages_show_list", "instagram": "instagram_business_basic", "threads": "threads_basic"}
APPS = {None: "app_main", "instagram": "app_instagram", "threads": "app_threads"}


@pytest.fixture
async def tokens(sandbox: SandboxProcess) -> AsyncIterator[Tokens]:
    async with new_client(allowed_base_urls=[sandbox.url]) as http:
        found = build_platform(http, settings_for(sandbox)).tokens
        assert found is not None
        yield found


def login_of(row: dict[str, Any]) -> str | None:
    return {"graph.instagram.com": "instagram", "graph.threads.net": "threads"}.get(row["host"])


def credential(sandbox: SandboxProcess, token_id: str) -> Credential:
    row = sandbox.token_row(token_id)
    return Credential(row["access_token"], row["app"], login=login_of(row))


def grant(sandbox: SandboxProcess, login: str | None, back: str = BACK) -> CodeGrant:
    """Sign in as the sandbox's person would, and give what came back to our address."""
    app = str(sandbox.token_row(APPS[login])["app"])
    asked = {"client_id": app, "redirect_uri": back, "response_type": "code", "scope": SCOPES[login]}
    answer = sandbox.client.get(f"/{DIALOGS[login]}", params=asked, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    address = answer.headers["location"]
    code = parse_qs(urlsplit(address).query)["code"][0]
    return CodeGrant(app, code + ("#_" if login and address.endswith("#_") else ""), back, login)


def advance(sandbox: SandboxProcess, seconds: int) -> None:
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": seconds}).raise_for_status()


async def test_every_token_is_what_the_world_says(tokens: Tokens, sandbox: SandboxProcess) -> None:
    asked = [row for row in sandbox.meta["tokens"] if not (row["kind"] == "app" and login_of(row))]
    assert {row["state"] for row in asked} == {"valid", "expired", "revoked"}
    for row in asked:
        facts = await tokens.inspect(credential(sandbox, row["id"]))
        assert facts.valid is (row["state"] == "valid"), row["id"]
        if login_of(row) == "instagram":  # whether it lives is all that can be asked there
            continue
        assert facts.app_id == row["app"]
        assert facts.kind == row["kind"]
        assert set(facts.scopes) == set(row["scopes"])
        assert (facts.expires_at_unix is None) == (row["expires_at"] is None)
        if not facts.valid:
            words = {AuthExpired.code} if row["state"] == "expired" else {AuthRevoked.code, PermissionMissing.code}
            assert facts.problem in words, row["id"]


@pytest.mark.parametrize("login", DIALOGS)
async def test_a_sign_in_ends_with_a_token_of_sixty_days(
    tokens: Tokens, sandbox: SandboxProcess, login: str | None
) -> None:
    issued = await tokens.exchange_code(grant(sandbox, login))
    assert issued.kind == "user"
    assert issued.expires_in_seconds == pytest.approx(60 * DAY, abs=120)
    app = str(sandbox.token_row(APPS[login])["app"])
    made = Credential(issued.access_token, app, login=login)
    facts = await tokens.inspect(made)
    assert facts.valid
    assert issued.owner_id in (None, facts.owner_id)


@pytest.mark.parametrize("login", DIALOGS)
async def test_a_code_counts_once_and_for_one_address(
    tokens: Tokens, sandbox: SandboxProcess, login: str | None
) -> None:
    given = grant(sandbox, login)
    elsewhere = CodeGrant(given.app_id, given.code, "https://bus.example/other", login)
    with pytest.raises(Rejected):
        await tokens.exchange_code(elsewhere)
    again = grant(sandbox, login)
    await tokens.exchange_code(again)
    with pytest.raises(Rejected):
        await tokens.exchange_code(again)


@pytest.mark.parametrize("login", ["instagram", "threads"])
async def test_long_tokens_are_refreshed_when_they_are_a_day_old(
    tokens: Tokens, sandbox: SandboxProcess, login: str
) -> None:
    fresh = credential(sandbox, f"{login}_fresh")
    with pytest.raises(Rejected):
        await tokens.refresh(fresh)
    advance(sandbox, DAY)
    issued = await tokens.refresh(fresh)
    assert issued.access_token != fresh.access_token
    assert issued.expires_in_seconds == 60 * DAY
    assert (await tokens.inspect(Credential(issued.access_token, fresh.app_id, login=login))).valid
    with pytest.raises(AuthExpired):
        await tokens.refresh(credential(sandbox, f"{login}_expired"))


@pytest.mark.parametrize("login", ["instagram", "threads"])
async def test_a_short_token_is_made_long_later(tokens: Tokens, sandbox: SandboxProcess, login: str) -> None:
    host = "graph.threads.net" if login == "threads" else "graph.instagram.com"
    sandbox.fault("server_error", {"host": host, "path": "^/access_token$"}, times=1)
    issued = await tokens.exchange_code(grant(sandbox, login))
    assert issued.kind == "short_user"
    short = Credential(issued.access_token, str(sandbox.token_row(APPS[login])["app"]), login=login)
    long = await tokens.refresh(short, kind=issued.kind)
    assert (long.kind, long.expires_in_seconds) == ("user", 60 * DAY)


async def test_a_person_and_a_system_user_exchange_a_living_token(tokens: Tokens, sandbox: SandboxProcess) -> None:
    issued = await tokens.refresh(credential(sandbox, "user_main"))
    assert issued.expires_in_seconds == pytest.approx(60 * DAY, abs=120)
    with pytest.raises(AuthExpired):
        await tokens.refresh(credential(sandbox, "user_expired"))
    with pytest.raises(AuthRevoked):
        await tokens.refresh(credential(sandbox, "user_revoked"))


async def test_a_system_user_gets_another_sixty_days(tokens: Tokens, sandbox: SandboxProcess) -> None:
    asker = credential(sandbox, "system_main")
    issued = await tokens.refresh(asker, kind="system_user")
    assert (issued.kind, issued.expires_in_seconds) == ("system_user", 60 * DAY)
    made = Credential(issued.access_token, asker.app_id)
    assert (await tokens.inspect(made)).kind == "system_user"
    advance(sandbox, 59 * DAY)
    again = await tokens.refresh(made, kind="system_user")
    advance(sandbox, 2 * DAY)
    assert (await tokens.inspect(made)).problem == AuthExpired.code
    assert (await tokens.inspect(Credential(again.access_token, asker.app_id))).valid


async def test_a_wrong_secret_of_ours_is_nobody_elses_fault(sandbox: SandboxProcess) -> None:
    wrong = {app["id"]: "0" * 32 for app in sandbox.meta["apps"]}
    async with new_client(allowed_base_urls=[sandbox.url]) as http:
        tokens = build_platform(http, settings_for(sandbox, app_secrets=wrong)).tokens
        assert tokens is not None
        for login in DIALOGS:
            with pytest.raises(Misconfigured):
                await tokens.exchange_code(grant(sandbox, login))
        with pytest.raises(Misconfigured):
            await tokens.refresh(credential(sandbox, "user_main"))


async def test_a_pages_own_token_is_given_to_who_has_a_task_on_it(tokens: Tokens, sandbox: SandboxProcess) -> None:
    page = AccountRef("page", str(sandbox.token_row("page_busy")["owner"]["id"]))
    own = await tokens.asset_credential(credential(sandbox, "user_main"), page)
    facts = await tokens.inspect(Credential(own.access_token, own.app_id))
    assert (facts.valid, facts.kind) == (True, "page")
    with pytest.raises((PermissionMissing, Rejected)):
        await tokens.asset_credential(credential(sandbox, "user_newcomer"), page)


async def test_an_answer_that_is_lost_after_the_effect_leaves_the_code_spent(
    tokens: Tokens, sandbox: SandboxProcess
) -> None:
    given = grant(sandbox, "threads")
    sandbox.fault("cut_after", {"path": "oauth/access_token$"}, times=1)
    with pytest.raises(OutcomeUnknown):
        await tokens.exchange_code(given)
    with pytest.raises(Rejected):
        await tokens.exchange_code(given)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("throttled", RateLimited),
        ("server_error", Unavailable),
        ("unavailable", Unavailable),
        ("cut_before", OutcomeUnknown),
        ("truncated", (Unavailable, OutcomeUnknown)),
    ],
)
async def test_faults_of_the_host_are_errors_of_the_tree(
    tokens: Tokens, sandbox: SandboxProcess, fault: str, expected: type[Exception]
) -> None:
    sandbox.fault(fault, {"path": "debug_token"}, args={"bytes": 20} if fault == "truncated" else {})
    with pytest.raises(expected):
        await tokens.inspect(credential(sandbox, "user_main"))


async def test_ten_who_refresh_at_once_make_one_call_and_keep_one_token(
    tokens: Tokens, sandbox: SandboxProcess
) -> None:
    kept: list[str] = []

    async def keep(issued: IssuedToken) -> None:
        kept.append(issued.access_token)

    flights: SingleFlight[str, IssuedToken] = SingleFlight()
    asker, mark = credential(sandbox, "threads_busy"), len(sandbox.calls())
    got = await asyncio.gather(*(flights.run("one", lambda: tokens.refresh(asker), keep) for _ in range(10)))
    assert {issued.access_token for issued in got} == set(kept)
    assert len(kept) == len(sandbox.calls()) - mark == 1
