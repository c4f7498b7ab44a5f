"""A closed transport under uvloop: what aiokafka gets to know of it."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from libs.messaging.kafka_connections import mend_broken_connections


@pytest.fixture
def unmended() -> Iterator[None]:
    """Leave aiokafka as it was found."""
    before = AIOKafkaConnection.send
    AIOKafkaConnection.send = getattr(before, "__wrapped__", before)
    yield
    AIOKafkaConnection.send = before


async def _write_on_a_closed_transport() -> AIOKafkaConnection:
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        connection = AIOKafkaConnection(host, port)
        connection._reader, connection._writer = await asyncio.open_connection(host, port)
        connection._read_task = asyncio.create_task(asyncio.Event().wait())
        connection._versions = {MetadataRequest.API_KEY: (0, 1)}
        connection._writer.transport.abort()
        await asyncio.sleep(0)  # the transport closes in the loop's next turn
        with pytest.raises(KafkaConnectionError, match=f"{host}:{port} broken"):
            connection.send(MetadataRequest([]))
        return connection


def test_a_write_on_a_closed_transport_is_a_broken_connection(unmended: None) -> None:
    mend_broken_connections()
    mend_broken_connections()
    assert not uvloop.run(_write_on_a_closed_transport()).connected()


def test_without_it_uvloop_raises_what_aiokafka_does_not_know(unmended: None) -> None:
    with pytest.raises(RuntimeError, match="the handler is closed") as raised:
        uvloop.run(_write_on_a_closed_transport())
    assert not isinstance(raised.value, KafkaConnectionError)
