"""Caps what an answer may cost in memory: counted while it arrives, after decompression."""

import zlib
from collections.abc import AsyncIterator

import httpx

MAX_HEADERS = 200
_PIECE_BYTES = 65_536
_GZIP_WINDOW = zlib.MAX_WBITS | 16


class ResponseTooLarge(httpx.TransportError):
    """The answer is longer than this client takes; the rest was not read."""


class EncodingRefused(httpx.TransportError):
    """The answer is compressed in a way that was not asked for, or its compression is broken."""


class CappedTransport(httpx.AsyncBaseTransport):
    """Wraps a transport; answers come out decompressed and at most `max_response_bytes` long."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, max_response_bytes: int) -> None:
        self._inner = inner
        self._max = max_response_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        try:
            return self._capped(request, response)
        except BaseException:
            await response.aclose()
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _capped(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if len(response.headers) > MAX_HEADERS:
            raise ResponseTooLarge(f"more than {MAX_HEADERS} headers", request=request)
        length = response.headers.get("content-length", "")
        if request.method != "HEAD" and length.isdigit() and int(length) > self._max:
            raise ResponseTooLarge(f"{int(length)} bytes announced, {self._max} taken", request=request)
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            raise EncodingRefused(f"content-encoding {encoding[:40]!r} was not asked for", request=request)
        headers = response.headers.copy()
        if encoding == "gzip":
            # httpx would decompress after us, without a cap.
            del headers["content-encoding"]
            headers.pop("content-length", None)
        return httpx.Response(
            response.status_code,
            headers=headers,
            stream=_CappedStream(response, request, self._max, gzip=encoding == "gzip"),
            extensions=response.extensions,
        )


class _CappedStream(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, request: httpx.Request, limit: int, *, gzip: bool) -> None:
        self._response = response
        self._request = request
        self._limit = limit
        self._gunzip = zlib.decompressobj(_GZIP_WINDOW) if gzip else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, httpx.AsyncByteStream)
        size = 0
        async for raw in self._response.stream:
            for piece in self._pieces(raw):
                size += len(piece)
                if size > self._limit:
                    raise ResponseTooLarge(f"longer than {self._limit} bytes", request=self._request)
                yield piece

    async def aclose(self) -> None:
        await self._response.aclose()

    def _pieces(self, raw: bytes) -> list[bytes]:
        """At most one byte more than the cap comes out of one chunk, however much it would swell to."""
        if self._gunzip is None:
            return [raw]
        pieces: list[bytes] = []
        room = self._limit + 1
        try:
            while raw and room > 0:
                piece = self._gunzip.decompress(raw, min(room, _PIECE_BYTES))
                raw = self._gunzip.unconsumed_tail
                room -= len(piece)
                if piece:
                    pieces.append(piece)
        except zlib.error:
            raise EncodingRefused("the gzip stream is broken", request=self._request) from None
        return pieces
