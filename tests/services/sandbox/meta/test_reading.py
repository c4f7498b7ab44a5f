"""Objects: default fields, chosen fields, expansion, multi-get, what a token may see."""

import json
from typing import Any

import pytest

from tests.support.sandbox import GRAPH, SandboxProcess

pytestmark = pytest.mark.e2e


def refusal(answer: Any) -> tuple[int, int, int | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("error_subcode")


def test_without_fields_only_default_fields_are_given(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    page = sandbox.accounts("page")[0]
    assert sandbox.get(account).json() == {"id": account, "account_id": account.removeprefix("act_")}
    assert sandbox.get(page["id"]).json() == {"id": page["id"], "name": page["name"]}
    assert set(sandbox.get("me").json()) == {"id", "name"}


def test_every_kind_of_object_can_be_read_by_its_id(sandbox: SandboxProcess) -> None:
    account, page, instagram = (sandbox.accounts(kind)[0] for kind in ("ad_account", "page", "instagram"))
    rows = [sandbox.children(account, child)[0] for child in account["children"]]
    rows += [sandbox.children(page, "posts")[0], sandbox.children(instagram, "posts")[0]]
    rows += [account, page, instagram, sandbox.accounts("business")[0]]
    for row in rows:
        answer = sandbox.get(f"v26.0/{row['id']}", fields="id")
        assert (answer.status_code, answer.json()) == (200, {"id": row["id"]})


def test_money_is_text_and_times_carry_the_accounts_offset(sandbox: SandboxProcess) -> None:
    account = next(row for row in sandbox.accounts("ad_account") if row["timezone"] == "America/Phoenix")
    campaign = sandbox.children(account, "campaigns")[0]["id"]
    shown = sandbox.get(campaign, fields="daily_budget,created_time").json()
    assert shown["daily_budget"].isdigit()
    assert shown["created_time"].endswith("-0700")


def test_a_field_that_meta_knows_but_that_has_no_value_is_left_out(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    assert sandbox.get(account, fields="name,partner").json().keys() == {"id", "name"}


def test_a_field_that_meta_does_not_know_is_refused(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    answer = sandbox.get(account, fields="id,colour")
    assert refusal(answer) == (400, 100, None)
    assert "nonexisting field (colour) on node type (AdAccount)" in answer.json()["error"]["message"]
    assert refusal(sandbox.get(account, fields="name{first}")) == (400, 100, None)
    post = sandbox.children(sandbox.accounts("page")[0], "posts")[0]["id"]
    # As the documents have it (docs/graph-api/advanced, read-after-write).
    words = "(#100) Tried accessing nonexisting field (permalink_urls) on node type (Post)"
    assert sandbox.get(post, fields="permalink_urls").json()["error"]["message"] == words
    nested = sandbox.get(account, fields="campaigns.limit(1){colour}")
    assert refusal(nested) == (400, 100, None)


def test_edges_and_objects_are_expanded_inside_their_parent(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    fields = "name,campaigns.limit(2){name,adsets.limit(1){name,campaign{name}}},business{name}"
    shown = sandbox.get(account["id"], fields=fields).json()
    campaigns = shown["campaigns"]
    assert len(campaigns["data"]) == 2
    assert campaigns["paging"]["next"].startswith(f"{sandbox.graph_url}/v26.0/{account['id']}/campaigns?")
    first = campaigns["data"][0]
    assert first["adsets"]["data"][0]["campaign"] == {"name": first["name"], "id": first["id"]}
    assert shown["business"]["name"]
    further = sandbox.client.get(campaigns["paging"]["next"]).json()
    assert {row["id"] for row in further["data"]}.isdisjoint(row["id"] for row in campaigns["data"])
    assert set(further["data"][0]) == {"id", "name", "adsets"}


def test_a_call_that_expands_too_much_is_told_to_ask_for_less(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    ads = account["children"]["ads"]
    enough, much = (",".join(f"ads.limit(500).as(a{n}){{id}}" for n in range(20_000 // ads + more)) for more in (0, 1))
    assert len(sandbox.get(account["id"], fields=enough).json()) == 20_000 // ads + 1
    answer = sandbox.get(account["id"], fields=much)
    assert refusal(answer) == (500, 1, None)
    assert answer.json()["error"]["message"].startswith("Please reduce the amount of data")


def test_an_empty_edge_is_left_out_of_its_parent(sandbox: SandboxProcess) -> None:
    empty = next(row for row in sandbox.accounts("ad_account") if not any(row["children"].values()))
    assert set(sandbox.get(empty["id"], fields="name,campaigns{name}").json()) == {"id", "name"}
    assert sandbox.get(f"{empty['id']}/campaigns").json() == {"data": []}


def test_an_expanded_edge_may_be_renamed_and_counted(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    shown = sandbox.get(account["id"], fields="campaigns.limit(1).summary(true).as(some){id}").json()
    assert shown["some"]["summary"]["total_count"] == account["children"]["campaigns"]


def test_an_email_is_shown_to_its_person_who_has_permitted_it(sandbox: SandboxProcess) -> None:
    def read(token: str, node: str = "me") -> Any:
        return sandbox.get(node, token=token, fields="email").json().get("email")

    assert read("user_main") == "ada.marsh@people.example"
    others = sandbox.token_row("user_main")["owner"]["id"]
    assert [read("user_narrow"), read("system_main"), read("system_main", others)] == [None] * 3


def test_ids_gives_objects_by_id_and_counts_each(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    ids = [row["id"] for row in sandbox.children(account, "campaigns")[:50]]
    got = sandbox.get("v26.0/", ids=",".join(ids), fields="name").json()
    assert list(got) == ids
    assert list(sandbox.get("v26.0/", ids=json.dumps(ids[:2])).json()) == ids[:2]
    assert sum(sandbox.calls()[0]["cost"].values()) == 50
    pages = [row["id"] for row in sandbox.accounts("page")[:2]]
    on_edge = sandbox.get("posts", token="system_agency", ids=",".join(pages), limit="1").json()
    assert [len(on_edge[page]["data"]) for page in pages] == [1, 1]


@pytest.mark.parametrize("word", ["ig_audio", "ads_archive", "pages/search", "ig_hashtag_search"])
def test_what_the_api_has_beside_objects_is_taken_for_no_object(sandbox: SandboxProcess, word: str) -> None:
    assert sandbox.get(word).status_code == 501
    assert refusal(sandbox.get("no_such_word")) == (400, 100, 33)


def test_ids_may_name_the_caller_and_ask_for_an_edge_of_its_own_rights(sandbox: SandboxProcess) -> None:
    account, me = sandbox.accounts("ad_account")[0]["id"], sandbox.token_row("user_main")["owner"]["id"]
    got = sandbox.get("", ids=f"me,{account}", **{"fields[]": "name"}).json()
    assert got["me"]["id"] == me
    assert got[account].keys() == {"name", "id"}
    rows = sandbox.get("insights", ids=account, date_preset="last_7d").json()
    assert len(rows[account]["data"]) == 1
    assert refusal(sandbox.get("campaigns", ids=f"{account},me")) == (400, 100, None)


def test_ids_are_bounded_and_one_bad_id_fails_all(sandbox: SandboxProcess) -> None:
    ids = [row["id"] for row in sandbox.children(sandbox.accounts("ad_account")[0], "ads")[:51]]
    many = sandbox.get("", ids=",".join(ids))
    assert refusal(many) == (400, 100, None)
    assert many.json()["error"]["message"] == "(#100) Too many IDs. Maximum: 50. Provided: 51."
    assert refusal(sandbox.get("", ids=f"{ids[0]},123")) == (400, 100, 33)
    assert refusal(sandbox.get("", ids=",")) == (400, 100, None)


def test_what_a_token_may_not_see_looks_like_what_does_not_exist(sandbox: SandboxProcess) -> None:
    hidden = next(
        account for account in sandbox.accounts("ad_account") if account["children"]["campaigns"] == 2
        and all(account["id"] not in {a["id"] for a in token["sees"]} for token in sandbox.meta["tokens"])
    )  # fmt: skip
    campaign = sandbox.children(hidden, "campaigns")[0]["id"]
    for missing in (hidden["id"], campaign, "999", "act_999", "abc"):
        assert refusal(sandbox.get(missing)) == (400, 100, 33)
    assert refusal(sandbox.get(f"{campaign}/ads", token="system_agency")) == (400, 100, 33)


def test_a_missing_scope_is_refused_by_code(sandbox: SandboxProcess) -> None:
    assert refusal(sandbox.get("me/adaccounts", token="user_narrow")) == (403, 200, None)
    post = sandbox.children(sandbox.accounts("page")[0], "posts")[0]["id"]
    assert refusal(sandbox.get(post, token="user_narrow")) == (403, 10, None)
    assert len(sandbox.get("me/accounts", token="user_narrow").json()["data"]) == 3


def test_pages_hand_over_their_own_token(sandbox: SandboxProcess) -> None:
    pages = sandbox.get("me/accounts", fields="id,access_token,tasks").json()["data"]
    for page in pages:
        owner = next(token for token in sandbox.meta["tokens"] if token["access_token"] == page["access_token"])
        assert (owner["kind"], owner["owner"]["id"]) == ("page", page["id"])
        me = sandbox.client.get(f"/{GRAPH}/me", params={"access_token": page["access_token"]}).json()
        assert me["id"] == page["id"]


def test_lists_of_a_person_hold_what_the_token_sees(sandbox: SandboxProcess) -> None:
    for token_id in ("user_main", "user_second", "system_agency", "user_newcomer"):
        sees = sandbox.token_row(token_id)["sees"]
        for edge, kind in (("accounts", "page"), ("adaccounts", "ad_account"), ("businesses", "business")):
            listed = {row["id"] for row in sandbox.get(f"me/{edge}", token=token_id).json()["data"]}
            assert listed == {account["id"] for account in sees if account["type"] == kind}


@pytest.mark.parametrize(
    ("path", "code"),
    [("v99.0/me", 2500), ("{account}/nonsense", 2500), ("v24.0/{account}", 2635), ("v22.0/{account}/ads", 2635)],
)
def test_versions_and_paths_that_are_not_served_are_refused(sandbox: SandboxProcess, path: str, code: int) -> None:
    answer = sandbox.get(path.format(account=sandbox.accounts("ad_account")[0]["id"]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_an_edge_of_other_objects_is_a_field_that_this_one_lacks(sandbox: SandboxProcess) -> None:
    error = sandbox.get("me/accounts", token="page_busy").json()["error"]
    assert error["message"] == "(#100) Tried accessing nonexisting field (accounts) on node type (Page)"
    assert error["code"] == 100
    for path, named in (("me/boguspath", "/boguspath"), ("v99.0/me/accounts", "/me/accounts")):
        error = sandbox.get(path).json()["error"]
        assert (error["code"], error["message"]) == (2500, f"Unknown path components: {named}")


@pytest.mark.parametrize(
    ("path", "version"),
    [("me", "v26.0"), ("v25.0/me", "v25.0"), ("v24.0/me", "v24.0"), ("v3.1/me", "v22.0"), ("v26.0/me", "v26.0")],
)
def test_the_answering_version_is_named(sandbox: SandboxProcess, path: str, version: str) -> None:
    answer = sandbox.get(path)
    assert (answer.status_code, answer.headers["facebook-api-version"]) == (200, version)
    assert {"x-fb-trace-id", "x-fb-rev", "x-fb-debug"} <= set(answer.headers)


@pytest.mark.parametrize(
    ("fields", "found"),
    [("id{", None), ("id}", "}"), ("name.limit", None), ("id,na\x01me", "\x01"), ("naïve", "ï"), ('a"b', '"')],
)
def test_fields_that_cannot_be_read_are_said_in_metas_words(
    sandbox: SandboxProcess, fields: str, found: str | None
) -> None:
    answer = sandbox.get(sandbox.accounts("ad_account")[0]["id"], fields=fields)
    assert refusal(answer) == (400, 2500, None)
    words = 'Expected ")", got end of string' if found is None else f'Expected end of string instead of "{found}".'
    assert words in answer.json()["error"]["message"]
    assert answer.headers["www-authenticate"].startswith('OAuth "Facebook Platform" "invalid_request" "Syntax error')


def test_a_call_that_names_nothing_is_unsupported(sandbox: SandboxProcess) -> None:
    answer = sandbox.get("v26.0/")
    assert refusal(answer) == (400, 100, None)
    assert answer.json()["error"]["message"].startswith("Unsupported get request. Please read")


def test_parts_of_a_path_may_be_percent_encoded(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    assert sandbox.get(account.replace("_", "%5F")).json()["id"] == account
    assert sandbox.get("m%65/acc%6Funts").status_code == 200


def test_a_stale_read_shows_the_object_and_its_list_as_they_were(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    campaign = sandbox.children(account, "campaigns")[3]
    secret = {"access_token": sandbox.token("user_main")}
    old = sandbox.get(campaign["id"], fields="name,updated_time").json()
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 120})
    assert sandbox.client.post(f"/{GRAPH}/{campaign['id']}", data={**secret, "name": "New name"}).status_code == 200
    assert sandbox.get(campaign["id"], fields="name").json()["name"] == "New name"
    sandbox.fault("stale", {"operation": "meta.campaign"}, args={"seconds": 60})
    assert sandbox.get(campaign["id"], fields="name,updated_time").json() == old
    sandbox.fault("stale", {"operation": "meta.ad_account.campaigns"}, args={"seconds": 60})
    gone = sandbox.client.delete(f"/{GRAPH}/{campaign['id']}", params=secret)
    assert gone.status_code == 200
    listed = sandbox.get(f"{account['id']}/campaigns", fields="name", limit="5").json()["data"]
    assert {"id": campaign["id"], "name": old["name"]} in listed
    sandbox.client.delete("/_sandbox/faults")
    listed = sandbox.get(f"{account['id']}/campaigns", fields="name", limit="5").json()["data"]
    assert campaign["id"] not in {row["id"] for row in listed}
    assert sandbox.get(campaign["id"], fields="name").json()["name"] == "New name"


def test_a_stale_read_follows_no_write_to_what_is_above(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    campaign = next(row for row in sandbox.children(account, "campaigns") if row["status"] == "ACTIVE")
    params = {"fields": "effective_status,campaign{name}", "limit": "500"}
    old = sandbox.get(f"{campaign['id']}/ads", **params).json()["data"]
    changes = {"access_token": sandbox.token("user_main"), "name": "New name", "status": "PAUSED"}
    assert sandbox.client.post(f"/{GRAPH}/{campaign['id']}", data=changes).status_code == 200
    new = sandbox.get(f"{campaign['id']}/ads", **params).json()["data"]
    assert {row["effective_status"] for row in new} == {"CAMPAIGN_PAUSED"} | {
        row["effective_status"] for row in old if row["effective_status"] == "PAUSED"
    }
    named = {"filtering": json.dumps([{"field": "campaign.name", "operator": "EQUAL", "value": "New name"}])}
    paused = {"effective_status": '["CAMPAIGN_PAUSED"]', "limit": "500"}
    assert sandbox.get(f"{account['id']}/ads", **named).json()["data"]
    sandbox.fault("stale", {"method": "GET"}, args={"seconds": 60})
    assert sandbox.get(f"{campaign['id']}/ads", **params).json()["data"] == old
    assert sandbox.get(old[0]["id"], fields="effective_status,campaign{name}").json() == old[0]
    assert sandbox.get(f"{account['id']}/ads", **named).json()["data"] == []
    listed = sandbox.get(f"{account['id']}/ads", **paused).json()["data"]
    assert not {row["id"] for row in listed} & {row["id"] for row in old}


def test_a_report_that_was_read_stale_is_kept_for_nobody(sandbox: SandboxProcess) -> None:
    campaign = sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")[0]
    params = {"fields": "campaign_name", "date_preset": "last_7d"}
    changes = {"access_token": sandbox.token("user_main"), "name": "New name"}
    assert sandbox.client.post(f"/{GRAPH}/{campaign['id']}", data=changes).status_code == 200
    fault = sandbox.fault("stale", {"method": "GET"}, args={"seconds": 60})
    stale = sandbox.get(f"{campaign['id']}/insights", **params).json()["data"]
    assert stale[0]["campaign_name"] == campaign["name"]
    sandbox.client.delete(f"/_sandbox/faults/{fault}")
    assert sandbox.get(f"{campaign['id']}/insights", **params).json()["data"][0]["campaign_name"] == "New name"


def test_what_is_deleted_is_still_called_by_its_kind(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    post = sandbox.children(page, "posts")[0]["id"]
    secret = {"access_token": sandbox.token("page_busy")}
    assert sandbox.client.delete(f"/{GRAPH}/{post}", params=secret).status_code == 200
    gone = sandbox.client.get(f"/{GRAPH}/{post}/insights", params={**secret, "metric": "post_clicks"})
    assert refusal(gone) == (400, 100, 33)
    assert sandbox.calls()[-1]["operation"] == "meta.post.insights"
    sandbox.fault("stale", {"method": "GET"}, args={"seconds": 60})
    shown = sandbox.client.get(f"/{GRAPH}/{post}/insights", params={**secret, "metric": "post_clicks"})
    assert (shown.status_code, shown.json()["data"][0]["name"]) == (200, "post_clicks")
