"""The proxy port: what well-behaved clients get by it, and that nothing else ends the process."""

import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.sandbox import GRAPH, SandboxProcess, running_sandbox

pytestmark = pytest.mark.e2e
ME = f"https://{GRAPH}/v26.0/me"


@contextmanager
def connected(sandbox: SandboxProcess) -> Iterator[socket.socket]:
    """A bare connection to the proxy port."""
    host, port = str(sandbox.ready["proxy"]).removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        yield raw


@contextmanager
def tunnelled(sandbox: SandboxProcess, host: str = GRAPH, *, sni: str | None = GRAPH) -> Iterator[ssl.SSLSocket]:
    """A TLS connection through CONNECT."""
    with connected(sandbox) as raw:
        raw.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert read_until(raw, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        trusted = ssl.create_default_context(cafile=sandbox.ready["ca_file"])
        trusted.check_hostname = sni is not None
        trusted.set_alpn_protocols(["h2", "http/1.1"])
        with trusted.wrap_socket(raw, server_hostname=sni) as secured:
            yield secured


def read_until(raw: socket.socket, end: bytes) -> bytes:
    read = b""
    while end not in read:
        chunk = raw.recv(65_536)
        if not chunk:
            break
        read += chunk
    return read


def ask(raw: socket.socket, request: str) -> tuple[int, dict[str, object]]:
    """Status and JSON content of one answer that says its length."""
    raw.sendall(request.encode())
    head, _, body = read_until(raw, b"\r\n\r\n").partition(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < int(length.partition(b":")[2]):
        body += raw.recv(65_536)
    return int(head.split(b" ")[1]), json.loads(body)


def test_the_same_answer_comes_by_prefix_and_by_proxy(sandbox: SandboxProcess) -> None:
    secret = {"access_token": sandbox.token("user_main")}
    with sandbox.through_proxy() as client:
        by_proxy = client.get(ME, params=secret)
    by_prefix = sandbox.get("v26.0/me")
    assert (by_proxy.status_code, by_proxy.json()) == (200, by_prefix.json())
    first, second = sandbox.calls()
    assert [row["via"] for row in (first, second)] == ["proxy", "prefix"]
    same = ("platform", "method", "host", "path", "query", "operation", "token", "status", "cost")
    assert {key: first[key] for key in same} == {key: second[key] for key in same}


def test_links_inside_answers_name_the_host_that_the_caller_used(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    query = {"access_token": sandbox.token("user_main"), "limit": "3"}
    with sandbox.through_proxy() as client:
        page = client.get(f"https://{GRAPH}/v26.0/{account}/campaigns", params=query).json()
        assert page["paging"]["next"].startswith(f"https://{GRAPH}/v26.0/")
        following = client.get(page["paging"]["next"])
        assert following.status_code == 200
    prefixed = sandbox.get(f"v26.0/{account}/campaigns", limit="3").json()
    assert prefixed["paging"]["next"].startswith(f"{sandbox.graph_url}/v26.0/")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_absolute_form_needs_no_tunnel(sandbox: SandboxProcess, scheme: str) -> None:
    secret = sandbox.token("user_main")
    with connected(sandbox) as raw:
        for _ in range(2):
            status, content = ask(
                raw, f"GET {scheme}://{GRAPH}/me?access_token={secret} HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"
            )
            assert status == 200
            assert content["id"]
    assert [(row["via"], row["host"], row["path"]) for row in sandbox.calls()] == [("proxy", GRAPH, "/me")] * 2


def test_absolute_form_without_a_path_asks_for_the_root(sandbox: SandboxProcess) -> None:
    with connected(sandbox) as raw:
        ask(raw, f"GET http://{GRAPH} HTTP/1.1\r\nHost: {GRAPH}\r\n\r\n")
        ask(raw, f"GET http://{GRAPH.upper()}.:80?fields=id HTTP/1.1\r\nHost: {GRAPH}\r\n\r\n")
    assert [(row["host"], row["path"], row["query"]) for row in sandbox.calls()] == [
        (GRAPH, "/", {}),
        (GRAPH, "/", {"fields": ["id"]}),
    ]


def test_one_tunnel_carries_many_calls_with_bodies_of_every_form(sandbox: SandboxProcess) -> None:
    secret = sandbox.token("user_main")
    batch = "batch=" + json.dumps([{"method": "GET", "relative_url": "me"}])
    with sandbox.through_proxy() as client:
        pieces = iter([f"access_token={secret}&".encode(), batch[:10].encode(), batch[10:].encode()])
        form = {"content-type": "application/x-www-form-urlencoded"}
        chunked = client.post(f"https://{GRAPH}/", content=pieces, headers=form)
        assert chunked.request.headers["transfer-encoding"] == "chunked"
        whole = client.post(f"https://{GRAPH}/", data={"access_token": secret, "batch": batch.removeprefix("batch=")})
    assert [item["code"] for answer in (chunked, whole) for item in answer.json()] == [200, 200]


def test_only_http_1_1_is_offered(sandbox: SandboxProcess) -> None:
    with tunnelled(sandbox) as secured:
        assert secured.selected_alpn_protocol() == "http/1.1"
        assert secured.version() in {"TLSv1.2", "TLSv1.3"}


def test_a_request_pipelined_behind_the_connect_is_read(sandbox: SandboxProcess) -> None:
    """The first bytes of TLS may come in one packet with the CONNECT."""
    trusted = ssl.create_default_context(cafile=sandbox.ready["ca_file"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusted.wrap_bio(incoming, outgoing, server_hostname=GRAPH)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with connected(sandbox) as raw:
        raw.sendall(f"CONNECT {GRAPH}:443 HTTP/1.1\r\n\r\n".encode() + outgoing.read())
        came = read_until(raw, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
        while True:
            incoming.write(came)
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                came = raw.recv(65_536)
        client.write(b"GET /me HTTP/1.1\r\nHost: graph.facebook.com\r\nConnection: close\r\n\r\n")
        raw.sendall(outgoing.read())
        answer = b""
        while not answer:
            incoming.write(raw.recv(65_536))
            # TLS 1.3 sends tickets first.
            with suppress(ssl.SSLWantReadError):
                answer = client.read(15)
        assert answer.startswith(b"HTTP/1.1 400")
    assert [row["path"] for row in sandbox.calls()] == ["/me"]


@pytest.mark.parametrize("target", ["example.com:443", "graph.facebook.com:8443", "127.0.0.1:443", "[::1]:443"])
def test_a_foreign_host_is_refused_with_502_and_counted(sandbox: SandboxProcess, target: str) -> None:
    with connected(sandbox) as raw:
        status, content = ask(raw, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
        assert raw.recv(1) == b""
    assert status == 502
    assert "stands for no host" in str(content["error"])
    assert sandbox.client.get("/_sandbox/refused").json() == {"count": 1, "hosts": {target: 1}}
    assert sandbox.calls() == []


def test_a_foreign_host_in_absolute_form_is_refused_with_502_and_counted(sandbox: SandboxProcess) -> None:
    with connected(sandbox) as raw:
        status, _ = ask(raw, "GET http://example.com/x HTTP/1.1\r\nHost: graph.facebook.com\r\n\r\n")
    assert status == 502
    assert sandbox.client.get("/_sandbox/refused").json()["hosts"] == {"example.com": 1}


def test_the_sandboxs_own_interface_is_not_reached_by_the_proxy(sandbox: SandboxProcess) -> None:
    with sandbox.through_proxy() as client:
        assert client.get(f"{sandbox.url}/_sandbox/world").status_code == 502
        inside = client.get(f"https://{GRAPH}/_sandbox/world")
    assert inside.status_code >= 400
    assert sandbox.calls()[0]["path"] == "/_sandbox/world"


def test_a_client_sees_the_certificate_of_the_name_that_it_asks_for(sandbox: SandboxProcess) -> None:
    with tunnelled(sandbox, sni=None) as secured:
        shown = ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")
        assert shown
        assert ask(secured, "GET /me HTTP/1.1\r\nHost: GRAPH.facebook.com:443\r\n\r\n")[0] == 400
        assert ask(secured, "GET /me HTTP/1.1\r\nHost: example.com\r\n\r\n")[0] == 421
    with pytest.raises(ssl.SSLError), tunnelled(sandbox, sni="example.com"):
        raise AssertionError("a foreign name was believed")
    assert sandbox.client.get("/_sandbox/refused").json()["hosts"] == {"example.com:443": 1}


def test_a_client_that_knows_nothing_of_the_authority_gets_no_answer(sandbox: SandboxProcess) -> None:
    with httpx.Client(proxy=sandbox.ready["proxy"], trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(ME)
    assert sandbox.calls() == []


def test_the_authority_can_be_fetched(sandbox: SandboxProcess) -> None:
    fetched = sandbox.client.get("/_sandbox/ca.pem")
    assert fetched.content == Path(sandbox.ready["ca_file"]).read_bytes()
    before = fetched.content
    sandbox.reset()
    assert sandbox.client.get("/_sandbox/ca.pem").content == before


def test_faults_reach_through_the_tunnel(sandbox: SandboxProcess) -> None:
    with sandbox.through_proxy() as client:
        sandbox.fault("cut_after", times=1)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            client.get(ME)
        sandbox.fault("oversized", times=1, args={"bytes": 3_000_000})
        big = client.get(ME, params={"access_token": sandbox.token("user_main")})
        assert len(big.content) == 3_000_000


def test_a_connection_that_a_client_keeps_open_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as started, started.through_proxy() as client:
        assert client.get(ME).status_code == 400
        started.process.terminate()
        assert started.process.wait(15) == 0
        assert "graceful shutdown exceeded" not in started.log.read_text()


def test_a_client_does_not_wait_for_a_certificate_that_cannot_be_made(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as started:
        folder = Path(started.ready["ca_file"]).parent
        shutil.rmtree(folder)
        folder.write_text("in the way")
        with connected(started) as raw:
            raw.sendall(f"CONNECT {GRAPH}:443 HTTP/1.1\r\n\r\n".encode())
            with suppress(ConnectionError):
                read_until(raw, b"never")
        folder.unlink()
        trusted = ssl.create_default_context(cadata=started.client.get("/_sandbox/ca.pem").text)
        with httpx.Client(proxy=str(started.ready["proxy"]), verify=trusted, trust_env=False) as client:
            assert client.get(ME).status_code == 400


HEADS = st.sampled_from(
    [b"CONNECT ", b"connect ", b"GET ", b"\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b""]
)
TARGETS = st.sampled_from(
    [b"graph.facebook.com:443", b"graph.facebook.com:80", b"http://graph.facebook.com/me", b"http://", b"https://@/",
     b"*", b"/me", b"[::", b":443", b"a" * 70_000, b"\xff\xfe", b"http://u:p@graph.facebook.com/", b"x:99999"]
)  # fmt: skip
ENDS = st.sampled_from([b" HTTP/1.1\r\n\r\n", b" HTTP/1.0\r\n\r\n", b" HTTP/9.9\r\n\r\n", b"\r\n\r\n", b"\n\n", b" "])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=HEADS, target=TARGETS, end=ENDS, rest=st.binary(max_size=300))
@example(head=b"CONNECT ", target=b"graph.facebook.com:443", end=b" HTTP/1.1\r\n\r\n", rest=b"\x16\x03\x01\x00\x01\x00")
@example(
    head=b"CONNECT ", target=b"graph.facebook.com:80", end=b" HTTP/1.1\r\n\r\n", rest=b"CONNECT a:1 HTTP/1.1\r\n\r\n"
)
def test_no_bytes_end_the_process(
    sandbox_process: SandboxProcess, head: bytes, target: bytes, end: bytes, rest: bytes
) -> None:
    with connected(sandbox_process) as raw:
        try:
            raw.sendall(head + target + end + rest)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65_536):
                continue
        except ConnectionError:
            # Refused before all of it was sent.
            pass
    assert sandbox_process.client.get("/_sandbox/clock").status_code == 200
    assert sandbox_process.process.poll() is None


METHODS = st.sampled_from([b"GET", b"POST", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"\xff", b""])
PATHS = st.sampled_from(
    [b"/v26.0/me", b"/", b"*", b"//", b"/%ff%00", b"/\xc3\xa9", b"https://graph.facebook.com/me", b"http://\xff/",
     b"/?" + b"a=1&" * 1500, b"/v26.0/act_1/insights?level=%00", b"/v26.0/?batch=%5B"]
)  # fmt: skip
FIELDS = st.sampled_from(
    [b"Host: graph.facebook.com", b"Host: \xff", b"Host:", b"Host: example.com", b"Content-Length: 5",
     b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
     b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue", b"Upgrade: h2c", b"Connection: Upgrade", b": x",
     b"Content-Type: multipart/form-data; boundary=x", b"Content-Type: application/json", b"Authorization: Bearer \xff",
     b"X" * 9000]
)  # fmt: skip
BODIES = st.one_of(
    st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b'{"batch":[1,2]}', b"--x\r\n\r\n--x--"]),
    st.binary(max_size=100),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=METHODS, path=PATHS, fields=st.lists(FIELDS, max_size=4), body=BODIES)
def test_no_request_inside_of_a_tunnel_fails(
    sandbox_process: SandboxProcess, method: bytes, path: bytes, fields: list[bytes], body: bytes
) -> None:
    """It may be refused in any words; it must not meet an error that nobody has foreseen."""
    request = b"\r\n".join([method + b" " + path + b" HTTP/1.1", *fields, b"", body])
    with connected(sandbox_process) as raw:
        raw.sendall(f"CONNECT {GRAPH}:80 HTTP/1.1\r\n\r\n".encode())
        assert read_until(raw, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        with suppress(ConnectionError):
            raw.sendall(request)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65_536):
                continue
    assert sandbox_process.client.get("/_sandbox/clock").status_code == 200
    assert "Traceback" not in sandbox_process.log.read_text()


def test_connections_that_stop_half_way_do_no_harm(sandbox: SandboxProcess) -> None:
    hello = ssl.create_default_context()
    for stop in (
        b"CONNE",
        b"CONNECT graph.facebook.com:443 HTTP/1.1\r\n",
        b"CONNECT graph.facebook.com:443 HTTP/1.1\r\n\r\n",
    ):
        with connected(sandbox) as raw:
            raw.sendall(stop)
    with connected(sandbox) as raw:
        raw.sendall(f"CONNECT {GRAPH}:443 HTTP/1.1\r\n\r\n".encode())
        read_until(raw, b"\r\n\r\n")
        outgoing = ssl.MemoryBIO()
        half = hello.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=GRAPH)
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        raw.sendall(outgoing.read()[:100])
    assert sandbox.get("me").status_code == 200
    with sandbox.through_proxy() as client:
        assert client.get(ME, params={"access_token": sandbox.token("user_main")}).status_code == 200
