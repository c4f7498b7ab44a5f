"""Access tokens: how they are sent, what state they are in, proofs, debug_token."""

import hashlib
import hmac
import time

import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import make_cast
from services.sandbox.meta.first_tokens import make_tokens
from services.sandbox.meta.world import World
from tests.support.sandbox import GRAPH, SandboxProcess

pytestmark = pytest.mark.e2e


def proof_of(secret: str, message: str) -> str:
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def test_a_token_may_come_by_query_or_header(sandbox: SandboxProcess) -> None:
    token = sandbox.token("user_main")
    for headers in ({"Authorization": f"Bearer {token}"}, {"Authorization": f"OAuth {token}"}):
        assert sandbox.client.get(f"/{GRAPH}/me", headers=headers).status_code == 200
    assert sandbox.get("me").status_code == 200


@pytest.mark.parametrize(
    ("token", "path", "code", "subcode"),
    [
        (None, "me", 2500, None),
        (None, "123", 104, None),
        ("app_main", "me", 2500, None),
        ("user_expired", "me", 190, 463),
        ("user_revoked", "me", 190, 460),
        ("system_revoked", "me", 190, 458),
        ("page_revoked", "me", 190, 492),
    ],
)
def test_a_token_that_does_not_hold_says_why(
    sandbox: SandboxProcess, token: str | None, path: str, code: int, subcode: int | None
) -> None:
    answer = sandbox.get(path, token=token)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("error_subcode")) == (400, code, subcode)
    assert error["type"] == "OAuthException"


def test_a_proof_is_checked_whenever_it_is_sent(sandbox: SandboxProcess) -> None:
    row = sandbox.token_row("user_main")
    secret = sandbox.app(row["app"])["secret"]
    right = proof_of(secret, row["access_token"])
    assert sandbox.get("me", appsecret_proof=right).status_code == 200
    for wrong in ("", right[:-1] + "x", right.upper(), proof_of("other", row["access_token"])):
        error = sandbox.get("me", appsecret_proof=wrong).json()["error"]
        assert (error["code"], error["type"]) == (100, "GraphMethodException")


def test_an_app_that_requires_the_proof_gets_it_or_refuses(sandbox: SandboxProcess) -> None:
    row = sandbox.token_row("user_strict")
    secret, token = sandbox.app(row["app"])["secret"], row["access_token"]
    answer = sandbox.get("me", token="user_strict")
    assert answer.json()["error"]["message"] == "API calls from the server require an appsecret_proof argument"
    assert sandbox.get("me", token="user_strict", appsecret_proof=proof_of(secret, token)).status_code == 200
    moment = str(int(time.time()))
    timed = {"appsecret_time": moment, "appsecret_proof": proof_of(secret, f"{token}|{moment}")}
    assert sandbox.get("me", token="user_strict", **timed).status_code == 200
    old = str(int(time.time()) - 86_400)
    late = {"appsecret_time": old, "appsecret_proof": proof_of(secret, f"{token}|{old}")}
    assert sandbox.get("me", token="user_strict", **late).status_code == 400


def test_an_item_with_its_own_token_needs_its_own_proof(sandbox: SandboxProcess) -> None:
    row = sandbox.token_row("user_strict")
    secret, token = sandbox.app(row["app"])["secret"], row["access_token"]
    bare = {"method": "GET", "relative_url": f"me?access_token={token}"}
    proven = {"method": "GET", "relative_url": f"me?access_token={token}&appsecret_proof={proof_of(secret, token)}"}
    assert [result["code"] for result in sandbox.results([bare, proven])] == [400, 200]
    outer = proof_of(secret, token)
    items = [bare, {"method": "GET", "relative_url": "me"}]
    results = sandbox.results(items, "user_strict", appsecret_proof=outer)
    assert [result["code"] for result in results] == [400, 200]


def test_debug_token_tells_kind_owner_and_state(sandbox: SandboxProcess) -> None:
    def inspect(token_id: str) -> dict[str, object]:
        answer = sandbox.get("debug_token", token="app_main", input_token=sandbox.token(token_id))
        data: dict[str, object] = answer.json()["data"]
        return data

    row = sandbox.token_row("user_main")
    user = inspect("user_main")
    assert (user["type"], user["is_valid"], user["user_id"]) == ("USER", True, row["owner"]["id"])
    assert (user["app_id"], user["scopes"]) == (row["app"], row["scopes"])
    assert inspect("system_main")["expires_at"] == 0
    page = inspect("page_busy")
    assert (page["type"], page["profile_id"]) == ("PAGE", sandbox.token_row("page_busy")["owner"]["id"])
    expired, revoked = inspect("user_expired"), inspect("user_revoked")
    assert [data["is_valid"] for data in (expired, revoked)] == [False, False]
    unknown = sandbox.get("debug_token", token="app_main", input_token="nonsense").json()["data"]
    assert unknown["is_valid"] is False


def test_debug_token_wants_a_valid_token_of_the_same_app(sandbox: SandboxProcess) -> None:
    foreign = sandbox.get("debug_token", token="app_limited", input_token=sandbox.token("user_main"))
    assert foreign.json()["error"]["code"] == 100
    assert sandbox.get("debug_token", token="app_main").json()["error"]["code"] == 100
    assert sandbox.get("debug_token", token=None, input_token="x").json()["error"]["code"] == 104


def test_permissions_are_those_of_the_token(sandbox: SandboxProcess) -> None:
    data = sandbox.get("me/permissions", token="user_narrow").json()["data"]
    assert [row["permission"] for row in data] == sandbox.token_row("user_narrow")["scopes"]
    assert {row["status"] for row in data} == {"granted"}


def test_a_declined_permission_is_gone_from_every_token_of_the_person(sandbox: SandboxProcess) -> None:
    assert sandbox.client.delete(f"/{GRAPH}/me/permissions/pages_show_list", params=as_main(sandbox)).json() == {
        "success": True
    }
    declined = sandbox.get("me/permissions", status="declined").json()["data"]
    assert declined == [{"permission": "pages_show_list", "status": "declined"}]
    assert (
        "pages_show_list"
        not in sandbox.client.get("/_sandbox/world").json()["platforms"]["meta"]["tokens"][0]["scopes"]
    )


def test_who_removes_the_app_ends_its_tokens_and_those_of_the_pages(sandbox: SandboxProcess) -> None:
    sandbox.client.delete(f"/{GRAPH}/me/permissions", params=as_main(sandbox))
    for token in ("user_main", "page_busy"):
        assert sandbox.get("me", token=token).json()["error"]["error_subcode"] == 458
    for token in ("user_limited", "user_second", "system_main"):
        assert sandbox.get("me", token=token).status_code == 200


def test_each_manager_and_app_has_a_page_token_of_its_own(sandbox: SandboxProcess) -> None:
    page = sandbox.token_row("page_busy")["owner"]["id"]

    def page_token(token: str) -> str:
        return str(sandbox.get(page, token=token, fields="access_token").json()["access_token"])

    assert page_token("user_main") == sandbox.token("page_busy") == page_token("page_busy")
    found = [page_token(token) for token in ("user_main", "user_limited", "system_main", "user_short")]
    assert len(set(found)) == 4
    assert page_token("user_limited") == found[1]
    data = sandbox.get("debug_token", token="app_main", input_token=found[3]).json()["data"]
    assert (data["type"], data["profile_id"]) == ("PAGE", page)
    assert data["user_id"] == sandbox.token_row("user_main")["owner"]["id"]
    assert 0 < data["expires_at"] - data["issued_at"] <= 3600


def test_debug_token_says_for_which_accounts_a_scope_is_granted(sandbox: SandboxProcess) -> None:
    row = sandbox.token_row("user_main")
    data = sandbox.get("debug_token", token="app_main", input_token=row["access_token"]).json()["data"]
    granted = {entry["scope"]: entry.get("target_ids") for entry in data["granular_scopes"]}
    pages = sorted(node["id"] for node in row["sees"] if node["type"] == "page")
    accounts = sorted(node["id"].removeprefix("act_") for node in row["sees"] if node["type"] == "ad_account")
    assert (granted["pages_show_list"], granted["ads_read"], granted["email"]) == (pages, accounts, None)


def test_an_app_knows_itself(sandbox: SandboxProcess) -> None:
    row = sandbox.token_row("user_main")
    app = sandbox.app(row["app"])
    assert sandbox.get("app", fields="name").json() == {"name": app["name"], "id": app["id"]}
    assert sandbox.get(app["id"]).json()["name"] == app["name"]
    assert sandbox.get(app["id"], token="user_limited").status_code == 400


def test_the_oldest_of_very_many_tokens_go_and_pages_get_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.sandbox.meta.tokens.MAX_ISSUED", 3)
    clock = Clock(lambda: 0.0)
    world = World(7, "small", clock)
    cast = make_cast(world)
    tokens = make_tokens(world, cast, clock)
    limited = next(token for token in tokens.all() if token.id == "user_limited")
    first = tokens.page_token(limited, cast.pages["busy"])
    assert first is not None
    assert tokens.page_token(limited, cast.pages["busy"]) is first
    before = len(tokens.all())
    for _ in range(5):
        tokens.issue(limited, None)
    assert (len(tokens.all()), tokens.find(first.secret), tokens.find(limited.secret)) == (before + 2, None, limited)
    again = tokens.page_token(limited, cast.pages["busy"])
    assert again is not None
    assert tokens.find(again.secret) is again is not first


def as_main(sandbox: SandboxProcess) -> dict[str, str]:
    return {"access_token": sandbox.token("user_main")}
