"""Settings of the way to Kafka."""

import pytest
from faststream.security import SASLScram512
from pydantic import ValidationError

from libs.messaging.settings import KafkaSettings


def test_a_list_of_servers_is_taken_apart() -> None:
    settings = KafkaSettings(bootstrap_servers="a:1, b:2,")
    assert settings.servers == ["a:1", "b:2"]
    assert settings.client_options("me")["bootstrap_servers"] == ["a:1", "b:2"]
    assert settings.faststream_security() is None


def test_sasl_without_a_password_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValidationError, match="KAFKA_SASL_MECHANISM"):
        KafkaSettings(bootstrap_servers="a:1", security_protocol="SASL_SSL", sasl_username="me")


def test_a_password_reaches_both_clients_and_no_text() -> None:
    settings = KafkaSettings(
        bootstrap_servers="a:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password="very-secret",
    )
    assert settings.client_options("me")["sasl_plain_password"] == "very-secret"
    security = settings.faststream_security()
    assert isinstance(security, SASLScram512)
    assert (security.username, security.password, security.use_ssl) == ("me", "very-secret", True)
    assert "very-secret" not in repr(settings)


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, 1), (2, 1), (3, 2)])
def test_one_broker_may_be_away_unless_it_is_said_otherwise(replicas: int, in_sync: int) -> None:
    settings = KafkaSettings(bootstrap_servers="a:1", replication_factor=replicas)
    assert settings.topic_min_insync_replicas == in_sync
    said = KafkaSettings(bootstrap_servers="a:1", replication_factor=replicas, min_insync_replicas=1)
    assert said.topic_min_insync_replicas == 1


def test_more_copies_than_there_are_brokers_to_keep_them_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing could be written"):
        KafkaSettings(bootstrap_servers="a:1", replication_factor=1, min_insync_replicas=2)
