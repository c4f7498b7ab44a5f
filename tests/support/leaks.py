"""Hunts planted secrets: in which forms they could lie around, and every place where bytes of a run come to rest."""

import io
import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
from valkey.asyncio import Valkey

from libs.events.topics import TOPICS
from libs.postgres.schemas import SCHEMAS
from tests.support.bus import read_topic
from tests.support.databases import TestDatabase, dsn_to
from tests.support.servers import FOLDER


def forms(secret: bytes) -> frozenset[bytes]:
    """Give the ways in which a secret may be written: plain, quoted, hex, base64 at any place of a longer text."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    found |= {quote(secret, safe=safe).encode() for safe in ("", "/", "|")}
    for shift in range(3):
        # Of the encoded text only those characters that the secret alone decides, whatever stands around it.
        first, last = -(-shift * 8 // 6), (shift + len(secret)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            found.add(encode(b"\0" * shift + secret)[first:last])
    return frozenset(found)


@dataclass(slots=True)
class Hunt:
    """Secrets by name, and what they must not be found in."""

    secrets: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, bytes] = field(default_factory=dict)

    def plant(self, name: str, secret: str | bytes) -> None:
        """Hunt this too."""
        self.secrets[name] = secret.encode() if isinstance(secret, str) else secret

    def look_in(self, name: str, data: bytes) -> None:
        """Search this too."""
        self.places[name] = self.places.get(name, b"") + data

    def findings(self) -> list[str]:
        """Give `secret in place` for each one found."""
        needles = {name: forms(secret) for name, secret in self.secrets.items()}
        return sorted(
            f"{name} in {place}"
            for place, data in self.places.items()
            for name, texts in needles.items()
            if any(text in data for text in texts)
        )

    def places_of(self, text: str) -> set[str]:
        """Give the kinds of places (the word before the colon) that hold a text: proof that the hunt looks there."""
        return {place.split(":")[0] for place, data in self.places.items() if text.encode() in data}


class Recorder(httpx.AsyncClient):
    """A client that keeps every answer, whole, for the hunt."""

    def __init__(self, hunt: Hunt, key: str | None) -> None:
        async def keep(response: httpx.Response) -> None:
            body = await response.aread()
            head = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
            place = f"answer: {response.request.method} {response.url.path} {response.status_code}"
            hunt.look_in(place, head.encode() + b"\n" + body + b"\n")

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        super().__init__(trust_env=False, timeout=30, headers=headers, event_hooks={"response": [keep]})


def look_in_files(hunt: Hunt, kind: str, paths: Iterable[Path]) -> None:
    """Search files, each a place of its own."""
    for path in paths:
        hunt.look_in(f"{kind}: {path.name}", path.read_bytes())


def server_logs() -> Iterator[Path]:
    """The logs of this session's own Postgres, Kafka and Valkey."""
    for folder in FOLDER.glob(f"{os.getpid()}-*"):
        yield from folder.glob("logs/*.log")


async def look_in_tables(hunt: Hunt, database: TestDatabase) -> None:
    """Search every row of every table of every service as the superuser sees it, in the form that COPY BINARY gives."""
    connection = await asyncpg.connect(dsn_to(database.admin_dsn, database.name))
    try:
        tables = await connection.fetch(
            "SELECT nspname AS schemaname, relname AS tablename"
            " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE nspname = ANY($1::text[]) AND relkind IN ('r', 'm')",  # of partitioned tables the partitions
            list(SCHEMAS.values()),
        )
        for table in tables:
            data = io.BytesIO()
            await connection.copy_from_table(
                table["tablename"], schema_name=table["schemaname"], output=data, format="binary"
            )
            hunt.look_in(f"table: {table['schemaname']}.{table['tablename']}", data.getvalue())
    finally:
        await connection.close()


async def look_in_topics(hunt: Hunt, bootstrap: str) -> None:
    """Search every record of every topic: key, value, headers."""
    for topic in TOPICS:
        for record in await read_topic(bootstrap, topic.name):
            parts = [record.key or b"", record.value or b""]
            parts += [name.encode() + b": " + (value or b"") for name, value in record.headers]
            hunt.look_in(f"topic: {topic.name}", b"\n".join(parts) + b"\n")


async def look_in_valkey(hunt: Hunt, url: str) -> None:
    """Search every key and value of the limiter's books."""
    async with Valkey.from_url(url) as client:
        async for key in client.scan_iter():
            values = await client.hgetall(key) if await client.type(key) == b"hash" else await client.zrange(key, 0, -1)
            hunt.look_in("valkey: books", key + b" " + repr(values).encode() + b"\n")
