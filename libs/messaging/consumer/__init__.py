"""From Kafka to the tables of a service, each record once and each key in order: `Consumer`."""

from libs.messaging.consumer.consumer import Consumer
from libs.messaging.consumer.options import ConsumerOptions

__all__ = ["Consumer", "ConsumerOptions"]
