"""Three Kafka nodes as one cluster: what was acknowledged by two of them outlives the one that led."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.events.topics import TOPICS
from libs.messaging.admin import apply_topics, compare_topics
from libs.messaging.settings import KafkaSettings
from tests.support.cluster import Cluster
from tests.support.servers import own_folder

pytestmark = pytest.mark.e2e

_TOPIC = TOPICS[0].name


@pytest.fixture(scope="module")
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster(own_folder("three"), brokers=3)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_applied_topics_have_three_copies_and_are_written_to_two_before_they_are_acknowledged(
    cluster: Cluster,
) -> None:
    kafka = KafkaSettings(bootstrap_servers=cluster.kafka_bootstrap, replication_factor=3)
    assert {item.what for item in await apply_topics(kafka)} == {"topic"}
    assert await compare_topics(kafka) == []
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.kafka_bootstrap)
    await admin.start()
    (described,) = await admin.describe_topics([_TOPIC])
    assert {len(part["replicas"]) for part in described["partitions"]} == {3}
    assert {part["leader"] for part in described["partitions"]} == {1, 2, 3}
    asked = ConfigResource(ConfigResourceType.TOPIC, _TOPIC, {"min.insync.replicas": ""})
    (answer,) = await admin.describe_configs([asked])
    assert answer.to_object()["resources"][0]["config_entries"][0]["config_value"] == "2"
    await admin.close()


async def test_every_broker_knows_a_topic_once_it_is_applied(cluster: Cluster) -> None:
    """Each question goes to whichever broker; where only one of them knew, most rounds had a wrong answer."""
    kafka = KafkaSettings(bootstrap_servers=cluster.kafka_bootstrap, replication_factor=3)
    for number in range(5):
        topics = [replace(topic, name=f"{topic.name}.{number}") for topic in TOPICS[:3]]
        assert len(await apply_topics(kafka, topics)) == 3
        assert [await compare_topics(kafka, topics) for _ in range(3)] == [[], [], []]


async def test_records_outlive_the_broker_that_led_their_partition_and_it_comes_back(cluster: Cluster) -> None:
    await apply_topics(KafkaSettings(bootstrap_servers=cluster.kafka_bootstrap, replication_factor=3))
    place = TopicPartition(_TOPIC, 0)
    async with AIOKafkaConsumer(bootstrap_servers=cluster.kafka_bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([place])
        led = consumer._client.cluster.leader_for_partition(place) or 1
        async with AIOKafkaProducer(bootstrap_servers=cluster.kafka_bootstrap, acks="all") as producer:
            await producer.send_and_wait(_TOPIC, b"before", partition=0)
            await cluster.kill(f"kafka-{led}")
            await producer.send_and_wait(_TOPIC, b"while it is away", partition=0)
            await cluster.restart(f"kafka-{led}")
            await producer.send_and_wait(_TOPIC, b"after", partition=0)
        values = [(await consumer.getone()).value for _ in range(3)]
    assert values == [b"before", b"while it is away", b"after"]


async def test_clients_of_the_second_listener_are_sent_to_the_proxies(cluster: Cluster) -> None:
    ways = [f"127.0.0.1:{proxy.port}" for proxy in cluster.to_broker.values()]
    admin = AIOKafkaAdminClient(bootstrap_servers=ways)
    await admin.start()
    brokers = (await admin.describe_cluster())["brokers"]
    await admin.close()
    assert sorted(f"{broker['host']}:{broker['port']}" for broker in brokers) == sorted(ways)
