"""Logging in: dialogs, codes, exchanges and refreshes, on the hosts that the documents name."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.sandbox import GRAPH, SandboxProcess

pytestmark = pytest.mark.e2e

BACK = "https://app.example/back?from=meta"
IG, THREADS = "graph.instagram.com", "graph.threads.net"


def app_named(sandbox: SandboxProcess, part: str) -> dict[str, Any]:
    return sandbox.app(sandbox.token_row(f"app_{part}")["app"])


def dialog(sandbox: SandboxProcess, app: dict[str, Any], path: str, **params: str) -> httpx.Response:
    query = {"client_id": app["id"], "redirect_uri": BACK, **params}
    return sandbox.client.get(f"/{path}", params=query, follow_redirects=False)


def sent_back(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["location"])
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


def exchange(sandbox: SandboxProcess, app: dict[str, Any], **params: str) -> httpx.Response:
    secret = {"client_id": app["id"], "client_secret": app["secret"]}
    return sandbox.client.get(f"/{GRAPH}/v26.0/oauth/access_token", params={**secret, **params})


def test_a_login_gives_a_code_that_is_good_once_for_one_address(sandbox: SandboxProcess) -> None:
    app = app_named(sandbox, "main")
    answer = dialog(sandbox, app, "www.facebook.com/v26.0/dialog/oauth", scope="email,pages_show_list", state="a b")
    back = sent_back(answer)
    assert (back["from"], back["state"]) == ("meta", "a b")
    assert answer.headers["location"].endswith("#_=_")
    elsewhere = exchange(sandbox, app, code=back["code"], redirect_uri="https://app.example/other").json()["error"]
    assert (elsewhere["code"], elsewhere["error_subcode"]) == (100, 36008)
    token = exchange(sandbox, app, code=back["code"], redirect_uri=BACK).json()
    assert (token["token_type"], token["expires_in"]) == ("bearer", 3600)
    permissions = sandbox.client.get(f"/{GRAPH}/me/permissions", params={"access_token": token["access_token"]}).json()
    assert [row["permission"] for row in permissions["data"]] == ["public_profile", "email", "pages_show_list"]
    again = exchange(sandbox, app, code=back["code"], redirect_uri=BACK)
    assert (again.status_code, again.json()["error"]["error_subcode"]) == (400, 36009)
    assert '"invalid_code"' in again.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [("token", {"access_token", "expires_in"}), ("code token", {"access_token", "expires_in", "code"})],
)
def test_a_token_comes_in_the_fragment_and_in_no_query(sandbox: SandboxProcess, kind: str, names: set[str]) -> None:
    app = app_named(sandbox, "main")
    answer = dialog(sandbox, app, "www.facebook.com/dialog/oauth", response_type=kind, state="s")
    location = urlsplit(answer.headers["location"])
    assert location.query == "from=meta"
    told = parse_qs(location.fragment)
    assert set(told) == {*names, "state"}
    assert sandbox.client.get(f"/{GRAPH}/me", params={"access_token": told["access_token"][0]}).status_code == 200


def test_a_dialog_names_the_granted_scopes_to_who_asks_for_them(sandbox: SandboxProcess) -> None:
    app = app_named(sandbox, "main")
    asked = {"response_type": "code,granted_scopes", "scope": "email"}
    back = sent_back(dialog(sandbox, app, "www.facebook.com/dialog/oauth", **asked))
    assert (back["granted_scopes"], "code" in back) == ("public_profile,email", True)


def test_a_code_ends_by_the_sandboxs_clock(sandbox: SandboxProcess) -> None:
    app = app_named(sandbox, "main")
    code = sent_back(dialog(sandbox, app, "www.facebook.com/dialog/oauth"))["code"]
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 601})
    assert exchange(sandbox, app, code=code, redirect_uri=BACK).json()["error"]["error_subcode"] == 36007


def test_another_person_can_log_in_and_anybody_can_say_no(sandbox: SandboxProcess) -> None:
    app, path = app_named(sandbox, "main"), "www.facebook.com/dialog/oauth"
    second = sandbox.token_row("user_second")["owner"]["id"]
    code = sent_back(dialog(sandbox, app, path, scope="pages_show_list", sandbox_user=second))["code"]
    token = exchange(sandbox, app, code=code, redirect_uri=BACK).json()["access_token"]
    assert sandbox.client.get(f"/{GRAPH}/me", params={"access_token": token}).json()["id"] == second
    denied = sent_back(dialog(sandbox, app, path, state="s", sandbox_deny="true"))
    assert (denied["error"], denied["error_reason"], denied["state"]) == ("access_denied", "user_denied", "s")


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "1"},
        {"scope": "email,fly"},
        *({"redirect_uri": uri} for uri in ("nowhere", "https://a.example/#b", "https://[", "https:")),
    ],
)
def test_a_dialog_that_cannot_be_shown_is_a_page_and_no_redirect(
    sandbox: SandboxProcess, wrong: dict[str, str]
) -> None:
    answer = dialog(sandbox, app_named(sandbox, "main"), "www.facebook.com/dialog/oauth", **wrong)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("change", "code"),
    [({"client_id": ""}, 101), ({"client_id": "12"}, 101), ({"client_secret": "x"}, 1), ({"redirect_uri": ""}, 191)],
)
def test_an_exchange_that_proves_nothing_is_refused(sandbox: SandboxProcess, change: dict[str, str], code: int) -> None:
    answer = exchange(sandbox, app_named(sandbox, "main"), **{"code": "x", "redirect_uri": BACK, **change})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_an_app_may_prove_itself_by_http_basic_as_clients_of_oauthlib_do(sandbox: SandboxProcess) -> None:
    app = app_named(sandbox, "main")
    code = sent_back(dialog(sandbox, app, "www.facebook.com/dialog/oauth"))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    path = f"/{GRAPH}/oauth/access_token"
    wrong = sandbox.client.post(path, data=form, auth=(app["id"], "x"))
    assert wrong.json()["error"]["code"] == 1
    assert sandbox.client.post(path, data=form, headers={"Authorization": "Basic ?"}).json()["error"]["code"] == 101
    assert sandbox.client.post(path, data=form, auth=(app["id"], app["secret"])).json()["token_type"] == "bearer"


def test_a_short_token_becomes_one_of_sixty_days(sandbox: SandboxProcess) -> None:
    app, short = app_named(sandbox, "main"), sandbox.token("user_short")
    long = exchange(sandbox, app, grant_type="fb_exchange_token", fb_exchange_token=short).json()
    assert long["expires_in"] == 60 * 86_400
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 59 * 86_400})
    assert sandbox.client.get(f"/{GRAPH}/me", params={"access_token": long["access_token"]}).status_code == 200
    gone = exchange(sandbox, app, grant_type="fb_exchange_token", fb_exchange_token=short)
    assert gone.json()["error"]["error_subcode"] == 463
    other = exchange(sandbox, app_named(sandbox, "limited"), grant_type="fb_exchange_token", fb_exchange_token=short)
    assert other.json()["error"]["message"].startswith("The access token does not belong to application")


def test_a_system_users_token_lives_on_for_sixty_days_if_that_is_asked_for(sandbox: SandboxProcess) -> None:
    app, robot = app_named(sandbox, "main"), sandbox.token("system_main")
    grant = {"grant_type": "fb_exchange_token", "fb_exchange_token": robot}
    assert "expires_in" not in exchange(sandbox, app, **grant).json()
    told = exchange(sandbox, app, **grant, set_token_expires_in_60_days="true").json()
    assert told["expires_in"] == 5_184_000
    page = exchange(sandbox, app, grant_type="fb_exchange_token", fb_exchange_token=sandbox.token("page_busy"))
    assert page.json()["error"]["code"] == 100


def test_an_app_gets_the_token_that_is_its_id_and_secret(sandbox: SandboxProcess) -> None:
    app = app_named(sandbox, "main")
    told = exchange(sandbox, app, grant_type="client_credentials").json()
    assert told == {"access_token": f"{app['id']}|{app['secret']}", "token_type": "bearer"}


def test_instagram_login_goes_from_the_dialog_to_sixty_days(sandbox: SandboxProcess) -> None:
    app = app_named(sandbox, "instagram")
    answer = dialog(sandbox, app, "www.instagram.com/oauth/authorize", scope="instagram_business_basic")
    assert answer.headers["location"].endswith("#_")
    form = {
        "client_id": app["id"], "client_secret": app["secret"], "grant_type": "authorization_code",
        "redirect_uri": BACK, "code": sent_back(answer)["code"] + "#_",
    }  # fmt: skip
    told = sandbox.client.post("/api.instagram.com/oauth/access_token", data=form).json()
    assert told["user_id"] == sandbox.token_row("instagram_busy")["owner"]["id"]
    assert told["data"][0]["access_token"] == told["access_token"]
    asked = {"grant_type": "ig_exchange_token", "client_secret": app["secret"], "access_token": told["access_token"]}
    long = sandbox.client.get(f"/{IG}/access_token", params=asked).json()
    assert (long["token_type"], long["expires_in"]) == ("bearer", 5_184_000)
    used = sandbox.client.post("/api.instagram.com/oauth/access_token", data=form)
    assert (used.status_code, used.json()["error_message"]) == (400, "Matching code was not found or was already used")


@pytest.mark.parametrize("suffix", ["net", "com"])
def test_threads_logs_in_and_answers_under_both_of_its_names(sandbox: SandboxProcess, suffix: str) -> None:
    app, graph = app_named(sandbox, "threads"), f"graph.threads.{suffix}"
    answer = dialog(sandbox, app, f"www.threads.{suffix}/oauth/authorize", scope="threads_basic")
    form = {
        "client_id": app["id"], "client_secret": app["secret"], "grant_type": "authorization_code",
        "redirect_uri": BACK, "code": sent_back(answer)["code"],
    }  # fmt: skip
    short = sandbox.client.post(f"/{graph}/oauth/access_token", data=form).json()
    assert set(short) == {"access_token", "user_id"}
    asked = {"grant_type": "th_exchange_token", "client_secret": app["secret"], "access_token": short["access_token"]}
    long = sandbox.client.get(f"/{graph}/access_token", params=asked).json()
    assert long["expires_in"] == 5_184_000
    me = sandbox.client.get(f"/{graph}/v1.0/me", params={"fields": "id", "access_token": long["access_token"]})
    assert me.json() == {"id": short["user_id"]}
    own = {"access_token": f"TH|{app['id']}|{app['secret']}", "input_token": long["access_token"]}
    data = sandbox.client.get(f"/{graph}/v1.0/debug_token", params=own).json()["data"]
    assert (data["type"], data["user_id"], data["is_valid"]) == ("USER", short["user_id"], True)
    assert {row["host"] for row in sandbox.calls()} == {f"www.threads.{suffix}", graph}


def test_a_profiles_token_is_refreshed_when_it_is_a_day_old_and_not_expired(sandbox: SandboxProcess) -> None:
    def refresh(token: str) -> httpx.Response:
        asked = {"grant_type": "ig_refresh_token", "access_token": token}
        return sandbox.client.get(f"/{IG}/refresh_access_token", params=asked)

    told = refresh(sandbox.token("instagram_busy")).json()
    assert told["expires_in"] == 5_184_000
    assert told["access_token"] != sandbox.token("instagram_busy")
    fresh = sandbox.token("instagram_fresh")
    assert refresh(fresh).status_code == 400
    assert refresh(sandbox.token("instagram_short")).status_code == 400
    assert refresh(sandbox.token("instagram_expired")).json()["error"]["error_subcode"] == 463
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 86_400})
    assert refresh(fresh).status_code == 200


@pytest.mark.parametrize(("token", "host"), [("user_main", IG), ("instagram_busy", GRAPH), ("user_main", THREADS)])
def test_a_token_of_one_host_is_none_on_another(sandbox: SandboxProcess, token: str, host: str) -> None:
    asked = {"grant_type": "ig_refresh_token", "access_token": sandbox.token(token)}
    path = "me" if host == GRAPH else "refresh_access_token"
    error = sandbox.client.get(f"/{host}/{path}", params=asked).json()["error"]
    assert (error["code"], error["type"]) == (190, "OAuthException")


def test_a_system_user_gets_a_token_for_sixty_days_and_can_lose_it(sandbox: SandboxProcess) -> None:
    row = sandbox.token_row("system_main")
    app = sandbox.app(row["app"])
    business = next(node["id"] for node in row["sees"] if node["type"] == "business")
    robots = sandbox.get(f"{business}/system_users", token="system_main").json()["data"]
    assert row["owner"]["id"] in [robot["id"] for robot in robots]
    asked = {
        "access_token": row["access_token"], "system_user_id": row["owner"]["id"], "scope": "ads_read",
        "set_token_expires_in_60_days": "true", "appsecret_proof": sandbox.proof("system_main"),
    }  # fmt: skip
    told = sandbox.client.post(f"/{GRAPH}/{business}/system_user_access_tokens", data=asked).json()
    made = {"access_token": told["access_token"]}
    assert told["expires_in"] == 5_184_000
    assert [
        row["permission"] for row in sandbox.client.get(f"/{GRAPH}/me/permissions", params=made).json()["data"]
    ] == ["ads_read"]
    end = {"client_id": app["id"], "client_secret": app["secret"], "revoke_token": told["access_token"]}
    ended = sandbox.client.get(f"/{GRAPH}/oauth/revoke", params={**end, "access_token": row["access_token"]})
    assert ended.json() == {"success": True}
    assert sandbox.client.get(f"/{GRAPH}/me", params=made).json()["error"]["error_subcode"] == 467


def test_no_secret_of_a_login_is_in_the_log(sandbox: SandboxProcess) -> None:
    app = app_named(sandbox, "main")
    code = sent_back(dialog(sandbox, app, "www.facebook.com/dialog/oauth"))["code"]
    token = exchange(sandbox, app, code=code, redirect_uri=BACK).json()["access_token"]
    exchange(sandbox, app, grant_type="fb_exchange_token", fb_exchange_token=token)
    log = sandbox.client.get("/_sandbox/calls").text
    assert [secret for secret in (app["secret"], code, token) if secret in log] == []
    assert "<fb_exchange_token>" in log
