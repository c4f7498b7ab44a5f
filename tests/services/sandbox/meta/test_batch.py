"""The batch edge table of the documents, over HTTP."""

import json
from typing import Any

import pytest

from tests.support.sandbox import GRAPH, SandboxProcess

pytestmark = pytest.mark.e2e
ME = {"method": "GET", "relative_url": "me"}


def body(result: dict[str, Any]) -> Any:
    return json.loads(result["body"])


def ad_account(sandbox: SandboxProcess) -> str:
    return str(sandbox.accounts("ad_account")[0]["id"])


def test_answers_stand_in_the_order_of_the_requests(sandbox: SandboxProcess) -> None:
    rows = sandbox.children(sandbox.accounts("ad_account")[0], "ads")[:50]
    items = [{"method": "GET", "relative_url": f"{row['id']}?fields=name"} for row in rows]
    results = sandbox.results(items)
    assert [body(result) for result in results] == [{"name": row["name"], "id": row["id"]} for row in rows]
    assert {result["code"] for result in results} == {200}


def test_an_error_item_leaves_the_others_alone(sandbox: SandboxProcess) -> None:
    first, missing, last = sandbox.results([ME, {"method": "GET", "relative_url": "123"}, ME])
    assert (first["code"], missing["code"], last["code"]) == (200, 400, 200)
    error = body(missing)["error"]
    assert (error["code"], error["error_subcode"], error["type"]) == (100, 33, "GraphMethodException")


@pytest.mark.parametrize("count", [0, 1, 50])
def test_up_to_fifty_items_are_taken(sandbox: SandboxProcess, count: int) -> None:
    assert len(sandbox.results([ME] * count)) == count


def test_more_than_fifty_items_fail_as_a_whole(sandbox: SandboxProcess) -> None:
    error = sandbox.batch([ME] * 51).json()["error"]
    assert error["type"] == "GraphBatchException"
    assert error["message"] == "Too many requests in batch message. Maximum batch size is 50"
    assert len(sandbox.calls()) == 1


@pytest.mark.parametrize("text", ["", "{", '{"method":"GET"}', '"text"', "7"])
def test_a_batch_that_is_no_array_fails_as_a_whole(sandbox: SandboxProcess, text: str) -> None:
    data = {"access_token": sandbox.token("user_main"), "batch": text}
    answer = sandbox.client.post(f"/{GRAPH}/", data=data)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)


@pytest.mark.parametrize(
    ("token", "code", "subcode"),
    [(None, 104, None), ("user_expired", 190, 463), ("user_revoked", 190, 460), ("user_strict", 100, None)],
)
def test_a_bad_top_level_token_fails_the_whole_call(
    sandbox: SandboxProcess, token: str | None, code: int, subcode: int | None
) -> None:
    own = {"method": "GET", "relative_url": f"me?access_token={sandbox.token('user_main')}"}
    answer = sandbox.batch([own], token)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("error_subcode")) == (400, code, subcode)


def test_each_item_may_have_its_own_token_and_falls_back_to_the_outer_one(sandbox: SandboxProcess) -> None:
    other, expired = sandbox.token("user_second"), sandbox.token("user_expired")
    items = [
        ME,
        {"method": "GET", "relative_url": f"me?access_token={other}"},
        {"method": "GET", "relative_url": f"me?access_token={expired}"},
        {"method": "GET", "relative_url": "me?access_token=nonsense"},
    ]
    mine, theirs, old, wrong = sandbox.results(items)
    assert body(mine)["id"] == sandbox.token_row("user_main")["owner"]["id"]
    assert body(theirs)["id"] == sandbox.token_row("user_second")["owner"]["id"]
    assert [body(result)["error"]["code"] for result in (old, wrong)] == [190, 190]


def test_json_and_multipart_carry_a_batch_too(sandbox: SandboxProcess) -> None:
    token = sandbox.token("user_main")
    as_json = sandbox.client.post(f"/{GRAPH}/v26.0", json={"access_token": token, "batch": [ME, ME]})
    files: Any = {"access_token": (None, token), "batch": (None, json.dumps([ME])), "file": ("a.bin", b"\x00\r\n--x")}
    as_multipart = sandbox.client.post(f"/{GRAPH}/me", files=files)
    as_query = sandbox.client.post(f"/{GRAPH}/", params={"access_token": token, "batch": json.dumps([ME])})
    bearer = {"Authorization": f"Bearer {token}"}
    by_header = sandbox.client.post(f"/{GRAPH}/", headers=bearer, data={"batch": json.dumps([ME])})
    for answer, count in ((as_json, 2), (as_multipart, 1), (as_query, 1), (by_header, 1)):
        assert [result["code"] for result in answer.json()] == [200] * count


def test_a_batch_is_taken_as_the_guides_samples_write_it(sandbox: SandboxProcess) -> None:
    token, page = sandbox.token("page_busy"), sandbox.token_row("page_busy")["owner"]["id"]
    items = f"""
      [
        {{ "method":"POST", "relative_url":"{page}/feed", "body":"message=Test status update" }},
        {{ "method":"GET", "relative_url":"{page}/feed?limit=1" }},
      ]
    """
    answer = sandbox.client.get(f"/{GRAPH}/{page}", params={"batch": items, "access_token": token})
    made, listed = answer.json()
    assert (made["code"], listed["code"]) == (200, 200)
    assert body(listed)["data"][0]["id"] == body(made)["id"]


def test_headers_of_items_carry_usage_and_can_be_left_out(sandbox: SandboxProcess) -> None:
    account = ad_account(sandbox)
    items = [ME, {"method": "GET", "relative_url": account}]
    user, ads = sandbox.results(items)
    names = [{header["name"] for header in result["headers"]} for result in (user, ads)]
    assert "X-App-Usage" in names[0]
    assert {"X-Business-Use-Case-Usage", "X-Ad-Account-Usage"} <= names[1]
    assert {"Content-Type", "facebook-api-version"} <= names[0] & names[1]
    assert all(set(result) == {"code", "body"} for result in sandbox.results(items, include_headers="false"))


def test_every_item_is_one_call_in_its_quota(sandbox: SandboxProcess) -> None:
    account = ad_account(sandbox)
    results = sandbox.results([{"method": "GET", "relative_url": account}] * 40)
    spent = sum(sum(row["cost"].values()) for row in sandbox.calls())
    assert (len(results), spent) == (40, 40)


def test_an_item_may_name_its_own_version(sandbox: SandboxProcess) -> None:
    account = ad_account(sandbox)
    urls = [f"v25.0/{account}", account, f"/v26.0/{account}", f"v24.0/{account}", "v99.0/me"]
    results = sandbox.results([{"method": "GET", "relative_url": url} for url in urls])
    assert [result["code"] for result in results] == [200, 200, 200, 400, 400]
    versions = [
        next(header["value"] for header in result["headers"] if header["name"] == "facebook-api-version")
        for result in results[:3]
    ]
    assert versions == ["v25.0", "v26.0", "v26.0"]
    assert body(results[3])["error"]["code"] == 2635


def test_a_reference_uses_the_result_of_another_item(sandbox: SandboxProcess) -> None:
    account = ad_account(sandbox)
    use = {"method": "GET", "relative_url": "?ids={result=list:$.data.*.id}&fields=name"}
    listing = {"method": "GET", "name": "list", "relative_url": f"{account}/campaigns?limit=3"}
    omitted, named = sandbox.results([listing, use])
    assert omitted is None
    ids = [row["id"] for row in sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")[:3]]
    assert set(body(named)) == set(ids)
    backwards = sandbox.results([use, {**listing, "omit_response_on_success": False}])
    assert set(body(backwards[0])) == set(ids)
    assert [row["id"] for row in body(backwards[1])["data"]] == ids
    encoded = {**use, "relative_url": "?ids=%7Bresult%3Dlist%3A%24.data.*.id%7D"}
    assert set(body(sandbox.results([listing, encoded])[1])) == set(ids)


def test_a_named_item_is_omitted_only_when_it_succeeds_and_is_used_or_says_so(sandbox: SandboxProcess) -> None:
    alone, told = sandbox.results([{**ME, "name": "a"}, {**ME, "name": "b", "omit_response_on_success": True}])
    assert (alone["code"], told) == (200, None)
    waits = {**ME, "depends_on": "a"}
    assert [row and row["code"] for row in sandbox.results([{**ME, "name": "a"}, waits])] == [None, 200]
    failing = {"method": "GET", "relative_url": "123", "name": "a"}
    failed, aborted = sandbox.results([failing, waits])
    assert (failed["code"], aborted["code"], body(aborted)["error"]["code"]) == (400, 500, 960)


@pytest.mark.parametrize(
    "items",
    [
        [{**ME, "depends_on": "nobody"}],
        [{**ME, "name": "a", "depends_on": "b"}, {**ME, "name": "b", "depends_on": "a"}],
        [{**ME, "name": "a", "depends_on": "a"}],
        [{"method": "GET", "relative_url": "{result=x:$.id}"}],
        [7],
        [None],
        [[]],
        [{"method": "GET"}],
        [{"method": "BREW", "relative_url": "me"}],
        [{"method": "GET", "relative_url": "https://graph.facebook.com/me"}],
        [{"method": "POST", "relative_url": "me", "body": {"a": 1}}],
    ],
)
def test_an_item_that_makes_no_sense_is_an_error_item(sandbox: SandboxProcess, items: list[Any]) -> None:
    results = sandbox.results([*items, ME])
    assert [result["code"] for result in results] == [400] * len(items) + [200]
    assert all(body(result)["error"]["code"] == 100 for result in results[:-1])


def test_a_write_inside_a_batch_is_said_to_be_not_covered(sandbox: SandboxProcess) -> None:
    account = ad_account(sandbox)
    item = {"method": "POST", "relative_url": f"{account}/customaudiences", "body": "name=New"}
    (result,) = sandbox.results([item])
    assert result["code"] == 501
    assert sandbox.calls()[1]["operation"] is None


def test_a_header_of_an_item_may_carry_its_token(sandbox: SandboxProcess) -> None:
    bearer = f"Bearer {sandbox.token('user_second')}"
    forms: tuple[list[Any], ...] = (
        [{"name": "Authorization", "value": bearer}],
        [f"Authorization: {bearer}"],
        [7, None, {}],
    )
    for headers in forms:
        (result,) = sandbox.results([{**ME, "headers": headers}])
        owner = "user_main" if headers[0] == 7 else "user_second"
        assert body(result)["id"] == sandbox.token_row(owner)["owner"]["id"]


def test_only_a_file_that_came_with_the_batch_can_be_attached(sandbox: SandboxProcess) -> None:
    items = [{**ME, "attached_files": "photo"}, {**ME, "attached_files": "photo, other"}]
    files: Any = {
        "access_token": (None, sandbox.token("user_main")),
        "batch": (None, json.dumps(items)),
        "photo": ("a.jpg", b"\xff\xd8", "image/jpeg"),
    }
    there, missing = sandbox.client.post(f"/{GRAPH}/", files=files).json()
    assert (there["code"], missing["code"]) == (200, 400)
    assert body(missing)["error"]["message"] == "(#100) File other has not been attached"


def test_a_file_may_be_attached_under_another_name(sandbox: SandboxProcess) -> None:
    page = sandbox.token_row("page_busy")["owner"]["id"]
    picture = b"GIF89a" + bytes(20)
    item = {"method": "POST", "relative_url": f"{page}/photos", "body": "published=false", "name": None}
    batch = [{**item, "attached_files": {"File0": "source"}}, {**item, "attached_files": "File0"}]
    files: Any = {
        "access_token": (None, sandbox.token("page_busy")),
        "batch": (None, json.dumps(batch)),
        "File0": ("a.gif", picture, "image/gif"),
    }
    answers = sandbox.client.post(f"/{GRAPH}/", files=files).json()
    assert [answer["code"] for answer in answers] == [200, 200]
    assert all(body(answer)["id"].isdigit() for answer in answers)


def test_an_item_without_the_right_says_so_in_its_headers_too(sandbox: SandboxProcess) -> None:
    (refused,) = sandbox.results([{"method": "GET", "relative_url": "me/adaccounts", "body": None}], "user_narrow")
    headers = {header["name"]: header["value"] for header in refused["headers"]}
    assert refused["code"] == 403
    assert headers["WWW-Authenticate"].startswith('OAuth "Facebook Platform" "insufficient_scope"')


def test_a_batch_is_no_request_of_a_batch(sandbox: SandboxProcess) -> None:
    inner = {"method": "POST", "relative_url": "", "body": "batch=[]"}
    (result,) = sandbox.results([inner])
    assert (result["code"], body(result)["error"]["code"]) == (400, 100)


def test_a_batch_can_be_answered_as_a_script(sandbox: SandboxProcess) -> None:
    answer = sandbox.batch([ME], callback="done")
    assert answer.headers["content-type"] == "text/javascript; charset=UTF-8"
    assert [row["code"] for row in json.loads(answer.text.removeprefix("/**/ done(").removesuffix(");"))] == [200]


def test_values_of_a_result_are_encoded_where_they_are_put(sandbox: SandboxProcess) -> None:
    account = ad_account(sandbox)
    listing = {"method": "GET", "name": "list", "relative_url": f"{account}/campaigns?limit=1&fields=name"}
    again = {
        "method": "GET",
        "relative_url": f"{account}/campaigns?limit=1&after={{result=list:$.paging.cursors.after}}",
    }
    whole = {"method": "GET", "relative_url": "me?fields={result=list:$.data.*.name}"}
    first, second, third = sandbox.results([{**listing, "omit_response_on_success": False}, again, whole])
    rows = sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")
    assert [row["id"] for row in body(first)["data"] + body(second)["data"]] == [row["id"] for row in rows[:2]]
    assert third["code"] == 400  # a name with blanks is no list of fields, and did not break the address
