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
