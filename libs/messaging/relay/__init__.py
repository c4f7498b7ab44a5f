"""From the outbox to Kafka, each key in order, nothing lost: `Relay`."""

from libs.messaging.relay.options import RelayOptions
from libs.messaging.relay.relay import Relay

__all__ = ["Relay", "RelayOptions"]
