"""Whatever is put into logins, tokens, subscriptions and messages, Meta's words come back, and no secret is logged."""

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
import pytest

from services.sandbox.exchange import Answer, Call
from services.sandbox.meta import lead_tests, oauth, token_calls, whatsapp_messages
from services.sandbox.meta.operations import Operation
from services.sandbox.meta.webhooks import calls as webhook_calls
from services.sandbox.outbound import Heard, Outbound
from services.sandbox.state import State
from tests.support.fuzzing import FUZZ_EXAMPLES

OPERATIONS = (
    *token_calls.OPERATIONS, *oauth.OPERATIONS, *webhook_calls.OPERATIONS, *lead_tests.OPERATIONS,
    *whatsapp_messages.OPERATIONS,
)  # fmt: skip
_NAMES = """client_id client_secret redirect_uri code grant_type fb_exchange_token input_token scope state response_type
config_id sandbox_user sandbox_deny permission status system_user_id business_app set_token_expires_in_60_days
appsecret_proof appsecret_time revoke_token object fields callback_url verify_token include_values subscribed_fields
app_id override_callback_uri field_data messaging_product to type text template image message_id
biz_opaque_callback_data"""
_WORDS = """authorization_code fb_exchange_token client_credentials ig_exchange_token th_refresh_token token true 0
https://app.example/back http://127.0.0.1:1/hook https://[ nowhere page instagram whatsapp_business_account threads feed
feed,leadgen ["leadgen"] ["x" [] {} null {"body":"x"} {"body":7} [1] whatsapp read text image contacts 16505550123
+999 wamid.x email ads_read,email granted "quoted" ' \x00 \ufffd 99999999999999999999 -1"""
NAMES, WORDS = _NAMES.split(), _WORDS.split()
CALLS = 10 * FUZZ_EXAMPLES


class Subscriber(Outbound):
    """Agrees to everything, and keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    async def get(self, url: str, params: Mapping[str, str], *, timeout_seconds: float) -> Heard:
        return Heard(200, params["hub.challenge"].encode())

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, timeout_seconds: float) -> Heard:
        self.bodies.append(body)
        return Heard(200, b"")


class Run:
    """A world that is called at random, and what came back that can be used again."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.subscriber = Subscriber()
        self.state = State(seed, "small", self.subscriber)
        self.meta = self.state.platforms["meta"]
        world = self.meta.describe()
        self.tokens = [str(token["access_token"]) for token in world["tokens"]]
        self.apps = world["apps"]
        self.ids: dict[str, list[str]] = {"application": [app["id"] for app in self.apps]}
        for account in world["accounts"]:
            self.ids.setdefault(account["type"], []).append(account["id"])
        self.ids["user"] = [
            "me",
            *{token["owner"]["id"] for token in world["tokens"] if token["owner"]["type"] == "user"},
        ]
        self.codes = ["AQnone"]
        self.secrets = {str(app["secret"]) for app in self.apps}

    async def grow(self) -> None:
        """Ids below accounts."""
        for above, edge, kind in (
            ("whatsapp", "phone_numbers", "phone_number"),
            ("page", "leadgen_forms", "leadgen_form"),
        ):
            rows = await self.call(
                "GET", "graph.facebook.com", f"/{self.ids[above][0]}/{edge}", {}, self.named("system")
            )
            self.ids[kind] = [row["id"] for row in orjson.loads(rows.body)["data"]]
        rows = await self.call(
            "GET", "graph.facebook.com", f"/{self.ids['leadgen_form'][0]}/leads", {}, self.named("page")
        )
        self.ids["lead"] = [row["id"] for row in orjson.loads(rows.body)["data"]]

    def named(self, kind: str) -> str:
        rows = self.meta.describe()["tokens"]
        return str(next(row["access_token"] for row in rows if row["id"].startswith(kind)))

    async def call(self, method: str, host: str, path: str, params: dict[str, str], token: str) -> Answer:
        query = {name: [value] for name, value in {**params, "access_token": token}.items()}
        call = Call("prefix", method, host, path, query, self.headers(), b"", f"http://127.0.0.1:1/{host}")
        return await self.meta.answer(call)

    def headers(self) -> dict[str, str]:
        return (
            {"authorization": self.dice.choice(("Basic ?", "Basic OnM=", "Bearer x"))}
            if self.dice.random() < 0.1
            else {}
        )

    def path(self, operation: Operation) -> str:
        parts = []
        for part in operation.path.split("/"):
            known = self.ids.get(part.strip("{}"), ["email"])
            parts.append(self.dice.choice(known) if part.startswith("{") else part)
        return "/" + "/".join(parts)

    def params(self) -> dict[str, str]:
        names = self.dice.sample(NAMES, self.dice.randint(0, 12))
        params = {name: self.dice.choice(WORDS) for name in names}
        app = self.dice.choice(self.apps)
        likely = {
            "client_id": app["id"], "client_secret": app["secret"], "redirect_uri": "https://app.example/back",
            "code": self.dice.choice(self.codes), "fb_exchange_token": self.dice.choice(self.tokens),
            "input_token": self.dice.choice(self.tokens), "callback_url": "http://127.0.0.1:1/hook",
            "app_id": app["id"],
            "messaging_product": "whatsapp", "to": "16505550123", "text": '{"body":"x"}', "scope": "", "object": "page",
            "fields": "feed,leadgen", "subscribed_fields": "feed,leadgen", "verify_token": "v",
        }  # fmt: skip
        return params | {name: value for name, value in likely.items() if self.dice.random() < 0.6}

    def keep(self, answer: Answer) -> None:
        location = next((value for name, value in answer.headers if name == "Location"), "")
        self.codes += parse_qs(urlsplit(location).query).get("code", [])
        if answer.status == 200 and b"access_token" in answer.body:
            told: Any = orjson.loads(answer.body)
            self.tokens.append(str(told.get("access_token") or "none"))


@pytest.mark.parametrize("seed", [1, 2])
def test_no_login_subscription_or_message_fails_for_what_is_put_into_it(seed: int) -> None:
    async def calls() -> Run:
        run = Run(seed)
        await run.grow()
        for _ in range(CALLS):
            operation = run.dice.choice(OPERATIONS)
            path, host = run.path(operation), run.dice.choice(operation.hosts)
            answer = await run.call(operation.method, host, path, run.params(), run.dice.choice(run.tokens))
            assert answer.status in {200, 302, 400, 403, 501}, (operation.name, answer.body)
            if answer.content_type.startswith("application/json"):
                json.loads(answer.body)
            run.keep(answer)
            if run.dice.random() < 0.02:
                run.state.clock.advance(run.dice.choice((1, 60, 4_000)))
            await asyncio.sleep(0)
        return run

    run = asyncio.run(calls())
    log = json.dumps(run.state.calls.read())
    assert [
        secret for secret in (*run.secrets, *run.tokens, *run.codes[1:]) if secret in log and len(secret) > 20
    ] == []
    assert {row["status"] for row in run.state.calls.read()["calls"]} >= {200, 302, 400}
    assert all(json.loads(body) for body in run.subscriber.bodies)


def test_urls_of_callers_are_kept_whole_in_redirects() -> None:
    async def redirect(target: str) -> str:
        run = Run(3)
        params = {"client_id": run.apps[0]["id"], "redirect_uri": target, "state": "ä&b=1"}
        answer = await run.call("GET", "www.facebook.com", "/dialog/oauth", params, "")
        return next(value for name, value in answer.headers if name == "Location")

    for target in ("https://app.example/back", "https://app.example/back?x=1&y=%2F"):
        location = urlsplit(asyncio.run(redirect(target)))
        query = parse_qs(location.query)
        assert (query.pop("state"), len(query.pop("code"))) == (["ä&b=1"], 1)
        assert urlencode(query, doseq=True) == urlsplit(target).query
