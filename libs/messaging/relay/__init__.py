"""From the outbox to Kafka, each key in order, nothing lost: `Relay`."""

from libs.messaging.relay.relay import Relay, RelayOptions

__all__ = ["Relay", "RelayOptions"]
