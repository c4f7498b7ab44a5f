"""One consumer, until SIGTERM: `tests.support.parking_process DSN BOOTSTRAP TOPIC GROUP FAIL_SHARE SEED MOMENT`.

A share of the records fails some times before it succeeds. With a moment, e.g. `after COMMIT PARK`, the process ends
itself there as SIGKILL would: before or after the first run of a statement of parking, or the commit of a transaction
that ran it.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from libs.events.requests import RequestSubmitted
from libs.messaging.consumer import Consumer
from libs.messaging.messages import Message, Route
from libs.messaging.parked import store
from libs.postgres import Connection, Database
from tests.support.bus import declare, kafka_settings, lookup
from tests.support.parking import QUICK, Troubles

STATEMENTS = {value: name for name, value in vars(store).items() if name.isupper() and isinstance(value, str)}


class Doomed(Database):
    """Ends its process at a moment."""

    def __init__(self, database: Database, moment: str) -> None:
        vars(self).update(vars(database))
        self._moment = moment

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        async with super().acquire() as connection:
            yield cast("Connection", _Watched(connection, self._moment))


class _Watched:
    """A connection that knows which statements of parking its transaction ran."""

    def __init__(self, connection: Connection, moment: str) -> None:
        self._connection = connection
        self._moment = moment
        self._ran: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval"):
            return method

        async def watched(query: str, *args: Any) -> Any:
            statement = STATEMENTS.get(query, "another")
            self._pass(f"before {statement}")
            result = await method(query, *args)
            self._ran.add(statement)
            self._pass(f"after {statement}")
            return result

        return watched

    @asynccontextmanager
    async def _whole(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield
            for statement in self._ran:
                self._pass(f"before COMMIT {statement}")
        for statement in self._ran:
            self._pass(f"after COMMIT {statement}")

    def transaction(self) -> Any:
        return self._connection.transaction() if self._connection.is_in_transaction() else self._whole()

    def _pass(self, moment: str) -> None:
        if moment == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(dsn: str, bootstrap: str, topic: str, group_id: str, fail_share: str, seed: str, moment: str) -> None:
    troubles = Troubles(random.Random(int(seed)), float(fail_share))

    async def handle(conn: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            what = cast("RequestSubmitted", message.data).payload["what"]
            if troubles(message.key, what):
                raise ValueError(f"{what} fails")
            await conn.execute(
                "INSERT INTO applied (topic, key, what) VALUES ($1, $2, $3)", message.topic, message.key, what
            )

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = await Database.connect(dsn, role="worker", application_name="parking process")
    declared = declare(topic, "command", RequestSubmitted)
    consumer = Consumer(
        service="ingest",
        database=Doomed(database, moment) if moment else database,
        # An attempt that was killed counts too, and a key that was given up waits for a person: here is none.
        kafka=kafka_settings(bootstrap).model_copy(update={"parked_max_attempts": 1_000}),
        routes=[Route(topic, (RequestSubmitted,), handle)],
        group_id=group_id,
        declarations=lookup(declared),
        options=replace(QUICK, max_records=40, replay=replace(QUICK.replay, records=3, lease_seconds=0.5)),
    )
    await consumer.run(stop)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
