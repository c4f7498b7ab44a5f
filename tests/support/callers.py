"""Those who call platformbus while it is being broken, each with its own history of what it asked and was answered.

Each history is in lanes: what belongs to one key is sent in order, the next only when the one before was answered.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.support.traffic import Ask, Client, Organization, send_by_http, send_by_kafka


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
