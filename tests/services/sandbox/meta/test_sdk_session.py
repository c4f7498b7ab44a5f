"""Meta's own SDK believes the sandbox: what it saw through the proxy is what the world says."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.foreign_clients import marked, proved, run_client
from tests.support.meta_webhooks import is_signed, values_of
from tests.support.sandbox import SandboxProcess
from tests.support.webhook_sink import WebhookSink, webhook_sink

pytestmark = pytest.mark.e2e
SESSION = Path(__file__).with_name("sdk_session.py")
WRITES = Path(__file__).with_name("sdk_writes.py")
SDK = "facebook-business"
DAYS = 7


class Seen:
    """What the SDK told of one run, and the world beside it."""

    def __init__(self, sandbox: SandboxProcess, sink: WebhookSink) -> None:
        sandbox.reset()
        self.account = sandbox.accounts("ad_account")[0]
        self.campaigns = sandbox.children(self.account, "campaigns")
        self.token = sandbox.token_row("user_main")
        yesterday = datetime.fromisoformat(sandbox.world["now"]).date() - timedelta(days=1)
        self.range = {"since": str(yesterday - timedelta(days=DAYS - 1)), "until": str(yesterday)}
        path = f"/_sandbox/world/meta/ad_account/{self.account['id']}/metrics"
        truth = sandbox.client.get(path, params={**self.range, "by": "campaigns"}).raise_for_status().json()
        self.truth: list[dict[str, Any]] = truth["rows"]
        page = sandbox.accounts("page")[0]
        # One item is left undone, so that the SDK's own way to try again is seen to work; one read is throttled.
        sandbox.fault("cut_before", {"item": 7, "operation": "meta.campaign"}, times=1)
        sandbox.fault("throttled", {"path": f"/{self.campaigns[5]['id']}/?$", "method": "GET"}, after=1, times=1)
        app = sandbox.app(self.token["app"])
        given = {
            "app_id": app["id"],
            "app_secret": app["secret"],
            "token": self.token["access_token"],
            "strict_token": sandbox.token("user_strict"),
            "account": self.account["id"],
            "throttled": self.campaigns[5]["id"],
            "business": self.account["parent"]["id"],
            "page": page["id"],
            "page_token": sandbox.token("page_busy"),
            "app_token": sandbox.token("app_main"),
            "callback_url": sink.url,
            "verify_token": sink.verify_token,
            "whatsapp": sandbox.accounts("whatsapp")[0]["id"],
            "system_user": sandbox.token_row("system_main")["owner"]["id"],
            **self.range,
        }
        self.app = app
        self.told = run_client(sandbox, SESSION, given)
        self.delivery = sink.got(1)[0]
        self.page = page
        self.posts = sandbox.children(page, "posts")
        self.all_campaigns = sandbox.children(self.account, "campaigns", all="true")
        linked = next(each["id"] for each in sandbox.token_row("page_busy")["sees"] if each["type"] == "instagram")
        self.written = run_client(sandbox, WRITES, {**given, "instagram": linked})
        self.labelled = sandbox.children(self.account, "campaigns")
        self.later_posts = sandbox.children(page, "posts")
        self.calls = sandbox.calls()


@pytest.fixture(scope="module")
def seen(sandbox_process: SandboxProcess) -> Seen:
    with webhook_sink() as sink:
        return Seen(sandbox_process, sink)


def test_every_call_came_through_the_proxy_and_none_was_uncovered(seen: Seen) -> None:
    assert {row["via"] for row in seen.calls} == {"proxy"}
    assert {row["host"] for row in seen.calls} == {"graph.facebook.com", "graph-video.facebook.com"}
    assert [row["path"] for row in seen.calls if row["operation"] is None] == []


def test_cursors_lead_through_more_than_one_page(seen: Seen) -> None:
    told = seen.told["cursors"]
    assert told["account"]["name"] == seen.account["name"]
    assert told["ids"] == [row["id"] for row in seen.campaigns]
    assert told["names"] == [row["name"] for row in seen.campaigns]
    assert told["total"] == len(seen.campaigns)
    assert Counter(row["operation"] for row in seen.calls)["meta.ad_account.campaigns"] == -(-len(seen.campaigns) // 40)


def test_assets_are_those_that_the_token_sees(seen: Seen) -> None:
    sees = {(row["type"], row["id"]) for row in seen.token["sees"]}
    for kind, listed in (("ad_account", "ad_accounts"), ("page", "pages"), ("business", "businesses")):
        assert {(kind, found) for found in seen.told["assets"][listed]} == {pair for pair in sees if pair[0] == kind}
    assert seen.account["id"] in seen.told["assets"]["owned_ad_accounts"]
    assert seen.page["id"] in seen.told["assets"]["owned_pages"]
    assert {("pixel", found) for found in seen.told["assets"]["pixels"]} <= sees


def test_more_than_fifty_requests_go_in_batches_and_what_was_not_done_is_done_again(seen: Seen) -> None:
    wanted = sorted(row["name"] for position, row in enumerate(seen.campaigns) if position != 3)
    full_batches = -(-len(seen.campaigns) // 50)
    assert seen.told["batch"] == {"names": wanted, "failures": [100], "rounds": full_batches + 1}


def test_insights_add_up_to_the_worlds_rows_at_once_and_as_a_job(seen: Seen) -> None:
    truth = {(row["id"], row["date"]): row for row in seen.truth}
    for rows in (seen.told["insights"], seen.told["job"]["rows"]):
        assert len({(row["campaign_id"], row["date_start"]) for row in rows}) == len(rows)
        for row in rows:
            true = truth[row["campaign_id"], row["date_start"]]
            assert int(row["impressions"]) == true["impressions"]
            assert int(row.get("clicks", 0)) == true["clicks"]
            assert Decimal(row["spend"]) * 1_000_000 == true["spend_micros"]
        assert sum(int(row["impressions"]) for row in rows) == sum(row["impressions"] for row in seen.truth)
    assert len(seen.told["insights"]) > 60, "all of it came on one page"
    assert (seen.told["job"]["percent"], seen.told["job"]["last"]) == (100, "Job Completed")


def test_what_it_creates_is_in_the_world(seen: Seen) -> None:
    told = seen.told["created"]
    ids = told["ids"]
    assert told["ad"] == {
        "id": ids["ad"],
        "name": "Ad",
        "adset_id": ids["adset"],
        "campaign_id": ids["campaign"],
        "effective_status": told["ad"]["effective_status"],
    }
    assert told["ad"]["effective_status"].endswith("PAUSED")
    assert told["campaign"] == {"id": ids["campaign"], "name": "Renamed", "status": "PAUSED"}
    row = next(row for row in seen.all_campaigns if row["id"] == ids["campaign"])
    assert (row["name"], row["status"]) == ("Renamed", "DELETED")
    assert ids["campaign"] not in {row["id"] for row in seen.campaigns}
    page = seen.told["page"]
    assert (page["id"], page["message"]) == (page["newest"], "Said by the SDK")
    assert seen.posts[0]["id"] == page["id"]


def test_what_it_writes_of_ads_is_found_again(seen: Seen) -> None:
    ads = seen.written["ads"]
    assert ads["by_label"] == [ads["campaign"]]
    assert ads["images"] == [ads["image"]]
    assert (ads["copied"], ads["budget"]) == (["ad", "adset", "campaign"], "2000")
    assert {"Labelled", "Labelled - Copy"} <= {row["name"] for row in seen.labelled}


def test_what_it_publishes_is_public_and_what_it_schedules_is_not(seen: Seen) -> None:
    page, instagram = seen.written["page"], seen.written["instagram"]
    assert page["shown"] == {"id": page["post"], "message": "Changed"}
    assert page["scheduled"] == [page["later"]]
    public = [row["id"] for row in seen.later_posts]
    assert page["post"] in public
    assert page["later"] not in public
    assert (instagram["id"], instagram["caption"]) == (instagram["newest"], "By the SDK")
    assert (instagram["last"], instagram["used"]) == ("FINISHED", 1)


def test_a_video_arrives_in_chunks(seen: Seen) -> None:
    assert seen.told["video"]["title"] == "a.mp4"
    calls = [row for row in seen.calls if row["host"] == "graph-video.facebook.com"]
    assert [row["status"] for row in calls] == [200] * 4, "a beginning, two chunks, an end"


def test_its_exceptions_tell_metas_codes(seen: Seen) -> None:
    errors = seen.told["errors"]
    assert errors["unknown id"] == [400, 100, 33, "GraphMethodException", False]
    assert errors["unknown field"] == [400, 100, None, "OAuthException", False]
    assert errors["nothing given"][:2] == [400, 100]
    assert errors["too many items"] == [400, None, None, "GraphBatchException", False]
    assert errors["throttled"][:3] == [400, 80004, 2446079]
    assert seen.told["proofs"] == [[400, 100, None, "GraphMethodException", False]] * 2


def test_it_subscribes_gets_what_it_subscribed_to_and_takes_it_back(seen: Seen) -> None:
    told = seen.told["webhooks"]
    assert (told["subscribed"], told["installed"], told["left"]) == (["page"], [seen.app["id"]], 0)
    assert told["listed"] == [told["lead"]]
    (value,) = values_of(seen.delivery)
    assert (value["leadgen_id"], is_signed(seen.delivery, seen.app["webhook_secret"])) == (told["lead"], True)
    assert (told["apps"], told["granted"]) == ([1, 1], ["ads_read"])


def test_what_it_has_proved_is_marked_in_the_list_of_what_is_covered(seen: Seen) -> None:
    assert proved(seen.calls) == marked(SDK)
