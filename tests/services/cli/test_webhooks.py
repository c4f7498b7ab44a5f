"""`platformbus webhooks`: whom it asks, what it signs, what it says; secrets have a way in and none out."""

import hashlib
import hmac
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.platforms.meta.webhooks import MetaWebhooks
from tests.support.cli import FakeServices, Run, run_cli

SECRET = "planted-app-secret-0123456789"
RECEIVER = "webhook_receiver"
PUSH = "/webhooks/meta/1001"
APP: dict[str, Any] = {
    "platform": "meta",
    "app": "1001",
    "name": "shop",
    "path": PUSH,
    "updated_at": "2026-11-21T10:00:00Z",
    "secrets": [
        {"id": str(uuid4()), "hint": "aaaa", "status": "retired"},
        {"id": str(uuid4()), "hint": "bbbb", "status": "active"},
    ],
}
DELIVERY: dict[str, Any] = {
    "id": str(uuid4()),
    "status": "processed",
    "platform": "meta",
    "app": "1001",
    "body_bytes": 7,
}


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return str(path)


def answering(services: FakeServices, *statuses: int) -> FakeServices:
    answers = [httpx.Response(status, text="OK" if status == 200 else "{}") for status in statuses]
    services.on(RECEIVER, "POST", PUSH, *answers)
    return services


def pushed(services: FakeServices) -> list[httpx.Request]:
    return [request for request in services.asked if request.url.path == PUSH]


def send(services: FakeServices, *arguments: str, **more: Any) -> Run:
    return run_cli("webhooks", "send", "1001", *arguments, services=services, **more)


def is_signed(request: httpx.Request, secret: str) -> bool:
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    return MetaWebhooks().check_signature(headers, request.content, [secret.encode()])[0] == "valid"


@pytest.mark.parametrize("way", ["file", "stdin", "variable", "settings"])
def test_a_sample_is_signed_with_the_secret_from_where_it_was_said_to_be(
    services: FakeServices, secret_file: str, way: str
) -> None:
    answering(services, 200)
    arguments, stdin, environment = {
        "file": (("--secret-file", secret_file), None, {}),
        "stdin": (("--secret-stdin",), f"{SECRET}\n", {}),
        "variable": (("--secret-env", "APP_SECRET"), None, {"APP_SECRET": SECRET}),
        "settings": ((), None, {"META_APP_SECRETS": json.dumps({"1001": SECRET})}),
    }[way]
    run = send(services, "--sample", "leadgen", *arguments, "--json", stdin=stdin, environment=environment)
    assert run.exit_code == 0, run.stderr
    assert run.json == {"sent": 1, "answers": {"200": 1}, "last": "OK"}
    (request,) = pushed(services)
    assert is_signed(request, SECRET)
    assert "authorization" not in request.headers
    (change,) = MetaWebhooks().split(request.content)
    assert change.change_type == "lead.created"
    assert SECRET not in run.stdout + run.stderr


def test_each_of_many_tells_something_new_and_the_same_one_can_be_sent_again(
    services: FakeServices, secret_file: str
) -> None:
    answering(services, 200)
    arguments = ("--sample", "page_comment", "--account", "42", "--secret-file", secret_file, "--repeat", "5")
    assert send(services, *arguments).exit_code == 0
    changes = [MetaWebhooks().split(request.content)[0] for request in pushed(services)]
    assert len({change.external_event_id for change in changes}) == 5
    assert {change.account_id for change in changes} == {"42"}
    services.asked.clear()
    assert send(services, *arguments, "--same").exit_code == 0
    assert len(pushed(services)) == 5
    assert len({request.content for request in pushed(services)}) == 1


def test_a_wrong_signature_is_of_the_right_form_and_must_be_refused(services: FakeServices) -> None:
    answering(services, 401)
    assert send(services, "--sample", "page_feed", "--wrong-signature").exit_code == 0
    (request,) = pushed(services)
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    assert MetaWebhooks().needs_body(headers) is None
    assert MetaWebhooks().check_signature(headers, request.content, [SECRET.encode()])[0] == "wrong"
    answering(services, 200)
    assert send(services, "--sample", "page_feed", "--wrong-signature").exit_code == 1


def test_any_answer_but_200_fails_the_drill_and_is_counted(services: FakeServices, secret_file: str) -> None:
    answering(services, 200, 503, 200)
    run = send(services, "--sample", "ad_account", "--secret-file", secret_file, "--repeat", "3", "--json")
    assert run.exit_code == 1
    assert run.json["answers"] == {"200": 2, "503": 1}


def test_a_file_is_sent_byte_by_byte(services: FakeServices, secret_file: str, tmp_path: Path) -> None:
    answering(services, 200)
    body = tmp_path / "body.json"
    body.write_bytes(b'{"object":"page" , "entry":[]}\n\xff')
    assert send(services, "--file", str(body), "--secret-file", secret_file).exit_code == 0
    (request,) = pushed(services)
    assert request.content == body.read_bytes()
    assert is_signed(request, SECRET)


class Receiver:
    """Lists what was pushed to it after `earlier` ones, newest first, two a page; each ends at the second look."""

    def __init__(self, services: FakeServices, *earlier: bytes) -> None:
        self._services = services
        self._earlier = earlier
        self.ids = [str(UUID(int=number)) for number in range(100)]
        self.looks: Counter[str] = Counter()
        services.on(RECEIVER, "GET", "/v1/webhooks", self._page)
        for number, each in enumerate(self.ids):
            services.on(RECEIVER, "GET", f"/v1/webhooks/{each}", partial(self._whole, number))

    def _bodies(self) -> list[bytes]:
        return [*self._earlier, *(request.content for request in pushed(self._services))]

    def _page(self) -> dict[str, Any]:
        params = self._services.asked[-1].url.params
        rows = [
            {"id": self.ids[number], "received_at": "2026-11-21T10:00:00Z", "body_bytes": len(body)}
            for number, body in enumerate(self._bodies())
            if self.ids[number] < params.get("cursor", "~")
        ][::-1][: min(2, int(params["limit"]))]
        more = bool(rows) and rows[-1]["id"] != self.ids[0]
        return {"webhooks": rows, "next_cursor": rows[-1]["id"] if more else None}

    def _whole(self, number: int) -> dict[str, Any]:
        each = self.ids[number]
        self.looks[each] += 1
        ending = {"reason": None, "error": None, "attempts": 1, "changes": [], "publications": [{"org_id": "o"}]}
        return ending | {
            "id": each,
            "status": "received" if self.looks[each] == 1 else "processed",
            "body_sha256": hashlib.sha256(self._bodies()[number]).hexdigest(),
        }


def test_what_became_of_a_delivery_is_found_by_its_body(services: FakeServices, secret_file: str) -> None:
    answering(services, 200)
    receiver = Receiver(services)
    run = send(services, "--sample", "leadgen", "--secret-file", secret_file, "--wait", "20", "--json")
    assert run.exit_code == 0, run.stderr
    assert [each["id"] for each in run.json["became"]] == receiver.ids[:1]
    assert run.json["became"][0]["publications"] == [{"org_id": "o"}]
    assert receiver.looks[receiver.ids[0]] == 2


def test_the_same_file_sent_again_is_not_taken_for_what_it_was_before(
    services: FakeServices, secret_file: str, tmp_path: Path
) -> None:
    answering(services, 200)
    body = tmp_path / "body.json"
    body.write_bytes(b'{"object":"page","entry":[]}')
    receiver = Receiver(services, body.read_bytes(), *(b"somebody else's" for _ in range(6)), body.read_bytes())
    run = send(services, "--file", str(body), "--secret-file", secret_file, "--repeat", "3", "--wait", "20", "--json")
    assert run.exit_code == 0, run.stderr
    assert sorted(each["id"] for each in run.json["became"]) == receiver.ids[8:11]
    assert set(receiver.looks) == set(receiver.ids[8:11])


def test_a_delivery_that_does_not_end_in_time_fails_the_drill(services: FakeServices, secret_file: str) -> None:
    answering(services, 200)
    services.on(RECEIVER, "GET", "/v1/webhooks", {"webhooks": [], "next_cursor": None})
    run = send(services, "--sample", "leadgen", "--secret-file", secret_file, "--wait", "0")
    assert run.exit_code == 1
    assert "0 of 1 deliveries ended" in run.words


def test_a_drill_that_says_too_little_or_too_much_sends_nothing(services: FakeServices, secret_file: str) -> None:
    good = ("--sample", "leadgen", "--secret-file", secret_file)
    for arguments, words in (
        (("--secret-file", secret_file), "page_feed, page_comment"),
        (("--sample", "carrier_pigeon", "--secret-file", secret_file), "page_feed, page_comment"),
        ((*good, "--file", "x"), "is sent as it is"),
        (("--file", "/nonexistent/body", "--secret-file", secret_file), "cannot be read"),
        ((*good, "--secret-stdin"), "from one place"),
        ((*good[:2], "--secret-file", "/nonexistent/secret"), "cannot be read"),
        ((*good[:2], "--secret-env", "NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
        (good[:2], "have no secret of app 1001"),
        ((*good, "--wrong-signature", "--wait", "1"), "--wait follows"),
        ((*good, "--repeat", "101", "--wait", "1"), "--wait follows"),
        ((*good, "--secret", SECRET), "No such option"),
    ):
        run = send(services, *arguments)
        assert run.exit_code == 2, arguments
        assert words in run.words, run.words
    assert services.asked == []


def test_apps_are_added_rotated_and_retired_with_secrets_from_outside(services: FakeServices, secret_file: str) -> None:
    path = "/v1/webhook-apps/meta/1001"
    services.on(RECEIVER, "POST", "/v1/webhook-apps", APP | {"verify_token": "made-here"}, status=201)
    services.on(RECEIVER, "POST", f"{path}/secrets", APP, status=201)
    services.on(RECEIVER, "DELETE", f"{path}/secrets/{APP['secrets'][1]['id']}", APP)
    services.on(RECEIVER, "DELETE", path, {"platform": "meta", "app": "1001", "deleted": True})
    apps = ("webhooks", "apps")
    added = run_cli(*apps, "add", "1001", "--name", "shop", "--secret-file", secret_file, services=services)
    assert added.exit_code == 0
    assert "made-here" in added.stdout
    assert services.body() == {"platform": "meta", "app": "1001", "name": "shop", "secret": SECRET}
    named = ("--secret-env", "S", "--verify-token-env", "T")
    variables = {"S": SECRET, "T": "planted-token"}
    assert run_cli(*apps, "add", "1001", *named, services=services, environment=variables).exit_code == 0
    assert services.body() == {"platform": "meta", "app": "1001", "secret": SECRET, "verify_token": "planted-token"}
    assert run_cli(*apps, "rotate", "1001", "--secret-stdin", services=services, stdin=SECRET).exit_code == 0
    assert services.body() == {"secret": SECRET}
    one = ("retire", "1001", "--secret", str(APP["secrets"][1]["id"]))
    assert run_cli(*apps, *one, "--dry-run", services=services).exit_code == 0
    assert services.asked[-1].url.params["dry_run"] == "true"
    assert run_cli(*apps, "retire", "1001", "--whole-app", services=services).exit_code == 0
    services.on(RECEIVER, "DELETE", path, {"platform": "meta", "app": "1001", "deleted": True, "in_settings": True})
    told = run_cli(*apps, "retire", "1001", "--whole-app", services=services)
    assert (told.exit_code, "is accepted again" in told.stderr) == (1, True)
    for arguments in ((), ("--whole-app", "--secret", str(uuid4()))):
        assert run_cli(*apps, "retire", "1001", *arguments, services=services).exit_code == 2
    assert SECRET not in added.stdout + added.stderr


def test_apps_are_listed_with_the_hints_of_secrets_that_count(services: FakeServices) -> None:
    services.on(RECEIVER, "GET", "/v1/webhook-apps", {"apps": [APP]})
    services.on(RECEIVER, "GET", "/v1/webhook-apps/meta/1001", APP)
    listed = run_cli("webhooks", "apps", "list", services=services)
    assert "bbbb" in listed.stdout
    assert "aaaa" not in listed.stdout
    assert run_cli("webhooks", "apps", "list", "--json", services=services).json == [APP]
    assert run_cli("webhooks", "apps", "show", "1001", "--json", services=services).json == APP


def test_deliveries_are_listed_narrowed_and_shown(services: FakeServices) -> None:
    services.on(RECEIVER, "GET", "/v1/webhooks", {"webhooks": [DELIVERY], "next_cursor": None})
    services.on(RECEIVER, "GET", f"/v1/webhooks/{DELIVERY['id']}", DELIVERY | {"payload": {"object": "page"}})
    stats = {"platform": "meta", "app": "1001", "status": "processed", "signature_valid": True, "rows": 3}
    services.on(RECEIVER, "GET", "/v1/webhooks/stats", {"window_hours": 1.0, "stats": [stats]})
    narrowed = ("--status", "failed", "--app", "1001", "--retryable", "--since", "2026-11-21T10:00:00Z")
    assert DELIVERY["id"] in run_cli("webhooks", "list", *narrowed, "--refused", services=services).stdout
    params = dict(services.asked[-1].url.params)
    assert (params["status"], params["app"], params["retryable"]) == ("failed", "1001", "true")
    assert (params["signature_valid"], params["since"]) == ("false", "2026-11-21T10:00:00+00:00")
    assert run_cli("webhooks", "list", services=services).exit_code == 0
    assert set(services.asked[-1].url.params) == {"limit"}
    shown = run_cli("webhooks", "show", str(DELIVERY["id"]), "--json", services=services)
    assert shown.json["payload"] == {"object": "page"}
    assert run_cli("webhooks", "stats", "--hours", "1", "--json", services=services).json == [stats]


def test_a_replay_goes_on_until_nothing_remains_and_says_what_was_refused(services: FakeServices) -> None:
    refused = {"id": str(uuid4()), "reason": "body_deleted", "words": "its body was deleted"}
    first = {"matched": 500, "replayed": 500, "refused": [], "next_cursor": str(uuid4()), "dry_run": False}
    last = {"matched": 2, "replayed": 1, "refused": [refused], "next_cursor": None, "dry_run": False}
    services.on(RECEIVER, "POST", "/v1/webhooks:replay", first, last)
    run = run_cli("webhooks", "replay", "--status", "ignored", "--json", services=services)
    assert run.exit_code == 1
    assert run.json == {"matched": 502, "replayed": 501, "refused": [refused], "dry_run": False}
    assert services.body(0) == {"status": "ignored", "dry_run": False}
    assert services.body(1) == {"status": "ignored", "dry_run": False, "cursor": first["next_cursor"]}
    services.on(RECEIVER, "POST", "/v1/webhooks:replay", last | {"refused": []})
    assert run_cli("webhooks", "replay", str(DELIVERY["id"]), "--dry-run", services=services).exit_code == 0
    assert services.body() == {"ids": [DELIVERY["id"]], "dry_run": True}


def test_a_replay_of_nothing_named_is_asked_wrongly(services: FakeServices) -> None:
    for arguments in ((), (str(uuid4()), "--status", "failed")):
        assert run_cli("webhooks", "replay", *arguments, services=services).exit_code == 2
    assert services.asked == []


def test_what_an_organization_got_is_asked_of_ingest_with_its_name(services: FakeServices) -> None:
    row = {"event_id": "e1", "change_type": "lead.created", "account": {"type": "page", "id": "1"}, "webhook_id": "w"}
    services.on("ingest", "GET", "/v1/webhooks", {"items": [row], "next_cursor": None})
    services.on("ingest", "GET", "/v1/webhooks/e1", row | {"value": {"leadgen_id": "7"}})
    received = ("webhooks", "received", "--organization", "org-1")
    run = run_cli(*received, "--type", "lead.created", "--account", "page:1", services=services)
    assert "page:1" in run.stdout
    assert services.asked[-1].headers["X-Organization-Id"] == "org-1"
    assert dict(services.asked[-1].url.params)["account"] == "page:1"
    assert run_cli(*received, "e1", "--json", services=services).json["value"] == {"leadgen_id": "7"}


def test_the_signature_of_a_drill_is_the_platforms_own(services: FakeServices, secret_file: str) -> None:
    answering(services, 200)
    send(services, "--sample", "threads_mention", "--secret-file", secret_file)
    (request,) = pushed(services)
    digest = hmac.new(SECRET.encode(), request.content, hashlib.sha256).hexdigest()
    assert request.headers["x-hub-signature-256"] == f"sha256={digest}"
