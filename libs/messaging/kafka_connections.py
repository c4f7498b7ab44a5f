"""A connection to a broker that broke under uvloop is a KafkaConnectionError, as aiokafka expects.

To write on a transport that is closed already is nothing to asyncio's own transports; uvloop's raise RuntimeError, and
aiokafka 0.14 knows OSError only. Its task that keeps the cluster's metadata then ends unseen, and everything that asks
for metadata waits for ever: cut off while it joined its group, a consumer never polled again (decision 0034).
"""

from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError


def mend_broken_connections() -> None:
    """Let every connection of this process name a closed transport so. Doing it again changes nothing."""
    send = AIOKafkaConnection.send
    if hasattr(send, "__wrapped__"):
        return

    @wraps(send)
    def send_or_break(self: Any, request: Any, expect_response: bool = True) -> Any:
        try:
            return send(self, request, expect_response)
        except KafkaError:  # a RuntimeError too
            raise
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            words = f"Connection at {self.host}:{self.port} broken: {error}"
            raise KafkaConnectionError(words) from error

    AIOKafkaConnection.send = send_or_break
