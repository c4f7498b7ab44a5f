"""What every object has: introspection, debug messages, its own host."""

from typing import Any

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e
INSTAGRAM, THREADS = "graph.instagram.com", "graph.threads.net"


def ask(sandbox: SandboxProcess, host: str, path: str, token: str, **params: str) -> Any:
    return sandbox.client.get(f"/{host}/{path}", params={"access_token": sandbox.token(token), **params})


def test_an_object_tells_its_fields_and_connections(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]["id"]
    metadata = sandbox.get(f"v26.0/{page}", metadata="1", fields="name").json()["metadata"]
    assert metadata["type"] == "page"
    assert metadata["connections"]["feed"] == f"{sandbox.graph_url}/v26.0/{page}/feed"
    fields = {field["name"]: field["type"] for field in metadata["fields"]}
    assert (fields["name"], fields["fan_count"], fields["is_published"]) == ("string", "int", "bool")
    assert "metadata" not in sandbox.get(page, fields="name").json()


def test_debug_tells_what_was_left_out_for_want_of_a_permission(sandbox: SandboxProcess) -> None:
    page = sandbox.token_row("page_busy")["owner"]["id"]
    params = {"token": "page_busy", "fields": "business{name,verification_status}"}
    told = sandbox.get(page, debug="all", **params).json()
    assert told["business"].keys() == {"id", "name"}
    (message,) = told["__debug__"]["messages"]
    assert message["type"] == "warning"
    assert "business_management" in message["message"]
    assert sandbox.get(page, debug="warning", **params).json()["__debug__"] == told["__debug__"]
    assert sandbox.get(page, debug="all", fields="name").json()["__debug__"] == {}
    for params_without in ({}, {"debug": "loud"}):
        assert "__debug__" not in sandbox.get(page, fields="name", **params_without).json()


def test_a_profile_is_read_on_its_own_host_with_its_own_token(sandbox: SandboxProcess) -> None:
    for host, token, kind, fields in (
        (INSTAGRAM, "instagram_busy", "instagram", "user_id,username,account_type,media_count"),
        (THREADS, "threads_busy", "threads", "id,username,name,threads_profile_picture_url,threads_biography"),
    ):
        account = next(row for row in sandbox.accounts(kind) if row["id"] == sandbox.token_row(token)["owner"]["id"])
        me = ask(sandbox, host, "v1.0/me" if host == THREADS else "v26.0/me", token, fields=fields).json()
        assert me["id"] == account["id"]
        assert me.keys() >= {"username", *fields.split(",")} - {"name"}


@pytest.mark.parametrize(
    ("host", "token"),
    [
        (INSTAGRAM, "user_main"),
        (INSTAGRAM, "threads_busy"),
        (THREADS, "user_main"),
        (THREADS, "instagram_busy"),
        ("graph.facebook.com", "instagram_busy"),
        ("graph.facebook.com", "threads_busy"),
    ],
)
def test_a_token_of_one_host_is_unreadable_on_another(sandbox: SandboxProcess, host: str, token: str) -> None:
    answer = ask(sandbox, host, "me", token)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (400, 190, "OAuthException")


def test_refusals_have_the_type_of_their_host(sandbox: SandboxProcess) -> None:
    for host, token, kind in (
        (INSTAGRAM, "instagram_busy", "IGApiException"),
        (THREADS, "threads_busy", "THApiException"),
    ):
        missing = ask(sandbox, host, "123", token).json()["error"]
        assert (missing["code"], missing["error_subcode"], missing["type"]) == (100, 33, kind)
        unknown = ask(sandbox, host, "me", token, fields="colour").json()["error"]
        assert (unknown["code"], unknown["type"]) == (100, kind)
        assert unknown["message"].startswith("Tried accessing nonexisting field (colour) on node type (")
        nowhere = ask(sandbox, host, "me/nonsense", token).json()["error"]
        assert (nowhere["code"], nowhere["type"]) == (2500, kind)


def test_instagram_login_knows_other_fields_than_facebook_login(sandbox: SandboxProcess) -> None:
    account = sandbox.token_row("instagram_busy")["owner"]["id"]
    assert "account_type" in ask(sandbox, INSTAGRAM, "me", "instagram_busy", fields="account_type").json()
    assert sandbox.get(account, fields="account_type").json()["error"]["code"] == 100
    assert ask(sandbox, INSTAGRAM, "me", "instagram_busy", fields="ig_id").json()["error"]["code"] == 100
    assert sandbox.get(account, fields="ig_id").status_code == 200


@pytest.mark.parametrize(("path", "status"), [("me", 200), ("v1.0/me", 200), ("v26.0/me", 400), ("v2.0/me", 400)])
def test_threads_has_one_version(sandbox: SandboxProcess, path: str, status: int) -> None:
    answer = ask(sandbox, THREADS, path, "threads_busy")
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["facebook-api-version"] == "v1.0"


def test_links_stay_on_the_host_and_version_of_the_call(sandbox: SandboxProcess) -> None:
    for host, edge, token, version in (
        (INSTAGRAM, "media", "instagram_busy", "v26.0"),
        (THREADS, "threads", "threads_busy", "v1.0"),
    ):
        owner = sandbox.token_row(token)["owner"]["id"]
        page = ask(sandbox, host, f"me/{edge}", token, limit="2").json()
        following = page["paging"]["next"]
        assert following.startswith(f"{sandbox.url}/{host}/{version}/{owner}/{edge}?")
        assert len(sandbox.client.get(following).json()["data"]) == 2


def test_a_page_shows_its_picture_or_leads_to_it(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]["id"]
    moved = sandbox.get(f"{page}/picture", type="large")
    assert (moved.status_code, moved.content) == (302, b"")
    told = sandbox.get(f"{page}/picture", type="large", redirect="false").json()["data"]
    assert (told["url"], told["width"], told["is_silhouette"]) == (moved.headers["location"], 200, False)
    assert sandbox.get(page, fields="picture.type(large)").json()["picture"]["data"] == told
    assert sandbox.get("me", fields="picture{url}").json()["picture"]["data"].keys() == {"url"}
    assert sandbox.get("me", fields="picture{colour}").json()["error"]["code"] == 100
    assert sandbox.get(f"{page}/picture", type="huge").json()["error"]["code"] == 100


def test_a_picture_may_be_asked_for_in_two_sizes_but_a_name_not_under_another_one(sandbox: SandboxProcess) -> None:
    sizes = "picture.width(100).height(100).as(picture_small),picture.width(720).height(720).as(picture_large)"
    me = sandbox.get("me", fields=f"id,name,{sizes}").json()
    assert (me["picture_small"]["data"]["width"], me["picture_large"]["data"]["height"]) == (100, 720)
    error = sandbox.get("me", fields="name.as(my_name)").json()["error"]
    assert (error["message"], error["code"]) == ("(#100) Unknown fields: my_name.", 100)
    page = sandbox.accounts("page")[0]
    assert sandbox.get(page["id"], fields="name.as(called)").json() == {"called": page["name"], "id": page["id"]}


def test_requests_may_be_nested_deeper_than_anybody_needs(sandbox: SandboxProcess) -> None:
    account, levels = sandbox.accounts("ad_account")[0]["id"], 12
    deep = "id"
    for _ in range(levels):
        deep = f"ads.limit(1){{campaign{{{deep}}}}}"
    shown = sandbox.get(account, fields=deep).json()
    for _ in range(levels):
        shown = shown["ads"]["data"][0]["campaign"]
    assert shown.keys() == {"id"}
