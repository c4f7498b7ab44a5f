"""The relay's producer while a broker takes connections and says nothing."""

from collections.abc import AsyncIterator

import pytest
from aiokafka.errors import KafkaError

from libs.messaging.admin import apply_topics
from libs.messaging.relay.producer import BatchProducer
from libs.messaging.settings import KafkaSettings
from tests.support.cluster import Cluster
from tests.support.servers import own_folder
from tests.support.until import until

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster(own_folder("silence"))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_a_topic_is_not_taken_for_missing_because_the_broker_is_silent(cluster: Cluster) -> None:
    """Its events would be left alone for ten seconds, and somebody sent to make a topic that is there."""
    await apply_topics(KafkaSettings(bootstrap_servers=cluster.kafka_bootstrap, replication_factor=1))
    (way,) = cluster.to_broker.values()
    producer = BatchProducer(KafkaSettings(bootstrap_servers=f"127.0.0.1:{way.port}", replication_factor=1), "test")
    await producer.start()
    try:
        way.black_hole()
        with pytest.raises(KafkaError, match="no broker says"):
            await producer.partitions(["requests", "perhaps"])
        way.heal()

        async def answers() -> bool:
            try:
                return await producer.partitions(["requests", "perhaps"]) == {"requests": 12}
            except KafkaError:
                return False  # it has not come to answer yet

        await until(answers, "the broker to say what there is")
    finally:
        await producer.stop()
