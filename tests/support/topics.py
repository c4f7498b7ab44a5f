"""Kafka topics of a test's own."""

import uuid
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic


class Topics:
    """Makes topics with names that no other test uses, and deletes them again."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._made: list[str] = []

    async def create(self, name: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Make `<name>.<random>` and return that name once every partition has a leader."""
        full = f"{name}.{uuid.uuid4().hex[:12]}"
        async with _Admin(self.bootstrap) as admin:
            await admin.create_topics([NewTopic(full, partitions, 1, topic_configs=dict(config or {}))])
            self._made.append(full)
            while not _has_leaders(await admin.describe_topics([full]), partitions):
                pass
        return full

    async def close(self) -> None:
        """Delete every topic that was made here."""
        if self._made:
            async with _Admin(self.bootstrap) as admin:
                await admin.delete_topics(self._made)
            self._made.clear()


class _Admin:
    """An admin client for the length of a block."""

    def __init__(self, bootstrap: str) -> None:
        self._client: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self) -> Any:
        await self._client.start()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


def _has_leaders(described: list[dict[str, Any]], partitions: int) -> bool:
    found = described[0]["partitions"] if described else []
    return len(found) == partitions and all(partition["leader"] >= 0 for partition in found)
