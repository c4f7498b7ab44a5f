"""Those who call platformbus while it is being broken, each with its own history of what it asked and was answered.

Each history is in lanes: what belongs to one key is sent in order, the next only when the one before was answered.
"""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from tests.support.traffic import Ask, Client, Organization, send_by_http, send_by_kafka

_ANSWER_SECONDS = 300.0
_PAUSE_SECONDS = 0.1
_TIMEOUT_SECONDS = 10.0
_FORGED = 10_000_000


@dataclass(slots=True)
class Requests:
    """Asks for reads. Those of one object are a lane, half of the lanes by HTTP and half by Kafka."""

    organizations: Sequence[Organization]
    count: int
    lanes: int
    seed: int
    asked: dict[str, tuple[Organization, Ask, str, int]] = field(default_factory=dict)
    """Idempotency key -> by whom, what, lane and place in it."""
    answered: dict[str, set[str]] = field(default_factory=dict)
    """Idempotency key -> every request id that HTTP answered for it."""

    async def run(self, urls: dict[str, str], bootstrap: str, seconds: float) -> None:
        """Send everything, spread over the time; return when all of it is answered."""
        generator = random.Random(self.seed)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
            clients = [Client(urls, organization.key) for organization in self.organizations]
            try:
                async with asyncio.TaskGroup() as lanes:
                    for lane in range(self.lanes):
                        number = lane % len(clients)
                        asks = self._asks(lane, self.organizations[number], generator)
                        lanes.create_task(self._send(asks, clients[number], producer, seconds))
            finally:
                await asyncio.gather(*(client.close() for client in clients))

    def _asks(self, lane: int, organization: Organization, generator: random.Random) -> list[Ask]:
        way = "http" if (lane // len(self.organizations)) % 2 else "kafka"
        asks = []
        for place in range(lane, self.count, self.lanes):
            ask = Ask(
                idempotency_key=f"survival-{self.seed}-{place}",
                object_key=f"object-{self.seed}-{lane}",
                object_id=generator.choice(organization.objects),
                way=way,
                priority=generator.randint(1, 10),
                max_wait_seconds=generator.choice([None, 0, 0.5]),
            )
            self.asked[ask.idempotency_key] = (organization, ask, f"{organization.org_id}/{ask.object_key}", place)
            asks.append(ask)
            if generator.random() < 0.1:
                asks.append(ask)
        return asks

    async def _send(self, asks: Sequence[Ask], client: Client, producer: AIOKafkaProducer, seconds: float) -> None:
        began = time.monotonic()
        organization = self.asked[asks[0].idempotency_key][0]
        for number, ask in enumerate(asks):
            await asyncio.sleep(max(0.0, began + seconds * number / len(asks) - time.monotonic()))
            if ask.way == "http":
                answer = await send_by_http(client, organization, ask)
                self.answered.setdefault(ask.idempotency_key, set()).add(answer["request_id"])
            else:
                await send_by_kafka(producer, organization, ask)


@dataclass(slots=True)
class Delivery:
    """One POST of a platform's, and what it was answered each time it was sent."""

    account: str
    numbers: tuple[int, ...]
    """Its changes, counted per account."""
    body: bytes
    answers: list[str] = field(default_factory=list)
    """A status, or the name of what went wrong."""


@dataclass(slots=True)
class Webhooks:
    """Meta's side: signed deliveries, repeated until they are answered 200, some of them once more after it."""

    accounts: Sequence[str]
    count: int
    seed: int
    app: str
    secret: str
    sent: list[Delivery] = field(default_factory=list)
    forged: list[Delivery] = field(default_factory=list)
    """With a wrong signature, each sent once."""

    async def run(self, url: str, seconds: float) -> None:
        """Send everything, spread over the time, each account in order; return when all of it is answered."""
        limits = httpx.Limits(max_connections=len(self.accounts), max_keepalive_connections=len(self.accounts))
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=_TIMEOUT_SECONDS, limits=limits) as http,
            asyncio.TaskGroup() as lanes,
        ):
            for number, account in enumerate(self.accounts):
                share = len(range(number, self.count, len(self.accounts)))
                lanes.create_task(self._lane(http, account, share, random.Random(f"{self.seed}-{account}"), seconds))

    async def _lane(
        self, http: httpx.AsyncClient, account: str, share: int, generator: random.Random, seconds: float
    ) -> None:
        began = time.monotonic()
        done: list[Delivery] = []
        changes = 0
        for number in range(share):
            await asyncio.sleep(max(0.0, began + seconds * (number + generator.random()) / share - time.monotonic()))
            numbers = tuple(range(changes, changes + generator.randint(1, 3)))
            changes += len(numbers)
            delivery = Delivery(account, numbers, _payload(account, numbers, self.seed))
            self.sent.append(delivery)
            await self._deliver(http, delivery)
            done.append(delivery)
            if generator.random() < 0.1:
                await self._deliver(http, generator.choice(done[-5:]))
            if generator.random() < 0.05:
                forged = Delivery(account, (_FORGED + number,), _payload(account, (_FORGED + number,), self.seed))
                self.forged.append(forged)
                await self._post(http, forged, self.secret[::-1])

    async def _deliver(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        """Send until it is answered 200, as Meta does (only sooner)."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while await self._post(http, delivery, self.secret) != "200":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{delivery.account} {delivery.numbers}: {Counter(delivery.answers)}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _post(self, http: httpx.AsyncClient, delivery: Delivery, secret: str) -> str:
        signature = hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        try:
            answer = await http.post(f"/webhooks/meta/{self.app}", content=delivery.body, headers=headers)
        except httpx.HTTPError as error:
            delivery.answers.append(type(error).__name__)
        else:
            delivery.answers.append(str(answer.status_code))
        return delivery.answers[-1]

    def answers(self) -> Counter[str]:
        """How often each answer was given."""
        return Counter(answer for delivery in self.sent for answer in delivery.answers)


def _payload(account: str, numbers: Sequence[int], seed: int) -> bytes:
    changes = [
        {
            "field": "feed",
            "value": {
                "item": "comment",
                "verb": "add",
                "post_id": f"{account}_1",
                "comment_id": f"{account}_{seed}{number:08d}",
                "created_time": 1_760_000_000 + number,
                "from": {"id": "77", "name": "Somebody"},
                "message": str(number),
            },
        }
        for number in numbers
    ]
    return json.dumps(
        {"object": "page", "entry": [{"id": account, "time": 1_760_000_000, "changes": changes}]}
    ).encode()


@dataclass(slots=True)
class Connections:
    """Connections that are made and changed meanwhile: each gets a few newer tokens, every third is disconnected."""

    organizations: Sequence[Organization]
    token: dict[str, Any]
    count: int
    seed: int
    made: dict[str, str] = field(default_factory=dict)
    """Connection -> its organization."""
    disconnected: set[str] = field(default_factory=set)

    async def run(self, urls: dict[str, str], seconds: float) -> None:
        """Make and change them, spread over the time; return when all of it is answered."""
        async with asyncio.TaskGroup() as lanes:
            for number in range(self.count):
                organization = self.organizations[number % len(self.organizations)]
                lanes.create_task(self._lane(number, urls, organization, seconds * number / self.count))

    async def _lane(self, number: int, urls: dict[str, str], organization: Organization, wait_seconds: float) -> None:
        await asyncio.sleep(wait_seconds)
        body = {"platform": "meta", "name": f"survival {number}", "app_id": self.token["app"]}
        body["access_token"] = self.token["access_token"]
        async with Client(urls, organization.key) as client:
            path = "/v1/connections"
            key = f"survival-{self.seed}-{number}"
            answer = await client.ask("asset_sync", "POST", path, body=body, idempotency_key=key)
            path = f"{path}/{answer['id']}"
            self.made[answer["id"]] = organization.org_id
            for _ in range(3):
                await client.ask("asset_sync", "POST", f"{path}/token", body={"access_token": body["access_token"]})
            if number % 3 == 0:
                await client.ask("asset_sync", "DELETE", path)
                self.disconnected.add(answer["id"])
