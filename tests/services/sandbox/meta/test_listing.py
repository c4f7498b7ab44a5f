"""Paging: every list adds up to the world's own."""

import json
from datetime import datetime
from typing import Any

import pytest

from tests.support.sandbox import GRAPH, SandboxProcess

pytestmark = pytest.mark.e2e


def read_all(sandbox: SandboxProcess, path: str, **params: str) -> list[dict[str, Any]]:
    """Follow `next` to the end, as a client should."""
    answer = sandbox.get(path, **params).json()
    rows = list(answer["data"])
    while url := answer.get("paging", {}).get("next"):
        answer = sandbox.client.get(url).json()
        rows += answer["data"]
    return rows


@pytest.mark.parametrize("limit", ["7", "100", "500"])
def test_pages_of_any_size_add_up_to_the_world_in_its_order(sandbox: SandboxProcess, limit: str) -> None:
    for account in sandbox.accounts("ad_account")[:1]:
        for child in account["children"]:
            truth = [(row["id"], row["name"]) for row in sandbox.children(account, child)]
            rows = read_all(sandbox, f"v26.0/{account['id']}/{child}", limit=limit, fields="id,name")
            assert [(row["id"], row["name"]) for row in rows] == truth


def test_posts_of_pages_and_media_add_up_too(sandbox: SandboxProcess) -> None:
    page, instagram = sandbox.accounts("page")[0], sandbox.accounts("instagram")[0]
    posts = read_all(sandbox, f"{page['id']}/posts", fields="message", limit="1000")
    assert [(row["id"], row["message"]) for row in posts] == [
        (row["id"], row["name"]) for row in sandbox.children(page, "posts")
    ]
    media = read_all(sandbox, f"{instagram['id']}/media")
    assert [row["id"] for row in media] == [row["id"] for row in sandbox.children(instagram, "posts")]


def test_the_last_page_has_cursors_and_no_next(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    answer = sandbox.get(f"{account['id']}/campaigns", limit="1000").json()
    assert set(answer["paging"]) == {"cursors"}
    assert set(answer["paging"]["cursors"]) == {"before", "after"}


def test_a_list_can_be_read_backwards(sandbox: SandboxProcess) -> None:
    path = f"{sandbox.accounts('ad_account')[0]['id']}/campaigns"
    first = sandbox.get(path, limit="10").json()
    second = sandbox.client.get(first["paging"]["next"]).json()
    assert sandbox.client.get(second["paging"]["previous"]).json()["data"] == first["data"]
    before = second["paging"]["cursors"]["before"]
    assert sandbox.get(path, limit="10", before=before).json()["data"] == first["data"]
    assert "previous" not in first["paging"]


def test_the_default_page_has_25_rows_and_posts_100_at_most(sandbox: SandboxProcess) -> None:
    account, page = sandbox.accounts("ad_account")[0], sandbox.accounts("page")[0]
    assert len(sandbox.get(f"{account['id']}/ads").json()["data"]) == 25
    assert len(sandbox.get(f"{page['id']}/posts", limit="250").json()["data"]) == 100


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"limit": "0"}, 400, 100),
        ({"limit": "-1"}, 400, 100),
        ({"limit": "ten"}, 400, 100),
        ({"limit": "100000"}, 500, 1),
        ({"after": "nonsense"}, 400, 100),
        ({"after": "MTIz"}, 400, 100),
        ({"before": "é"}, 400, 100),
        ({"effective_status": "ACTIVE"}, 400, 100),
    ],
)
def test_a_bad_limit_or_cursor_is_refused(
    sandbox: SandboxProcess, params: dict[str, str], status: int, code: int
) -> None:
    answer = sandbox.get(f"{sandbox.accounts('ad_account')[0]['id']}/campaigns", **params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_archived_and_deleted_objects_are_shown_only_when_asked_for(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    gone = [row for row in sandbox.children(account, "campaigns", all="true") if row["status"] == "ARCHIVED"]
    path = f"{account['id']}/campaigns"
    asked = read_all(sandbox, path, effective_status='["ARCHIVED"]')
    assert [row["id"] for row in asked] == [row["id"] for row in gone]
    in_brackets = sandbox.client.get(
        f"/{GRAPH}/{path}?effective_status[0]=ARCHIVED", params=None, headers=bearer(sandbox)
    )
    assert len(in_brackets.json()["data"]) == len(gone)


def test_a_summary_counts_the_whole_list(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    answer = sandbox.get(f"{account['id']}/ads", summary="true", limit="1").json()
    assert answer["summary"] == {"total_count": account["children"]["ads"]}


def test_posts_can_be_narrowed_by_time(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    posts = sandbox.children(page, "posts")
    since, until = posts[40]["created_at"], posts[20]["created_at"]
    rows = read_all(sandbox, f"{page['id']}/posts", since=since, until=until)
    assert [row["id"] for row in rows] == [post["id"] for post in posts[20:41]]


def test_days_of_nested_insights_choose_no_rows_but_must_be_readable(sandbox: SandboxProcess) -> None:
    path = f"{sandbox.accounts('ad_account')[0]['id']}/campaigns"
    plain = [row["id"] for row in sandbox.get(path).json()["data"]]
    for params in ({"date_preset": "last_7d"}, {"time_range": '{"since":"2026-01-01","until":"2026-01-31"}'}):
        assert [row["id"] for row in sandbox.get(path, **params).json()["data"]] == plain
    for params in ({"date_preset": "whenever"}, {"time_range": "[]"}, {"since": "soon"}, {"filtering": "{}"}):
        assert sandbox.get(path, **params).json()["error"]["code"] == 100


def test_filters_leave_what_the_worlds_truth_leaves(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    ads, adsets = sandbox.children(account, "ads"), sandbox.children(account, "adsets")
    changed = sorted(row["updated_at"] for row in ads)[len(ads) // 2]
    moment = int(datetime.fromisoformat(changed).timestamp())
    newer = [row["id"] for row in ads if row["updated_at"] >= changed]
    path = f"{account['id']}/ads"
    assert [row["id"] for row in read_all(sandbox, path, updated_since=changed, limit="500")] == newer
    condition = {"field": "ad.updated_time", "operator": "GREATER_THAN", "value": moment - 1}
    assert [row["id"] for row in read_all(sandbox, path, filtering=json.dumps([condition]), limit="50")] == newer
    wanted = adsets[3]["id"]
    below = {"field": "adset.id", "operator": "IN", "value": [wanted]}
    shown = read_all(sandbox, path, filtering=json.dumps([below]))
    assert [row["id"] for row in shown] == [row["id"] for row in ads if row["parent"]["id"] == wanted]


def test_a_list_can_be_read_by_offset(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    truth = [row["id"] for row in sandbox.children(page, "posts")]
    answer = sandbox.get(f"{page['id']}/feed", offset="5", limit="3").json()
    assert [row["id"] for row in answer["data"]] == truth[5:8]
    following = sandbox.client.get(answer["paging"]["next"]).json()
    assert [row["id"] for row in following["data"]] == truth[8:11]
    assert [row["id"] for row in sandbox.client.get(following["paging"]["previous"]).json()["data"]] == truth[5:8]


def test_a_list_may_be_turned_round(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    truth = [row["id"] for row in sandbox.children(page, "posts")]
    turned = read_all(sandbox, f"{page['id']}/posts", order="chronological", limit="60")
    assert [row["id"] for row in turned] == truth[::-1]
    assert sandbox.get(f"{page['id']}/posts", order="best").json()["error"]["code"] == 100


def test_a_cursor_is_good_only_for_a_row_that_the_list_has(sandbox: SandboxProcess) -> None:
    path = f"{sandbox.accounts('ad_account')[0]['id']}/campaigns"
    archived = sandbox.get(path, limit="1", effective_status='["ARCHIVED"]').json()["paging"]["cursors"]["after"]
    assert sandbox.get(path, after=archived, effective_status='["ARCHIVED"]').status_code == 200
    gone = sandbox.get(path, after=archived)
    assert (gone.status_code, gone.json()["error"]["message"]) == (400, "(#100) Invalid cursors values")


def bearer(sandbox: SandboxProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {sandbox.token('user_main')}"}
