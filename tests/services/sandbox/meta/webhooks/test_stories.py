"""A story's numbers are told when it is over, to apps of Facebook Login."""

import pytest

from tests.support.meta_webhooks import install, subscribe
from tests.support.meta_writes import advance, written
from tests.support.sandbox import SandboxProcess
from tests.support.webhook_sink import WebhookSink

pytestmark = pytest.mark.e2e


def test_a_storys_numbers_come_after_a_day(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    profile = sandbox.token_row("instagram_busy")["owner"]["id"]
    subscribe(sandbox, sink, "instagram", "story_insights")
    subscribe(sandbox, sink, "instagram", "story_insights", app="app_instagram")
    install(sandbox, sandbox.token_row("page_busy")["owner"]["id"], "page_busy", subscribed_fields="feed")
    address = "https://example.com/a.jpg"
    container = written(sandbox, f"{profile}/media", media_type="STORIES", image_url=address)["id"]
    advance(sandbox, 2)
    story = written(sandbox, f"{profile}/media_publish", creation_id=container)["id"]
    advance(sandbox, 86_390)
    assert sink.count() == 0
    advance(sandbox, 20)
    (entry,) = sink.got(1)[0].content["entry"]
    (change,) = entry["changes"]
    assert (entry["id"], change["field"], change["value"]["media_id"]) == (profile, "story_insights", story)
    numbers = {name: count for name, count in change["value"].items() if name != "media_id"}
    assert set(numbers) == {"impressions", "reach", "taps_forward", "taps_back", "exits", "replies"}
    assert all(count == -1 or count >= 5 for count in numbers.values())
    assert sink.count() == 1
