"""How to reach Kafka: one settings class for services, tools and tests."""

import ssl
from typing import Any, Literal

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSettings(BaseSettings):
    """Variables with the prefix `KAFKA_`; read once, by the composition root."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True, extra="ignore")

    bootstrap_servers: str
    """`host:port`, or several with commas between them."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: SaslMechanism | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: str | None = None
    """PEM bundle of the brokers' authority; None: the machine's own."""
    replication_factor: int = Field(default=3, ge=1, le=9)
    """Of topics that `platformbus topics apply` makes; 1 on a single node."""
    min_insync_replicas: int | None = Field(default=None, ge=1, le=9)
    """How many copies a record has before Kafka acknowledges it; None: all but one, so that one broker may be away."""
    request_timeout_ms: int = Field(default=10_000, ge=1_000, le=120_000)
    parked_max_attempts: int = Field(default=20, ge=1, le=1_000)
    """Replays of a parked key that may fail in a row before it waits for a person; 20 of them take about nine hours."""

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> "KafkaSettings":
        named = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if self.security_protocol.startswith("SASL_") and not all(named):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_MECHANISM, _USERNAME and _PASSWORD"
            )
        return self

    @model_validator(mode="after")
    def _a_broker_may_be_away(self) -> "KafkaSettings":
        if self.min_insync_replicas is not None and self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                f"KAFKA_MIN_INSYNC_REPLICAS={self.min_insync_replicas} is more than"
                f" KAFKA_REPLICATION_FACTOR={self.replication_factor}: nothing could be written"
            )
        return self

    @property
    def topic_min_insync_replicas(self) -> int:
        """The brokers' `min.insync.replicas` of our topics."""
        return self.min_insync_replicas or max(1, self.replication_factor - 1)

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers one by one: FastStream takes a string with commas for one host name."""
        return [server.strip() for server in self.bootstrap_servers.split(",") if server.strip()]

    def ssl_context(self) -> ssl.SSLContext | None:
        """Build the TLS context, or None when the protocol has no TLS."""
        if self.security_protocol not in {"SSL", "SASL_SSL"}:
            return None
        return ssl.create_default_context(cafile=self.ssl_ca_file)

    def client_options(self, client_id: str) -> dict[str, Any]:
        """Give what every aiokafka client of ours is built with."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.servers,
            "client_id": client_id,
            "request_timeout_ms": self.request_timeout_ms,
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context(),
        }
        if self.sasl_mechanism and self.sasl_password:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        return options

    def faststream_security(self) -> BaseSecurity | None:
        """Give the same security in FastStream's words, or None for a plain connection."""
        context = self.ssl_context()
        if self.sasl_mechanism and self.sasl_username and self.sasl_password:
            kind = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
            return kind[self.sasl_mechanism](
                username=self.sasl_username,
                password=self.sasl_password.get_secret_value(),
                ssl_context=context,
                use_ssl=context is not None,
            )
        return BaseSecurity(ssl_context=context, use_ssl=True) if context else None
