"""Makes a broker's topics agree with their declaration, and says where they do not.

Nothing is deleted, and partitions are added only when it is asked for by name: a key would move to another partition
and lose its order. Settings that the declaration does not speak of are left as an operator made them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

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
    """Return every difference between the broker and the declaration; changes nothing. Raises: KafkaError."""
    async with _client(kafka) as client:
        return await _compare(client, kafka, topics)


async def apply_topics(
    kafka: KafkaSettings, topics: Sequence[Topic] = TOPICS, *, grow: Sequence[str] = ()
) -> list[Difference]:
    """Create missing topics and set what differs; return what was changed, and what is left for a hand.

    `grow` names topics that shall get their missing partitions although their keys will move: drain them first.
    Safe to run twice at once. Raises: TopicsRefused; KafkaError.
    """
    async with _client(kafka) as client:
        differences = await _compare(client, kafka, topics)
        declared = {topic.name: topic for topic in topics}
        missing = [declared[item.topic] for item in differences if item.what == "topic"]
        if missing:
            await _create(client, kafka, missing)
        altered = {item.topic for item in differences if item.mended_by == "apply" and item.what != "topic"}
        if altered:
            await _alter(client, kafka, [declared[name] for name in sorted(altered)])
        for item in differences:
            if item.what == "partitions" and item.topic in grow and int(item.declared) > int(item.actual or 0):
                await _grow(client, kafka, declared[item.topic])
        return differences


@asynccontextmanager
async def _client(kafka: KafkaSettings) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(**kafka.client_options("platformbus-topics"))
    try:
        await client.start()
        yield client
    finally:
        await client.close()


def _config(topic: Topic, kafka: KafkaSettings) -> dict[str, str]:
    """What the declaration says of every broker, and what the settings say of these."""
    return topic.config() | {"min.insync.replicas": str(kafka.topic_min_insync_replicas)}


async def _compare(client: Any, kafka: KafkaSettings, topics: Sequence[Topic]) -> list[Difference]:
    present = {item["topic"]: item for item in await client.describe_topics() if not item["error_code"]}
    settings = await _settings(client, [topic.name for topic in topics if topic.name in present])
    differences = []
    for topic in topics:
        if topic.name not in present:
            differences.append(Difference(topic.name, "topic", f"{topic.partitions} partitions", None, "apply"))
            continue
        partitions = len(present[topic.name]["partitions"])
        if partitions != topic.partitions:
            differences.append(
                Difference(topic.name, "partitions", str(topic.partitions), str(partitions), mended_by="hand")
            )
        replicas = min((len(part["replicas"]) for part in present[topic.name]["partitions"]), default=0)
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


async def _settings(client: Any, names: Sequence[str]) -> dict[str, dict[str, tuple[str | None, int]]]:
    """Settings of topics: name -> (value, where it was given)."""
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found = {}
    for response in await client.describe_configs(resources):
        for resource in response.to_object()["resources"]:
            _check(resource["error_code"], resource["resource_name"], resource["error_message"])
            found[resource["resource_name"]] = {
                entry["config_names"]: (entry["config_value"], entry["config_source"])
                for entry in resource["config_entries"]
            }
    return found


async def _create(client: Any, kafka: KafkaSettings, topics: Sequence[Topic]) -> None:
    response = await client.create_topics(
        [
            NewTopic(topic.name, topic.partitions, kafka.replication_factor, topic_configs=_config(topic, kafka))
            for topic in topics
        ]
    )
    for error in response.to_object()["topic_errors"]:
        if for_code(error["error_code"]) is not TopicAlreadyExistsError:
            _check(error["error_code"], error["topic"], error["error_message"])
    await _await_leaders(client, {topic.name for topic in topics})


async def _await_leaders(client: Any, names: set[str]) -> None:
    """Wait until every partition has a leader: a topic some milliseconds old refuses its first writers."""
    async with asyncio.timeout(_APPEAR_SECONDS):
        while True:
            known = {item["topic"]: item for item in await client.describe_topics(sorted(names))}
            parts = [part for item in known.values() for part in item["partitions"]]
            ready = all(not item["error_code"] and item["partitions"] for item in known.values())
            if known.keys() == names and ready and all(part["leader"] >= 0 for part in parts):
                return
            await asyncio.sleep(0.05)


async def _alter(client: Any, kafka: KafkaSettings, topics: Sequence[Topic]) -> None:
    # The request replaces all settings of a topic, so those that an operator gave it go along.
    settings = await _settings(client, [topic.name for topic in topics])
    resources = []
    for topic in topics:
        given = {
            name: value
            for name, (value, source) in settings[topic.name].items()
            if source == _SET_ON_TOPIC and value is not None
        }
        resources.append(ConfigResource(ConfigResourceType.TOPIC, topic.name, given | _config(topic, kafka)))
    for response in await client.alter_configs(resources):
        for resource in response.to_object()["resources"]:
            _check(resource["error_code"], resource["resource_name"], resource["error_message"])
    await _await_agreement(client, kafka, topics, lambda item: item.mended_by == "apply")


async def _grow(client: Any, kafka: KafkaSettings, topic: Topic) -> None:
    response = await client.create_partitions({topic.name: NewPartitions(topic.partitions)})
    for error in response.to_object()["topic_errors"]:
        _check(error["error_code"], topic.name, error["error_message"])
    await _await_agreement(client, kafka, [topic], lambda item: item.what == "partitions")


async def _await_agreement(
    client: Any, kafka: KafkaSettings, topics: Sequence[Topic], which: Callable[[Difference], bool]
) -> None:
    """Wait until brokers show the change: they learn of what the controller did a moment later."""
    async with asyncio.timeout(_APPEAR_SECONDS):
        while True:
            if not any(which(item) for item in await _compare(client, kafka, topics)):
                return
            await asyncio.sleep(0.05)


def _check(code: int, topic: str, message: str | None) -> None:
    error = for_code(code)
    if code:
        name = error.__name__ if issubclass(error, KafkaError) else str(error)
        raise TopicsRefused(f"topic {topic}: {name}: {message or 'the broker gave no reason'}")
