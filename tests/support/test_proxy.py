"""The proxy that breaks the network of a test."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from deploy.local import ports
from tests.support.proxy import Proxy

pytestmark = pytest.mark.e2e
"""For the sockets alone; each takes milliseconds."""

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that sends back every line."""
    target = ports.choose()
    server = await asyncio.start_server(_echo, "127.0.0.1", target)
    made = Proxy(ports.choose([target]), target)
    made.start()
    yield made
    await made.close()
    server.close()
    await server.wait_closed()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def _open(proxy: Proxy) -> _Streams:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def _say(streams: _Streams, line: bytes) -> bytes:
    streams[1].write(line)
    return await asyncio.wait_for(streams[0].readline(), 5)


async def _shut(*all_streams: _Streams) -> None:
    for _, writer in all_streams:
        writer.transport.abort()


async def test_bytes_pass_both_ways_until_either_end_is_closed(proxy: Proxy) -> None:
    streams = await _open(proxy)
    assert await _say(streams, b"one\n") == b"one\n"
    streams[1].write(b"two\n")
    streams[1].write_eof()
    assert await streams[0].read() == b"two\n"
    await _shut(streams)


async def test_a_cut_resets_what_is_open_and_refuses_what_comes_until_it_heals(proxy: Proxy) -> None:
    streams = await _open(proxy)
    await _say(streams, b"one\n")
    await proxy.cut()
    with pytest.raises(ConnectionResetError):
        await streams[0].readline()
    with pytest.raises(ConnectionRefusedError):
        await _open(proxy)
    assert proxy.connections() == 0
    proxy.heal()
    again = await _open(proxy)
    assert await _say(again, b"two\n") == b"two\n"
    await _shut(streams, again)


async def test_a_black_hole_accepts_and_passes_nothing_until_it_heals_and_then_loses_nothing(proxy: Proxy) -> None:
    before = await _open(proxy)
    await _say(before, b"one\n")
    proxy.black_hole()
    during = await _open(proxy)
    waiting = [asyncio.create_task(_say(streams, b"two\n")) for streams in (before, during)]
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert not done
    proxy.heal()
    assert await asyncio.gather(*waiting) == [b"two\n", b"two\n"]
    await _shut(before, during)


async def test_a_slow_network_holds_each_piece(proxy: Proxy) -> None:
    streams = await _open(proxy)
    proxy.slow(0.1)
    began = time.monotonic()
    assert await _say(streams, b"one\n") == b"one\n"
    assert time.monotonic() - began >= 0.2
    await _shut(streams)


async def test_a_connection_whose_server_is_away_is_closed(proxy: Proxy) -> None:
    away = Proxy(ports.choose([proxy.port]), ports.choose([proxy.port]))
    away.start()
    streams = await _open(away)
    assert await asyncio.wait_for(streams[0].read(), 5) == b""
    await _shut(streams)
    await away.close()


async def test_who_knocks_in_the_moment_of_a_cut_is_not_left_standing(proxy: Proxy) -> None:
    """A connection that stayed open would fail some later test, by its warning."""
    over = asyncio.Event()

    async def knock() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                streams = await _open(proxy)
                streams[1].write(b"one\n")
                await _shut(streams)
            await asyncio.sleep(0)

    knocking = [asyncio.create_task(knock()) for _ in range(20)]
    for _ in range(50):
        await asyncio.sleep(0)
        await proxy.cut()
        proxy.heal()
    over.set()
    await asyncio.gather(*knocking)
