"""The only way out of the sandbox: HTTP to addresses of this machine or its private network, and to nothing else.

A subscriber is a literal loopback or private address, `localhost`, or a name without a dot (a neighbour in a network of
containers). Any other name is refused before it is looked up: even a question to a name server would leave the machine.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx

MAX_ANSWER_BYTES = 64 * 1024
MAX_CONNECTIONS = 50
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)


class NotAllowed(ValueError):  # noqa: N818  reads as the fact it reports
    """The address may lie outside: nothing was sent."""


class NotHeard(Exception):  # noqa: N818  reads as the fact it reports
    """No whole answer came: refused, cut, too late or too long."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a subscriber answered."""

    status: int
    body: bytes


class Outbound:
    """One HTTP client for the life of the process; redirects are never followed."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def get(self, url: str, params: Mapping[str, str], *, timeout_seconds: float) -> Heard:
        """Raises: NotAllowed, NotHeard."""
        check_address(url)
        separator = "&" if urlsplit(url).query else "?"
        return await self._send("GET", f"{url}{separator}{urlencode(params)}", {}, b"", timeout_seconds)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, timeout_seconds: float) -> Heard:
        """Raises: NotAllowed, NotHeard."""
        return await self._send("POST", url, headers, body, timeout_seconds)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Heard:
        host, netloc = check_address(url)
        try:
            async with asyncio.timeout(timeout_seconds):
                address = await _resolve(host)
                # The checked address is the one that is connected to: a name could be looked up differently again.
                request = self._opened().build_request(
                    method,
                    _with_address(url, address),
                    headers={**headers, "host": netloc},
                    content=body,
                    extensions={"sni_hostname": host},
                )
                return await self._heard(request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # TimeoutError is an OSError.
            raise NotHeard(type(error).__name__) from error

    async def _heard(self, request: httpx.Request) -> Heard:
        answer = await self._opened().send(request, stream=True)
        try:
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise NotHeard("answer over 64 KiB")
            return Heard(answer.status_code, body)
        finally:
            await answer.aclose()

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                # A subscriber under test has a certificate of its own making, if any.
                verify=False,  # noqa: S501
                trust_env=False,
                follow_redirects=False,
                timeout=None,  # noqa: S113  each call has a time-out as a whole
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            )
        return self._client


def check_address(url: str) -> tuple[str, str]:
    """Host and network location of an address that may be called. Raises: NotAllowed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise NotAllowed("this is no URL") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise NotAllowed("only http and https addresses are called")
    if "@" in parts.netloc:
        raise NotAllowed("an address with credentials is not called")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        if "." in host.removesuffix(".localhost") or host.isdigit() or host.startswith("0x"):
            raise NotAllowed(f"{host!r} may lie outside of this machine") from None
    else:
        _check_ip(literal)
    return host, parts.netloc


def _check_ip(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    plain = getattr(address, "ipv4_mapped", None) or address
    if not any(plain.version == network.version and plain in network for network in _PRIVATE):
        raise NotAllowed(f"{address} is neither a loopback nor a private address")


async def _resolve(host: str) -> str:
    """An address of the host; every one that the name has must be allowed. Raises: NotAllowed, OSError."""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    for *_, place in found:
        _check_ip(ipaddress.ip_address(place[0]))
    return str(found[0][4][0])


def _with_address(url: str, address: str) -> str:
    parts = urlsplit(url)
    shown = f"[{address}]" if ":" in address else address
    netloc = f"{shown}:{parts.port}" if parts.port else shown
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
