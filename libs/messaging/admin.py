"""Makes a broker's topics agree with their declaration, and says where they do not.

Nothing is deleted, and partitions are added only when it is asked for by name: a key would move to another partition
and lose its order. Settings that the declaration does not speak of are left as an operator made them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from libs.events.topics import TOPICS, Topic
from libs.messaging.settings import KafkaSettings

_SET_ON_TOPIC: Final = 1
"""`config_source` of a setting that was given to this topic. Source: Kafka 4.3 protocol, DescribeConfigs."""
_APPEAR_SECONDS: Final = 15.0


class TopicsRefused(Exception):  # noqa: N818
    """The broker refused a change; the text names the topic and the broker's reason."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a broker differs from the declaration."""

    topic: str
    what: str
    """`topic` when it is missing, `partitions`, `replicas`, or the name of a setting."""
    declared: str
    actual: str | None
    mended_by: Literal["apply", "hand"]
    """`hand`: more partitions move keys, fewer cannot be had, copies need Kafka's own tool; somebody decides."""


async def compare_topics(kafka: KafkaSettings, topics: Sequence[Topic] = TOPICS) -> list[Difference]:
    """Return every difference between a broker and the declaration; changes nothing. Raises: KafkaError."""
    async with _brokers(kafka) as brokers:
        return await _compare(brokers, brokers.get_random_node(), kafka, topics)


async def apply_topics(
    kafka: KafkaSettings, topics: Sequence[Topic] = TOPICS, *, grow: Sequence[str] = ()
) -> list[Difference]:
    """Create missing topics and set what differs; return what was changed, and what is left for a hand.

    Returns when every broker shows it. `grow` names topics that shall get their missing partitions although their keys
    will move: drain them first. Safe to run twice at once. Raises: TopicsRefused; KafkaError.
    """
    async with _brokers(kafka) as brokers, _admin(kafka) as admin:
        node = brokers.get_random_node()
        differences = await _compare(brokers, node, kafka, topics)
        declared = {topic.name: topic for topic in topics}
        missing = [declared[item.topic] for item in differences if item.what == "topic"]
        if missing:
            await _create(admin, brokers, kafka, missing)
        altered = {item.topic for item in differences if item.mended_by == "apply" and item.what != "topic"}
        if altered:
            await _alter(admin, brokers, node, kafka, [declared[name] for name in sorted(altered)])
        for item in differences:
            if item.what == "partitions" and item.topic in grow and int(item.declared) > int(item.actual or 0):
                await _grow(admin, brokers, kafka, declared[item.topic])
        return differences


@asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[Any]:
    """Open what changes things: the controller gets it, whichever broker is told."""
    client = AIOKafkaAdminClient(**kafka.client_options("platformbus-topics"))
    try:
        await client.start()
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def _brokers(kafka: KafkaSettings) -> AsyncIterator[Any]:
    """Open what reads: the admin client asks any broker for each answer, and two of them may not know the same yet."""
    client = AIOKafkaClient(**kafka.client_options("platformbus-topics"))
    try:
        await client.bootstrap()
        yield client
    finally:
        await client.close()


def _config(topic: Topic, kafka: KafkaSettings) -> dict[str, str]:
    """What the declaration says of every broker, and what the settings say of these."""
    return topic.config() | {"min.insync.replicas": str(kafka.topic_min_insync_replicas)}


async def _compare(brokers: Any, node: int, kafka: KafkaSettings, topics: Sequence[Topic]) -> list[Difference]:
    settings = await _settings(brokers, node, [topic.name for topic in topics])
    present = {name: parts for name, parts in (await _partitions(brokers, node)).items() if name in settings}
    differences = []
    for topic in topics:
        if topic.name not in present:
            differences.append(Difference(topic.name, "topic", f"{topic.partitions} partitions", None, "apply"))
            continue
        partitions = len(present[topic.name])
        if partitions != topic.partitions:
            differences.append(
                Difference(topic.name, "partitions", str(topic.partitions), str(partitions), mended_by="hand")
            )
        replicas = min((len(part["replicas"]) for part in present[topic.name]), default=0)
        if replicas < kafka.replication_factor:
            differences.append(
                Difference(topic.name, "replicas", str(kafka.replication_factor), str(replicas), mended_by="hand")
            )
        actual = settings[topic.name]
        for name, value in _config(topic, kafka).items():
            if name not in actual or actual[name][0] != value:
                differences.append(
                    Difference(topic.name, name, value, actual.get(name, (None, 0))[0], mended_by="apply")
                )
    return differences


async def _partitions(brokers: Any, node: int) -> dict[str, list[dict[str, Any]]]:
    """Partitions of each topic that a broker knows."""
    answer = await brokers.send(node, MetadataRequest())
    return {item["topic"]: item["partitions"] for item in answer.to_object()["topics"] if not item["error_code"]}


async def _settings(brokers: Any, node: int, names: Sequence[str]) -> dict[str, dict[str, tuple[str | None, int]]]:
    """Settings of those topics that a broker knows: name -> (value, where it was given)."""
    resources = [(ConfigResourceType.TOPIC, name, None) for name in names]
    answer = await brokers.send(node, DescribeConfigsRequest(resources))
    found = {}
    for resource in answer.to_object()["resources"]:
        if for_code(resource["error_code"]) is UnknownTopicOrPartitionError:
            continue
        _check(resource["error_code"], resource["resource_name"], resource["error_message"])
        found[resource["resource_name"]] = {
            entry["config_names"]: (entry["config_value"], entry["config_source"])
            for entry in resource["config_entries"]
        }
    return found


async def _create(admin: Any, brokers: Any, kafka: KafkaSettings, topics: Sequence[Topic]) -> None:
    response = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, kafka.replication_factor, topic_configs=_config(topic, kafka))
            for topic in topics
        ]
    )
    for error in response.to_object()["topic_errors"]:
        if for_code(error["error_code"]) is not TopicAlreadyExistsError:
            _check(error["error_code"], error["topic"], error["error_message"])

    async def is_led(node: int) -> bool:
        """A topic some milliseconds old refuses its first writers: it has no leader yet."""
        if any(item.what == "topic" for item in await _compare(brokers, node, kafka, topics)):
            return False
        partitions = await _partitions(brokers, node)
        return all(
            name in partitions and all(part["leader"] >= 0 for part in partitions[name])
            for name in (topic.name for topic in topics)
        )

    await _until_every_broker(brokers, is_led, "shows the new topics")


async def _alter(admin: Any, brokers: Any, node: int, kafka: KafkaSettings, topics: Sequence[Topic]) -> None:
    # The request replaces all settings of a topic, so those that an operator gave it go along.
    settings = await _settings(brokers, node, [topic.name for topic in topics])
    resources = []
    for topic in topics:
        given = {
            name: value
            for name, (value, source) in settings[topic.name].items()
            if source == _SET_ON_TOPIC and value is not None
        }
        resources.append(ConfigResource(ConfigResourceType.TOPIC, topic.name, given | _config(topic, kafka)))
    for response in await admin.alter_configs(resources):
        for resource in response.to_object()["resources"]:
            _check(resource["error_code"], resource["resource_name"], resource["error_message"])

    async def is_set(node: int) -> bool:
        return all(item.mended_by != "apply" for item in await _compare(brokers, node, kafka, topics))

    await _until_every_broker(brokers, is_set, "shows the new settings")


async def _grow(admin: Any, brokers: Any, kafka: KafkaSettings, topic: Topic) -> None:
    response = await admin.create_partitions({topic.name: NewPartitions(topic.partitions)})
    for error in response.to_object()["topic_errors"]:
        _check(error["error_code"], topic.name, error["error_message"])

    async def has_grown(node: int) -> bool:
        return all(item.what != "partitions" for item in await _compare(brokers, node, kafka, [topic]))

    await _until_every_broker(brokers, has_grown, "shows the new partitions")


async def _until_every_broker(brokers: Any, shows: Callable[[int], Awaitable[bool]], what: str) -> None:
    """Wait for all of them: each learns of what the controller did in its own time, and clients ask whichever.

    Raises: TopicsRefused when one does not in 15 s; what was changed stays.
    """
    try:
        async with asyncio.timeout(_APPEAR_SECONDS):
            while True:
                if await _every(brokers, shows):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise TopicsRefused(
            f"not every broker {what} after {_APPEAR_SECONDS:g} s: see that all are well, then do it again"
        ) from error


async def _every(brokers: Any, shows: Callable[[int], Awaitable[bool]]) -> bool:
    try:
        if not await brokers.force_metadata_update():  # a broker that went away leaves the list
            return False
        return all([await shows(broker.nodeId) for broker in brokers.cluster.brokers()])
    except KafkaError:  # one of them is going or coming
        return False


def _check(code: int, topic: str, message: str | None) -> None:
    error = for_code(code)
    if code:
        name = error.__name__ if issubclass(error, KafkaError) else str(error)
        raise TopicsRefused(f"topic {topic}: {name}: {message or 'the broker gave no reason'}")
