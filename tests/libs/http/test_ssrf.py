"""The guard against requests to ourselves: the table of addresses, and what it really connects to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import httpx
import pytest

from libs.http.client import new_client
from libs.http.ssrf import AddressPolicy, AddressRefused, GuardedBackend, is_public, resolve

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:7f00:1::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1",
    "not an address", "", "127.1", "0x7f000001", "2130706433", "0177.0.0.1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.255.255", "198.17.255.255", "198.20.0.1",
    "223.255.255.255", "2606:4700:4700::1111", "2a03:2880:f12f:83:face:b00c::25de", "2001:4860:4860::8888",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_of_some_private_or_special_kind_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_beside_a_refused_range_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/a", "only https"),
        ("ftp://example.com/a", "absolute https"),
        ("/relative", "absolute https"),
        ("https://user:pass@example.com/", "user name"),
        ("https://example.com:8443/", "port 8443"),
        ("http://127.0.0.1:9001/x", "only https"),
        ("https://127.0.0.1:9000/x", "port 9000"),
    ],
)
def test_a_url_that_nobody_configured_must_be_plain_https(url: str, reason: str) -> None:
    policy = AddressPolicy.for_base_urls(["http://127.0.0.1:9000/graph"])
    assert reason in (policy.why_refused(httpx.URL(url)) or "")


def test_a_configured_base_url_may_be_plain_http_on_loopback() -> None:
    policy = AddressPolicy.for_base_urls(["http://127.0.0.1:9000/graph.facebook.com"])
    assert policy.why_refused(httpx.URL("http://127.0.0.1:9000/graph.facebook.com/v26.0/me")) is None
    assert policy.trusts("127.0.0.1", 9000)
    assert not policy.trusts("127.0.0.1", 9001)


def test_a_base_url_without_a_scheme_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="absolute"):
        AddressPolicy.for_base_urls(["graph.facebook.com"])


class FakeNetwork(httpcore.AsyncNetworkBackend):
    """Notes where a connection is opened to, and what name TLS is told."""

    def __init__(self, answers: bytes = b"", dead: Sequence[str] = ()) -> None:
        self.opened: list[tuple[str, int]] = []
        self.stream = TlsNotingStream([answers])
        self.dead = dead

    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        self.opened.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError("nobody there")
        return self.stream


class TlsNotingStream(httpcore.AsyncMockStream):
    server_hostname: str | None = None

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self.server_hostname = server_hostname
        return self


def resolver_of(**answers: list[str]) -> Any:
    async def fake_resolve(host: str, port: int) -> Sequence[str]:
        return answers[host.replace(".", "_")]

    return fake_resolve


async def test_the_socket_goes_to_the_checked_address_while_tls_keeps_the_name() -> None:
    network = FakeNetwork(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    backend = GuardedBackend(AddressPolicy(), resolver_of(media_example=["10.0.0.7", "93.184.215.14"]), network)
    async with httpcore.AsyncConnectionPool(network_backend=backend) as pool:
        response = await pool.request("GET", "https://media.example/a.jpg")
    assert response.status == 200
    assert network.opened == [("93.184.215.14", 443)]
    assert network.stream.server_hostname == "media.example"


async def test_the_next_address_is_tried_when_the_first_is_dead() -> None:
    network = FakeNetwork(dead=["93.184.215.14"])
    resolver = resolver_of(media_example=["93.184.215.14", "93.184.215.15"])
    await GuardedBackend(AddressPolicy(), resolver, network).connect_tcp("media.example", 443)
    assert [host for host, _ in network.opened] == ["93.184.215.14", "93.184.215.15"]


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["::ffff:127.0.0.1", "fd00::1"], ["169.254.169.254"]])
async def test_a_name_that_leads_inside_is_refused_before_any_socket_is_opened(answer: list[str]) -> None:
    network = FakeNetwork()
    backend = GuardedBackend(AddressPolicy(), resolver_of(evil_example=answer), network)
    with pytest.raises(AddressRefused, match="not public") as caught:
        await backend.connect_tcp("evil.example", 443)
    assert network.opened == []
    assert answer[0] not in str(caught.value)


async def test_a_local_socket_is_refused() -> None:
    with pytest.raises(AddressRefused):
        await GuardedBackend(AddressPolicy(), resolve).connect_unix_socket("/var/run/docker.sock")


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://127.1/", "https://0x7f000001/", "https://[::1]/"])
async def test_every_spelling_of_loopback_is_refused_by_a_whole_client(url: str) -> None:
    async with new_client() as client:
        with pytest.raises(AddressRefused):
            await client.get(url)


async def test_a_caller_cannot_make_tls_verify_another_name() -> None:
    async with new_client(allowed_base_urls=["http://127.0.0.1:1"]) as client:
        with pytest.raises(AddressRefused):
            await client.get("http://127.0.0.1:1/", extensions={"sni_hostname": "other.example"})


async def test_a_redirect_is_not_followed_by_default() -> None:
    async with (
        server(b"HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/\r\nContent-Length: 0\r\n\r\n") as url,
        new_client(allowed_base_urls=[url]) as client,
    ):
        assert (await client.get(url)).status_code == 302


@pytest.mark.parametrize("target", ["https://169.254.169.254/meta", "http://127.0.0.1:22/", "file:///etc/passwd"])
async def test_a_followed_redirect_is_checked_again(target: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
    async with server(head) as url, new_client(allowed_base_urls=[url], max_redirects=3) as client:
        with pytest.raises((AddressRefused, httpx.UnsupportedProtocol)):
            await client.get(url)


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with server(OK) as url, new_client(allowed_base_urls=[url]) as client:
        assert (await client.get(url)).text == "ok"


async def test_cookies_of_one_answer_are_not_sent_with_the_next_request() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: who=org1; Path=/\r\nContent-Length: 2\r\n\r\nok"
    async with server(cookie) as url, new_client(allowed_base_urls=[url]) as client:
        await client.get(url)
        again = await client.get(url)
    assert "cookie" not in again.request.headers


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[str]:
    """Serve one fixed answer to every connection on loopback; give its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
