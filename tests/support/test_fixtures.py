"""The shared fixtures themselves."""

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from valkey.asyncio import Valkey

from tests.support.databases import Databases, ServiceDatabase, TestDatabase, dsn_to
from tests.support.topics import Topics


@pytest.mark.db
async def test_two_databases_of_one_template_do_not_see_each_other(databases: Databases) -> None:
    first, second = await databases.create(), await databases.create()
    connection = await asyncpg.connect(dsn_to(first.admin_dsn, first.name))
    await connection.execute("CREATE TABLE public.only_here (id int)")
    await connection.close()
    other = await asyncpg.connect(dsn_to(second.admin_dsn, second.name))
    assert await other.fetchval("SELECT to_regclass('public.only_here')") is None
    await other.close()
    await databases.drop(first)
    await databases.drop(second)


@pytest.mark.db
async def test_a_role_enters_its_own_schema(empty_database: TestDatabase) -> None:
    connection = await asyncpg.connect(empty_database.dsn("batcher", "owner"))
    assert await connection.fetchval("SELECT current_schema()") == "batching"
    await connection.close()


@pytest.mark.db
async def test_a_service_database_is_migrated(ingest_database: ServiceDatabase) -> None:
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    assert await connection.fetchval("SELECT count(*) FROM schema_migrations") > 0
    await connection.close()


@pytest.mark.kafka
async def test_a_new_topic_takes_and_gives_a_record(topics: Topics) -> None:
    topic = await topics.create(partitions=3)
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        await producer.send_and_wait(topic, b"value", partition=2)
    async with AIOKafkaConsumer(topic, bootstrap_servers=topics.bootstrap, auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()
    assert (record.partition, record.value) == (2, b"value")


@pytest.mark.db
async def test_valkey_is_empty_at_first(valkey_url: str) -> None:
    async with Valkey.from_url(valkey_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "over")
