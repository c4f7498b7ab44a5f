"""What an answer may cost: counted while it streams, after decompression."""

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from libs.http.limits import CappedTransport, EncodingRefused, ResponseTooLarge


class Chunks(httpx.AsyncByteStream):
    """A body that comes in pieces, without a length; remembers how much of it was taken."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def client(body: Chunks, limit: int, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    inner = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers or {}, stream=body))
    return httpx.AsyncClient(transport=CappedTransport(inner, max_response_bytes=limit))


async def test_an_answer_of_exactly_the_limit_passes() -> None:
    async with client(Chunks([b"a" * 60, b"b" * 40]), 100) as http:
        assert len((await http.get("https://x.example/")).content) == 100


async def test_an_answer_that_grows_past_the_limit_is_cut_while_streaming() -> None:
    body = Chunks([b"a" * 60] * 1_000)
    async with client(body, 100) as http:
        with pytest.raises(ResponseTooLarge):
            await http.get("https://x.example/")
    assert body.taken == 2
    assert body.closed


async def test_an_announced_length_over_the_limit_is_refused_unread() -> None:
    body = Chunks([b"a"])
    async with client(body, 100, {"content-length": "101"}) as http:
        with pytest.raises(ResponseTooLarge):
            await http.get("https://x.example/")
    assert body.taken == 0
    assert body.closed


async def test_a_gzipped_answer_comes_out_decompressed() -> None:
    packed = gzip.compress(b'{"a": 1}' * 50)
    async with client(Chunks([packed[:7], packed[7:]]), 1_000, {"content-encoding": "gzip"}) as http:
        answer = await http.get("https://x.example/")
    assert answer.content == b'{"a": 1}' * 50
    assert "content-encoding" not in answer.headers


async def test_a_small_gzip_that_swells_is_cut_at_the_limit() -> None:
    bomb = Chunks([gzip.compress(b"\0" * 50_000_000)])
    async with client(bomb, 10_000, {"content-encoding": "gzip"}) as http:
        with pytest.raises(ResponseTooLarge):
            await http.get("https://x.example/")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
async def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    async with client(Chunks([b"x"]), 100, {"content-encoding": encoding}) as http:
        with pytest.raises(EncodingRefused):
            await http.get("https://x.example/")


async def test_broken_gzip_is_an_error_of_the_transport() -> None:
    async with client(Chunks([b"not gzip at all"]), 100, {"content-encoding": "gzip"}) as http:
        with pytest.raises(EncodingRefused):
            await http.get("https://x.example/")


async def test_too_many_headers_are_refused() -> None:
    headers = {f"x-{number}": "1" for number in range(300)}
    async with client(Chunks([b"x"]), 100, headers) as http:
        with pytest.raises(ResponseTooLarge):
            await http.get("https://x.example/")
