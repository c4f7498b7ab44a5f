"""What a platform is to the bus: it pushes signed webhooks, and again what was not answered."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import httpx

from deploy.local.demo.internal_system import Api, DemoFailed, Results, Seen
from deploy.local.demo.patience import insist
from deploy.local.demo.scene import Scene

TOPIC: Final = "webhooks.events"
PUSHES_PER_ACCOUNT: Final = 40
EVERY_AGAIN: Final = 5
"""Each fifth is delivered twice, as platforms do when an answer was lost."""
PAUSE_SECONDS: Final = 0.12
FORGED: Final = 12
SECONDS: Final = 60.0

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Account:
    """An account on the platform, and the organizations that have connected it."""

    type: str
    id: str
    org_ids: tuple[UUID, ...]


@dataclass(slots=True)
class Pushed:
    """What was pushed, and how it was answered."""

    accounts: Sequence[Account]
    stranger: Account
    """Of an account that nobody has connected yet."""
    marks: dict[str, Account] = field(default_factory=dict)
    """The number that tells a change apart -> its account; only what was answered 200."""
    again: int = 0
    """Deliveries that were repeated and answered 200 again."""
    tries: int = 0
    """Deliveries sent, also those that got no answer because somebody was away."""
    forged: Counter[int] = field(default_factory=Counter)
    """Answers to wrong signatures, by status."""
    forged_kept: int = 0


def invent_accounts(scene: Scene) -> Pushed:
    """Make up accounts that no former run has used: what was pushed once would be a duplicate for ever."""
    number = int(time.time() * 1000)
    first, second = scene.org_id, scene.second_org_id
    return Pushed(
        accounts=(
            Account("page", f"{number}1", (first,)),
            Account("page", f"{number}2", (first, second)),
            Account("instagram", f"{number}3", (second,)),
            Account("ad_account", f"act_{number}4", (first,)),
        ),
        stranger=Account("page", f"{number}5", (second,)),
    )


def delivery(account: Account, mark: str, *, at: int) -> bytes:
    """Give the body of one delivery, in the shape of the samples in Meta's documents; `mark` is a number."""
    changes: dict[str, tuple[str, dict[str, Any]]] = {
        "page": (
            "feed",
            {
                "item": "status",
                "verb": "add",
                "post_id": f"{account.id}_{mark}",
                "from": {"id": "1067280970047460", "name": "Peter Chang"},
                "published": 1,
                "created_time": at,
                "message": "Hello",
            },
        ),
        "instagram": (
            "comments",
            {
                "id": mark,
                "from": {"id": "232323232", "username": "test"},
                "media": {"id": "123123123", "media_product_type": "FEED"},
                "text": "This is an example.",
            },
        ),
        "ad_account": (
            "with_issues_ad_objects",
            {
                "id": mark,
                "level": "AD",
                "error_code": "567",
                "error_summary": "error summary",
                "error_message": "words",
            },
        ),
    }
    name, value = changes[account.type]
    if account.type == "page" and int(mark) % 2:
        name, value = "leadgen", {"leadgen_id": mark, "page_id": account.id, "form_id": "4", "created_time": at}
    entry = {"id": account.id.removeprefix("act_"), "time": at, "changes": [{"field": name, "value": value}]}
    return json.dumps({"object": account.type, "entry": [entry]}).encode()


def mark_of(value: Mapping[str, Any]) -> str:
    """Give the number by which a change was made unlike any other."""
    return str(value.get("leadgen_id") or value.get("post_id") or value["id"]).rpartition("_")[2]


class Platform:
    """Pushes for one app of the scene."""

    def __init__(self, values: Mapping[str, str], scene: Scene) -> None:
        self._secret = json.loads(values["META_APP_SECRETS"])[scene.app].encode()
        self._path = f"/webhooks/meta/{scene.app}"
        self._receiver = Api(values["WEBHOOK_RECEIVER_URL"], None)

    async def __aenter__(self) -> "Platform":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._receiver.__aexit__()

    async def push(self, body: bytes, *, secret: bytes | None = None) -> httpx.Response:
        """Deliver once. Raises DemoFailed when there is no answer."""
        signature = hmac.new(secret or self._secret, body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        return await self._receiver.send("POST", self._path, content=body, headers=headers)

    async def push_all(self, pushed: Pushed, advance: Advance) -> None:
        """Deliver all changes of all accounts, each account's in order; each again until it is answered 200."""
        async with asyncio.TaskGroup() as group:
            for account in pushed.accounts:
                group.create_task(self._push_account(account, pushed, advance))

    async def _push_account(self, account: Account, pushed: Pushed, advance: Advance) -> None:
        for number in range(PUSHES_PER_ACCOUNT):
            mark = str(number + 1_000)
            await self._push_until_answered(account, mark, pushed, advance)
            if number % EVERY_AGAIN == 0:
                await self._push_until_answered(account, mark, pushed, None)
                pushed.again += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _push_until_answered(self, account: Account, mark: str, pushed: Pushed, advance: Advance | None) -> None:
        unlike = f"{account.id.removeprefix('act_')}{mark}"
        body = delivery(account, unlike, at=int(unlike[:10]))

        async def push() -> httpx.Response:
            pushed.tries += 1
            return await self.push(body)

        answer = await insist(push, f"delivery {unlike}")
        if answer.status_code != 200:
            raise DemoFailed(f"a good delivery was answered {answer.status_code}: {answer.text[:300]}")
        pushed.marks[unlike] = account
        if advance is not None:
            advance(1)

    async def push_forged(self, pushed: Pushed) -> None:
        """Deliver changes that somebody else has signed."""
        for number in range(FORGED):
            body = delivery(pushed.accounts[0], f"{number}", at=1_700_000_000)
            pushed.forged[(await self.push(body, secret=b"not the app's secret")).status_code] += 1


def published(results: Results, pushed: Pushed) -> Counter[tuple[str, str]]:
    """Count the events of what was pushed, by organization and mark: each must be there once."""
    return Counter((seen.data["org_id"], mark_of(seen.data["value"])) for seen in _events(results, pushed))


def wanted(pushed: Pushed) -> set[tuple[str, str]]:
    """Give who must get what of what was answered 200."""
    return {(str(org_id), mark) for mark, account in pushed.marks.items() for org_id in account.org_ids}


def out_of_order(results: Results, pushed: Pushed) -> int:
    """Count the events that came after one that was pushed later, of the same organization and account."""
    newest: dict[tuple[str, str], int] = {}
    late = 0
    for seen in _events(results, pushed):
        key, mark = (seen.data["org_id"], seen.data["account"]["id"]), int(mark_of(seen.data["value"]))
        late += mark < newest.get(key, 0)
        newest[key] = max(mark, newest.get(key, 0))
    return late


def _events(results: Results, pushed: Pushed) -> list[Seen]:
    ids = {account.id for account in (*pushed.accounts, pushed.stranger)}
    return [seen for seen in results.records if seen.topic == TOPIC and seen.data["account"]["id"] in ids]
