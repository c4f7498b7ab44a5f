"""Keeps our own requests away from our own network.

The address is checked where the connection is made: the name is resolved here, refused addresses are left out, and the
socket is opened to an address that passed, so that a name cannot mean one thing when checked and another when used. TLS
still asks for, and verifies, the name. A redirect opens its own connection and is checked the same way.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import httpcore
import httpx

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, best first. Raises OSError."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
RESOLVE_SECONDS: Final = 5.0

# Written out rather than `is_global`, which differs between Python versions.
# Source: "IANA IPv4 Special-Purpose Address Registry" and the IPv4 multicast and reserved blocks, read 2026-11-21.
REFUSED_V4: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; some clouds keep their metadata in it
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Of IPv6 only global unicast is let through: loopback, ULA, link-local, site-local, multicast, v4-mapped, v4-compatible
# and NAT64 (64:ff9b::/96, 64:ff9b:1::/48) all lie outside 2000::/3.
# Source: "IANA IPv6 Special-Purpose Address Registry", read 2026-11-21.
ALLOWED_V6: Final = IPv6Network("2000::/3")
REFUSED_V6: Final = tuple(
    ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them, which carries a v4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which carries a v4 address
        "3fff::/20",
    )
)


class AddressRefused(httpx.ConnectError):
    """The request would go where this client must not; nothing was sent."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What a client may connect to. `allowed` origins are an operator's settings and may be private and plain http."""

    allowed: frozenset[tuple[str, str, int]] = frozenset()
    """Scheme, host, port."""
    ports: frozenset[int] = frozenset({443})
    """Ports of every other origin, which must be https."""

    @classmethod
    def for_base_urls(cls, urls: Iterable[str]) -> "AddressPolicy":
        """Allow the origins of configured addresses. Raises ValueError for one that is not an absolute http(s) URL."""
        origins = set()
        for url in urls:
            parsed = httpx.URL(url)
            if parsed.scheme not in DEFAULT_PORTS or not parsed.host:
                raise ValueError("a configured base URL must be absolute, with http or https")
            origins.add((parsed.scheme, _plain_host(parsed.host), parsed.port or DEFAULT_PORTS[parsed.scheme]))
        return cls(allowed=frozenset(origins))

    def why_refused(self, url: httpx.URL) -> str | None:
        """Give what is wrong with the URL itself, before any name is resolved; None lets it pass."""
        if url.scheme not in DEFAULT_PORTS or not url.host:
            return "only absolute https URLs are fetched"
        if url.userinfo:
            return "a URL with a user name or password is not fetched"
        port = url.port or DEFAULT_PORTS[url.scheme]
        if (url.scheme, _plain_host(url.host), port) in self.allowed:
            return None
        if url.scheme != "https":
            return "only https is fetched"
        return None if port in self.ports else f"port {port} is not one that is fetched from"

    def trusts(self, host: str, port: int) -> bool:
        """Tell whether this host and port are configured, whatever their address."""
        return any((scheme, _plain_host(host), port) in self.allowed for scheme in DEFAULT_PORTS)


def is_public(address: str) -> bool:
    """Tell whether an address literal is one of the public internet; False for what is no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in REFUSED_V4)
    return _is_public_v6(parsed)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Resolve a name with the system's resolver, within some seconds. Raises OSError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_SECONDS):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport over connections that the policy lets pass."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: Resolver = resolve,
        verify: ssl.SSLContext | bool = True,
        retries: int = 0,
        limits: httpx.Limits,
    ) -> None:
        context = httpx.create_ssl_context(verify=verify, trust_env=False)
        super().__init__(verify=context, trust_env=False, retries=retries, limits=limits)
        if not isinstance(getattr(self, "_pool", None), httpcore.AsyncConnectionPool):
            raise TypeError("this httpx keeps its connections elsewhere: the guard would guard nothing")
        # httpx has no parameter for httpcore's network backend, which is the one place that sees every connection.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            retries=retries,
            network_backend=GuardedBackend(policy, resolver),
        )
        self._policy = policy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reason = self._policy.why_refused(request.url)
        if reason is not None:
            raise AddressRefused(reason, request=request)
        if "sni_hostname" in request.extensions:
            raise AddressRefused("the name that TLS verifies is the URL's own", request=request)
        return await super().handle_async_request(request)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens sockets only to checked addresses."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver, inner: Any = None) -> None:
        self._policy = policy
        self._resolver = resolver
        self._inner: httpcore.AsyncNetworkBackend = inner or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("the name has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefused("no request goes to a local socket")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await self._resolver(_plain_host(host), port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name was not resolved: {error}") from None
        if self._policy.trusts(host, port):
            return list(found)
        public = [address for address in found if is_public(address)]
        if found and not public:
            # The address stays out of the message: it would tell a caller what our resolver sees.
            raise AddressRefused("the name leads to an address that is not public")
        return public


def _is_public_v6(address: IPv6Address) -> bool:
    if address.scope_id is not None or address not in ALLOWED_V6:
        return False
    return not any(address in network for network in REFUSED_V6)


def _plain_host(host: str) -> str:
    return host.strip("[]").lower().rstrip(".")
