"""Whatever is written, Meta's words come back: no operation fails for what somebody puts into it."""

import asyncio
import json
import random
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from services.sandbox.exchange import Answer, Call
from services.sandbox.meta import ad_writes, publishing
from services.sandbox.meta.catalog import edges_of, fields_of
from services.sandbox.meta.objects import READING
from services.sandbox.meta.operations import Operation
from services.sandbox.outbound import Outbound
from services.sandbox.state import State

TOKENS = {
    "graph.facebook.com": ("user_main", "page_quiet", "page_busy"),
    "graph-video.facebook.com": ("page_busy",),
    "rupload.facebook.com": ("page_busy",),
    "graph.instagram.com": ("instagram_busy",),
    "graph.threads.net": ("threads_busy",),
}
OPERATIONS = (*ad_writes.OPERATIONS, *publishing.OPERATIONS)
DECLARED = tomllib.loads((Path(ad_writes.__file__).parent / "parameters.toml").read_text())
WRITES = 500
SECONDS = (0, 0, 0, 5, 5, 700, 90_000)
MOST_DAYS = 30
"""Tokens live for two months: a run must not outlive them."""
PUBLISHED = """message link published scheduled_publish_time unpublished_content_type attached_media url caption fields
file_url upload_phase file_size upload_session_id start_offset video_id video_state description title photo_id image_url
video_url media_type is_carousel_item children creation_id thumb_offset upload_type text reply_to_id link_attachment
topic_tag reply_control auto_publish_text quote_post_id hide comment_enabled is_published is_hidden deep_copy
status_option rename_options file_length file_type fbuploader_video_file_chunk since alt_text"""
ADS = " ".join(text for kind in DECLARED.values() for verb in ("create", "update") for text in kind[verb].values())
NAMES = sorted({*PUBLISHED.split(), *ADS.split()})
PLAUSIBLE = """true false 1 0 100 5000 PAUSED ACTIVE DELETED ARCHIVED OUTCOME_TRAFFIC LINK_CLICKS IMPRESSIONS REACH
start transfer finish cancel TEXT IMAGE VIDEO REELS STORIES CAROUSEL DRAFT SCHEDULED PUBLISHED resumable hello
https://example.com/a.jpg https://away.invalid/a.mp4 ["validate_only"] [] {} [1] {"a":{"b":[null]}} [[]] null
{"geo_locations":{"countries":["US"]}} {"creative_id":"1"} {"age_min":"x"} +1+hour tomorrow never 99999999999999999
[{"media_fbid":"1"}] ["x"] id,name x{y} {"rename_strategy":"DEEP_RENAME"} 1,2 https://[ "quoted" ' \x00 \ufffd
"\\ud800" {"a":99999999999999999999999} {"a":"\\ud800"}"""
PLACE = json.dumps({"geo_locations": {"countries": ["US"]}})
GOOD: dict[str, dict[str, str]] = {
    "create_campaign": {"name": "n", "objective": "OUTCOME_TRAFFIC", "special_ad_categories": "[]"},
    "create_adset": {
        "name": "n", "daily_budget": "500", "billing_event": "IMPRESSIONS", "optimization_goal": "LINK_CLICKS",
        "targeting": PLACE, "campaign_id": "{campaign}",
    },
    "create_ad": {"name": "n", "adset_id": "{adset}", "creative": '{"creative_id":"{adcreative}"}'},
    "create_adcreative": {"object_story_spec": '{"page_id":"{page}","link_data":{"message":"m"}}'},
    "create_pixel": {"name": "n"},
    "create_post": {"message": "m"},
    "create_photo": {"url": "https://example.com/a.jpg", "published": "false"},
    "create_photo_story": {"photo_id": "{photo}"},
    "create_video": {"file_url": "https://example.com/a.mp4"},
    "create_reel": {"upload_phase": "start"},
    "create_video_story": {"upload_phase": "start"},
    "create_comment": {"message": "m"},
    "reply": {"message": "m"},
    "create_container": {"image_url": "https://example.com/a.jpg", "media_type": "IMAGE"},
    "publish": {"creation_id": "{container}"},
    "threads.publish": {"creation_id": "{threads_container}"},
    "update": {"name": "n", "hide": "true", "comment_enabled": "false"},
    "manage_reply": {"hide": "true"},
    "open_upload": {"file_length": "10", "file_type": "video/mp4"},
}  # fmt: skip
"""What goes well, where the ids exist."""


DEEP = "[" * 240 + "]" * 240
READ = Operation("meta.{kind}", "GET", "{any}", lambda _: None)


class Run:
    """A world and what was made in it, written to at random."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.state = State(seed, "small", Outbound())
        self.meta = self.state.platforms["meta"]
        self.world = self.meta.describe()
        self.secrets = {token["id"]: token["access_token"] for token in self.world["tokens"]}
        self.started = self.state.clock.now()
        self.nodes: dict[str, list[str]] = {"application": [app["id"] for app in self.world["apps"]]}
        for account in self._busiest():
            self.nodes.setdefault(account["type"], []).append(account["id"])
            for child in account["children"]:
                made = {"instagram": "media", "threads": "threads_post", "page": "post"}
                listed = asyncio.run(self.meta.children(account["type"], account["id"], child, everything=True)) or []
                kind = made.get(account["type"], child.rstrip("s"))
                self.nodes.setdefault(kind, []).extend(row["id"] for row in listed[:20])

    def _busiest(self) -> list[dict[str, Any]]:
        """The accounts that the first tokens see, one of each type."""
        owners = {token["owner"]["id"] for token in self.world["tokens"] if token["id"].endswith("_busy")}
        most = max(self.world["accounts"], key=lambda account: account["children"].get("ads", 0))
        return [account for account in self.world["accounts"] if account["id"] in {*owners, most["id"]}]

    def write(self) -> tuple[str, Answer]:
        """One write of any kind; gives the operation's name and the answer."""
        operation = self.dice.choice(OPERATIONS)
        host = self.dice.choice(operation.hosts)
        kind = operation.path.partition("}")[0].removeprefix("{")
        node = self.some(kind)
        params = self.params(operation)
        answer = self.ask(operation, host, operation.path.replace(f"{{{kind}}}", node), params)
        if answer.status == 200:
            self.read(host, self.remember(operation, json.loads(answer.body)) or (kind, node))
        if (self.state.clock.now() - self.started).days < MOST_DAYS:
            self.state.clock.advance(self.dice.choice(SECONDS))
        return operation.name, answer

    def some(self, kind: str) -> str:
        """An object that was made lately, or any."""
        known = self.nodes.get(kind) or ["1"]
        return self.dice.choice(known[-3:] if self.dice.random() < 0.7 else known)

    def params(self, operation: Operation) -> dict[str, str]:
        names = self.dice.sample(NAMES, self.dice.choice((0, 0, 1, 2, 6)))
        odd = {name: self.value() for name in names}
        whole, verb = operation.name.removeprefix("meta."), operation.name.rpartition(".")[2]
        good = GOOD.get(whole, GOOD.get(verb, {})) if self.dice.random() < 0.8 else {}
        filled = {name: self.filled(text) for name, text in good.items()}
        return {**odd, **filled} if self.dice.random() < 0.5 else {**filled, **odd}

    def value(self) -> str:
        if self.dice.random() < 0.2:
            return self.some(self.dice.choice(list(self.nodes)))
        return self.dice.choice([*PLAUSIBLE.split(), DEEP])

    def filled(self, text: str) -> str:
        """With an object of a kind in place of the kind's name."""
        for kind in (*self.nodes, "container", "threads_container", "photo"):
            text = text.replace(f"{{{kind}}}", self.some(kind))
        return text

    def ask(self, operation: Operation, host: str, path: str, params: dict[str, str]) -> Answer:
        usual = "user_main" if operation.scopes == ("ads_management",) else TOKENS[host][-1]
        secret = self.secrets[usual if self.dice.random() < 0.9 else self.dice.choice(TOKENS[host])]
        version = "v1.0" if host == "graph.threads.net" else "v26.0"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if host == "rupload.facebook.com" or path.startswith("upload:"):
            start = params.get("start_offset", "0")
            sent = {"offset": start, "file_offset": start, "file_size": params.get("file_size", "5")}
            headers = {"authorization": f"OAuth {secret}", **sent}
        if host == "rupload.facebook.com":
            node, _, word = path.partition("/")
            path, version = f"{version}/{node}", word
        body = b"bytes" if "offset" in headers else urlencode({**params, "access_token": secret}).encode()
        sent_by_query = {**params, "access_token": secret} if operation.method == "GET" else {}
        query = {name: [value] for name, value in sent_by_query.items()}
        address = f"http://sandbox.test/{host}"
        call = Call("prefix", operation.method, host, f"/{version}/{path}", query, headers, body, address)
        return asyncio.run(self.meta.answer(call))

    def read(self, host: str, made: tuple[str, str]) -> None:
        """What was written can be shown with all its fields, or is gone."""
        kind, node = made
        if host not in READING or kind in {"application", "ad_account", "page", "instagram", "threads"}:
            return
        plain = sorted(fields_of(kind, host) - edges_of(kind, host))
        answer = self.ask(READ, host, node, {"fields": ",".join(plain)})
        assert answer.status in {200, 400, 403}, (kind, json.loads(answer.body))
        json.loads(answer.body)

    def remember(self, operation: Operation, content: dict[str, Any]) -> tuple[str, str] | None:
        """What was made can be written to by the next call; gives its kind and id."""
        above, _, verb = operation.name.removeprefix("meta.").partition(".")
        kind = MADE.get((above, verb)) or MADE.get(("", verb))
        made = content.get("id") or content.get("video_id")
        if not kind or not made:
            return None
        self.nodes.setdefault(kind, []).append(str(made))
        return kind, str(made)


MADE = {
    ("", "create_campaign"): "campaign",
    ("", "create_adset"): "adset",
    ("", "create_ad"): "ad",
    ("", "create_adcreative"): "adcreative",
    ("", "create_pixel"): "pixel",
    ("", "create_post"): "post",
    ("", "create_photo"): "photo",
    ("", "create_video"): "video",
    ("", "create_reel"): "video",
    ("", "create_comment"): "comment",
    ("media", "create_comment"): "ig_comment",
    ("", "open_upload"): "upload",
    ("instagram", "create_container"): "container",
    ("instagram", "publish"): "media",
    ("threads", "create_container"): "threads_container",
    ("threads", "publish"): "threads_post",
}
"""Kind of what an operation makes."""


@pytest.mark.parametrize("seed", range(3))
def test_any_run_of_writes_is_answered_in_metas_words(seed: int) -> None:
    run = Run(seed)
    well: set[str] = set()
    for _ in range(WRITES):
        name, answer = run.write()
        content = json.loads(answer.body)
        assert answer.status in {200, 400, 403}, (name, content)
        assert (answer.status == 200) is ("error" not in content), (name, content)
        if answer.status == 200:
            well.add(name)
    for account in run.world["accounts"]:
        for child in account["children"]:
            listed = asyncio.run(run.meta.children(account["type"], account["id"], child, everything=True))
            assert listed is not None
    # Else everything was refused, and little was tried.
    assert len(well) > len(OPERATIONS) // 2
