"""Lists of assets, and what hangs below them."""

import json
from typing import Any

import pytest

from services.sandbox.meta.filters import STATUSES
from tests.services.sandbox.meta.test_listing import read_all
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e
THREADS = "graph.threads.net"
OWNED = {
    "owned_pages": "page",
    "owned_ad_accounts": "ad_account",
    "owned_pixels": "pixel",
    "owned_product_catalogs": "catalog",
    "owned_whatsapp_business_accounts": "whatsapp",
    "owned_instagram_accounts": "instagram",
    "instagram_accounts": "instagram",
}


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {str(row["id"]) for row in rows}


def sees(sandbox: SandboxProcess, token: str, kind: str) -> set[str]:
    return {account["id"] for account in sandbox.token_row(token)["sees"] if account["type"] == kind}


def threads(sandbox: SandboxProcess, path: str, **params: str) -> Any:
    secret = {"access_token": sandbox.token("threads_busy")}
    return sandbox.client.get(f"/{THREADS}/v1.0/{path}", params={**secret, **params}).json()


def test_what_a_business_owns_is_listed_by_type(sandbox: SandboxProcess) -> None:
    business = sandbox.token_row("user_second")["sees"]
    owner = next(account["id"] for account in business if account["type"] == "business")
    for edge, kind in OWNED.items():
        rows = sandbox.get(f"{owner}/{edge}", token="user_second").json()["data"]
        assert ids(rows) == sees(sandbox, "user_second", kind), edge


def test_what_a_business_was_lent_is_listed_apart(sandbox: SandboxProcess) -> None:
    first = next(row["id"] for row in sandbox.token_row("user_main")["sees"] if row["type"] == "business")
    for edge, kind in (("client_pages", "page"), ("client_ad_accounts", "ad_account"), ("client_pixels", "pixel")):
        lent = ids(sandbox.get(f"{first}/{edge}", token="system_agency").json()["data"])
        assert lent == sees(sandbox, "user_second", kind)
    owned, lent = (
        ids(sandbox.get(f"{first}/{edge}", token="system_agency").json()["data"])
        for edge in ("owned_pixels", "client_pixels")
    )
    assert ids(sandbox.get(f"{first}/adspixels", token="system_agency").json()["data"]) == owned | lent


def test_a_person_reaches_every_type_of_asset_in_one_call(sandbox: SandboxProcess) -> None:
    fields = (
        "accounts{id,access_token,tasks,instagram_business_account{id,username}},"
        "adaccounts{id,currency,business{id,name},adspixels{id,name}},"
        "businesses{id,name,owned_product_catalogs{id,name,product_count},"
        "owned_whatsapp_business_accounts{id,phone_numbers{id,display_phone_number}}}"
    )
    me = sandbox.get("v26.0/me", fields=fields).json()
    assert ids(me["accounts"]["data"]) == sees(sandbox, "user_main", "page")
    assert ids(me["adaccounts"]["data"]) == sees(sandbox, "user_main", "ad_account")
    linked = {row["instagram_business_account"]["id"] for row in me["accounts"]["data"]}
    assert linked == sees(sandbox, "user_main", "instagram")
    pixels = {row["id"] for account in me["adaccounts"]["data"] for row in account["adspixels"]["data"]}
    assert pixels == sees(sandbox, "user_main", "pixel")
    (business,) = me["businesses"]["data"]
    assert ids(business["owned_product_catalogs"]["data"]) == sees(sandbox, "user_main", "catalog")
    assert ids(business["owned_whatsapp_business_accounts"]["data"]) == sees(sandbox, "user_main", "whatsapp")


def test_pages_of_a_person_show_their_tokens_and_tasks_without_being_asked(sandbox: SandboxProcess) -> None:
    row = sandbox.get("me/accounts").json()["data"][0]
    assert row.keys() == {"access_token", "category", "category_list", "name", "id", "tasks"}
    narrow = sandbox.get("me/adaccounts", token="user_narrow").json()["error"]
    assert narrow["code"] == 200


def test_numbers_of_a_whatsapp_account_are_listed_a_hundred_at_most(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("whatsapp")[0]["id"]
    path = f"{account}/phone_numbers"
    answer = sandbox.get(path, limit="500").json()
    assert {"id", "display_phone_number", "verified_name", "quality_rating"} <= answer["data"][0].keys()
    newest = sandbox.get(path, sort="last_onboarded_time.desc", fields="last_onboarded_time").json()["data"]
    oldest = sandbox.get(path, sort="last_onboarded_time.asc", fields="last_onboarded_time").json()["data"]
    assert len(newest) > 1
    assert newest == oldest[::-1]
    assert [row["last_onboarded_time"] for row in newest] == sorted(
        (row["last_onboarded_time"] for row in newest), reverse=True
    )
    assert sandbox.get(path, sort="name.asc").json()["error"]["code"] == 100
    condition = '[{"field":"display_phone_number","operator":"EQUAL","value":"%s"}]'
    number = answer["data"][0]["display_phone_number"]
    (found,) = sandbox.get(path, filtering=condition % number).json()["data"]
    assert found["id"] == answer["data"][0]["id"]


def test_a_catalog_lists_its_products_and_feeds(sandbox: SandboxProcess) -> None:
    catalogs = [sandbox.get(row["id"], fields="product_count,feed_count").json() for row in sandbox.accounts("catalog")
                if row["id"] in sees(sandbox, "user_main", "catalog")]  # fmt: skip
    largest = max(catalogs, key=lambda catalog: int(catalog["product_count"]))
    products = read_all(sandbox, f"{largest['id']}/products", limit="40", fields="id,name,price")
    assert len(ids(products)) == largest["product_count"]
    assert len(sandbox.get(f"{largest['id']}/product_feeds").json()["data"]) == largest["feed_count"]


def test_comments_of_a_post_add_up_to_its_counter(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    post = max(sandbox.children(page, "posts"), key=lambda row: row["totals"]["comments"])
    count = "comments.summary(total_count).limit(0),reactions.summary(total_count).limit(0),shares"
    told = sandbox.get(post["id"], fields=count).json()
    assert told["comments"] == {"data": [], "summary": {"total_count": post["totals"]["comments"]}}
    assert told["reactions"]["summary"]["total_count"] == post["totals"]["likes"]
    assert told["shares"]["count"] == post["totals"]["shares"]
    rows = read_all(sandbox, f"{post['id']}/comments", limit="7", fields="id,message,created_time,from")
    assert len(ids(rows)) == post["totals"]["comments"]
    assert all({"message", "from", "created_time"} <= row.keys() for row in rows)
    old_first = sandbox.get(f"{post['id']}/comments", order="chronological", limit="100", fields="created_time")
    assert [row["id"] for row in old_first.json()["data"]] == [row["id"] for row in rows[::-1]][:100]
    summary = sandbox.get(f"{post['id']}/comments", summary="true", filter="stream", limit="1").json()["summary"]
    assert summary == {"order": "ranked", "can_comment": True, "total_count": post["totals"]["comments"]}


def test_lead_forms_list_their_leads(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]["id"]
    forms = sandbox.get(f"{page}/leadgen_forms", fields="id,name,leads_count,status").json()["data"]
    assert forms
    for form in forms:
        leads = read_all(sandbox, f"{form['id']}/leads", limit="10")
        assert len(leads) == form["leads_count"]
        assert all({"id", "created_time", "field_data"} <= lead.keys() for lead in leads)
    leads = read_all(sandbox, f"{forms[0]['id']}/leads", limit="10")
    since = [{"field": "time_created", "operator": "GREATER_THAN", "value": leads[3]["created_time"]}]
    assert sandbox.get(f"{forms[0]['id']}/leads", filtering=json.dumps(since)).json()["data"] == leads[:3]


def test_lists_that_nothing_in_this_world_is_on_are_empty_and_no_gap(sandbox: SandboxProcess) -> None:
    page, account = sandbox.accounts("page")[0], sandbox.accounts("ad_account")[0]
    ad, post = sandbox.children(account, "ads")[0]["id"], sandbox.children(page, "posts")[0]["id"]
    assert [sandbox.get(path).json() for path in (f"{ad}/leads", f"{post}/to", f"{post}/sponsor_tags")] == [
        {"data": []}
    ] * 3
    assert sandbox.get(post, fields="to,sponsor_tags,allowed_advertising_objects").json() == {"id": post}


def test_an_instagram_account_tells_the_number_of_its_threads_profile(sandbox: SandboxProcess) -> None:
    instagram = sandbox.token_row("instagram_busy")["owner"]["id"]
    (row,) = sandbox.get(f"{instagram}/connected_threads_user", fields="threads_user_id").json()["data"]
    assert row["threads_user_id"] == sandbox.token_row("threads_busy")["owner"]["id"]
    nested = sandbox.get(instagram, fields="connected_threads_user{threads_user_id}").json()
    assert nested["connected_threads_user"]["data"] == [row]
    assert sandbox.get(row["id"]).json()["error"]["error_subcode"] == 33


def test_posts_of_threads_and_their_replies_are_listed_on_their_host(sandbox: SandboxProcess) -> None:
    me = sandbox.token_row("threads_busy")["owner"]["id"]
    account = next(row for row in sandbox.accounts("threads") if row["id"] == me)
    truth = sandbox.children(account, "posts")
    rows: list[dict[str, Any]] = []
    answer = threads(sandbox, "me/threads", fields="id,text,media_type,permalink,timestamp", limit="50")
    while True:
        rows += answer["data"]
        if "next" not in answer["paging"]:
            break
        answer = sandbox.client.get(answer["paging"]["next"]).json()
    assert [(row["id"], row["text"]) for row in rows] == [(row["id"], row["name"]) for row in truth]
    post = max(truth, key=lambda row: row["totals"]["comments"])["id"]
    newest = threads(sandbox, f"{post}/replies", fields="timestamp", limit="100")["data"]
    oldest = threads(sandbox, f"{post}/replies", fields="timestamp", limit="100", reverse="false")["data"]
    assert newest
    assert newest == oldest[::-1]
    everything = threads(sandbox, f"{post}/conversation", limit="100")["data"]
    assert ids(everything) >= ids(newest)
    since = truth[10]["created_at"]
    assert [row["id"] for row in threads(sandbox, "me/threads", since=since, limit="100")["data"]] == [
        row["id"] for row in truth[:11]
    ]


def test_every_list_of_every_account_adds_up_to_the_worlds_truth(sandbox: SandboxProcess) -> None:
    edges = {"page": "published_posts", "instagram": "media"}
    seen = sandbox.token_row("system_agency")["sees"]
    for account in sandbox.meta["accounts"]:
        if {"type": account["type"], "id": account["id"]} not in seen:
            continue
        for child, count in account["children"].items():
            truth = [(row["id"], row["status"]) for row in sandbox.children(account, child)]
            path = f"{account['id']}/{edges.get(account['type'], child)}"
            rows = read_all(
                sandbox, path, token="system_agency", limit="100", fields="id,status" if child != "posts" else "id"
            )
            assert [row["id"] for row in rows] == [node_id for node_id, _ in truth]
            assert len(rows) == count
            if child != "posts":
                assert [row["status"] for row in rows] == [status for _, status in truth]


def test_what_is_left_out_by_default_is_listed_where_all_statuses_are_asked_for(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    every = json.dumps(list(STATUSES))
    for child in ("campaigns", "adsets", "ads"):
        truth = [row["id"] for row in sandbox.children(account, child, all="true")]
        rows = read_all(sandbox, f"{account['id']}/{child}", effective_status=every, limit="200")
        assert [row["id"] for row in rows] == truth
        assert len(truth) > account["children"][child]


def test_the_documents_own_discovery_call_is_answered(sandbox: SandboxProcess) -> None:
    fields = (
        "id,name,accounts.limit(100){id,name,access_token,tasks,instagram_business_account{id,username}},"
        "adaccounts.limit(100){id,account_id,name,account_status,currency,timezone_name,business{id,name},"
        "adspixels{id,name}},businesses.limit(25){id,name,owned_product_catalogs{id,name},"
        "client_product_catalogs{id,name},owned_whatsapp_business_accounts{id,name,phone_numbers{id,"
        "display_phone_number}},client_whatsapp_business_accounts{id,name}}"
    )
    for token in ("user_main", "user_second", "system_agency"):
        answer = sandbox.get("v26.0/me", token=token, fields=fields)
        assert answer.status_code == 200
        assert ids(answer.json()["adaccounts"]["data"]) == sees(sandbox, token, "ad_account")
    narrow = sandbox.get("v26.0/me", token="user_narrow", fields=fields).json()["error"]
    assert narrow["code"] in {10, 200}


def test_another_instagram_account_is_found_by_its_name(sandbox: SandboxProcess) -> None:
    mine = sandbox.token_row("instagram_busy")["owner"]["id"]
    other = next(row for row in sandbox.accounts("instagram") if row["children"]["posts"] and row["id"] != mine)
    inside = "followers_count,media_count,media.limit(2){id,caption,like_count}"
    fields = f"business_discovery.username({other['username']}){{{inside}}}"
    found = sandbox.get(mine, fields=fields).json()["business_discovery"]
    truth = sandbox.children(other, "posts")
    assert (found["id"], found["media_count"]) == (other["id"], len(truth))
    assert [row["caption"] for row in found["media"]["data"]] == [row["name"] for row in truth[:2]]
    assert found["media"]["paging"].keys() == {"cursors"}
    after = found["media"]["paging"]["cursors"]["after"]
    further = fields.replace("limit(2)", f"limit(2).after({after})")
    more = sandbox.get(mine, fields=further).json()["business_discovery"]["media"]["data"]
    assert [row["id"] for row in more] == [row["id"] for row in truth[2:4]]
    missing = sandbox.get(mine, fields="business_discovery.username(nobody){id}").json()["error"]
    assert (missing["code"], missing["error_subcode"]) == (110, 2207013)
    for text in ("business_discovery{id}", f"business_discovery.username({other['username']}){{owner_business}}"):
        assert sandbox.get(mine, fields=text).json()["error"]["code"] == 100
