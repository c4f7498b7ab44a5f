"""The factory of HTTP clients: nothing else in the project builds one.

A client waits for a bounded time, reads a bounded answer, ignores the environment's proxies (they would get our tokens
and pass the guard by), keeps no cookies (it serves many organizations), follows no redirect unless told to, and
connects only to public addresses and to the configured ones.
"""

import ssl
from collections.abc import Iterable
from http.cookiejar import DefaultCookiePolicy

import httpx

from libs.http.limits import CappedTransport
from libs.http.ssrf import AddressPolicy, GuardedTransport, Resolver, resolve
from libs.http.traced import TracedTransport

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
USER_AGENT = "platformbus/1"


def new_client(
    *,
    allowed_base_urls: Iterable[str] = (),
    connect_timeout_seconds: float = 5.0,
    read_timeout_seconds: float = 30.0,
    write_timeout_seconds: float = 30.0,
    pool_timeout_seconds: float = 10.0,
    max_response_bytes: int = MAX_RESPONSE_BYTES,
    max_connections: int = 100,
    max_redirects: int = 0,
    connect_retries: int = 1,
    verify: ssl.SSLContext | bool = True,
    resolver: Resolver = resolve,
) -> httpx.AsyncClient:
    """Build a client; whoever builds it closes it.

    `allowed_base_urls` are an operator's own settings (a platform's address, a sandbox on loopback): their origin may
    be plain http and private. Keep such a client apart from one that fetches what users name. Everything else must be
    https at a public address. Redirects are followed when `max_redirects` is above 0, and every hop is checked again.
    `connect_retries` repeats only a connection that could not be made: nothing had been sent. The time-outs bound
    silence, not the whole call; the caller puts `asyncio.timeout` around that.
    Raises httpx errors; AddressRefused (a ConnectError: nothing was sent), ResponseTooLarge, EncodingRefused.
    """
    transport = GuardedTransport(
        AddressPolicy.for_base_urls(allowed_base_urls),
        resolver=resolver,
        verify=verify,
        retries=connect_retries,
        limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=20, keepalive_expiry=15.0),
    )
    client = httpx.AsyncClient(
        transport=TracedTransport(CappedTransport(transport, max_response_bytes=max_response_bytes)),
        timeout=httpx.Timeout(
            connect=connect_timeout_seconds,
            read=read_timeout_seconds,
            write=write_timeout_seconds,
            pool=pool_timeout_seconds,
        ),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
        trust_env=False,
        follow_redirects=max_redirects > 0,
        max_redirects=max(1, max_redirects),
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return client
