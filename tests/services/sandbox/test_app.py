"""The process: how it starts, what it refuses at the door, what it logs."""

import json
import os
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from services.sandbox.wire import MAX_BODY_BYTES
from tests.support.sandbox import GRAPH, SandboxProcess, running_sandbox

pytestmark = pytest.mark.e2e


def test_the_ready_line_the_ready_file_and_the_world_say_the_same(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, "--seed", "11") as started:
        line = json.loads(started.log.read_text().splitlines()[0])
        shown = {key: started.world[key] for key in ("url", "proxy", "ca_file")}
        assert line == started.ready == {**shown, "pid": started.process.pid}
        assert started.world["seed"] == 11


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_authoritys_folder_is_for_its_owner_only_holds_no_key_and_goes_at_exit(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running_sandbox(tmp_path) as started:
        with started.through_proxy() as client:
            assert client.get(f"https://{GRAPH}/").status_code == 400
        ca_file = Path(started.ready["ca_file"])
        assert stat.S_IMODE(ca_file.parent.stat().st_mode) == 0o700
        assert [path.name for path in ca_file.parent.iterdir()] == [ca_file.name]
        assert "PRIVATE" not in ca_file.read_text()
        started.client.close()
        started.process.send_signal(number)
        assert started.process.wait(15) == 0
        assert not ca_file.parent.exists()


def test_two_starts_from_one_seed_make_the_same_world(tmp_path: Path, sandbox: SandboxProcess) -> None:
    (tmp_path / "a").mkdir()
    with running_sandbox(tmp_path / "a", "--seed", str(sandbox.world["seed"])) as started:
        mine, others = sandbox.meta, started.meta
    for kind in ("apps", "accounts"):
        assert [(row["id"], row["name"]) for row in mine[kind]] == [(row["id"], row["name"]) for row in others[kind]]
    assert [token["access_token"] for token in mine["tokens"]] == [token["access_token"] for token in others["tokens"]]


def test_a_host_it_does_not_stand_for_is_refused_and_named(sandbox: SandboxProcess) -> None:
    answer = sandbox.client.get("/example.com/anything")
    assert answer.status_code == 502
    assert answer.json()["hosts"] == sorted(sandbox.meta["hosts"])
    assert sandbox.client.get("/_sandbox/refused").json() == {"count": 1, "hosts": {"example.com": 1}}


def test_an_oversize_body_is_refused_by_length_and_while_streaming(sandbox: SandboxProcess) -> None:
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        head = f"POST /{GRAPH}/me HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(65_536).startswith(b"HTTP/1.1 413")

    def stream() -> object:
        for _ in range(MAX_BODY_BYTES // 1024 // 1024 + 1):
            yield b"x" * 1024 * 1024

    try:
        answer = sandbox.client.post(f"/{GRAPH}/me", content=stream())  # type: ignore[arg-type]
        assert answer.status_code == 413
    except httpx.WriteError:
        # Refused before all of it was sent: the client may meet the closed socket first.
        pass
    assert sandbox.get("me").status_code == 200


def test_a_client_that_would_rather_speak_http_2_keeps_its_body(sandbox: SandboxProcess) -> None:
    """As Java's own client asks, with each call to a plain address."""
    wishes = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAoAAAAAIAAAAA"}
    answer = sandbox.client.post("/_sandbox/clock", json={"rate": 5}, headers=wishes)
    assert (answer.http_version, answer.json()["rate"]) == ("HTTP/1.1", 5.0)


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"\x00\xff\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT graph.facebook.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /graph.facebook.com/me HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_bytes_that_are_no_http_never_end_the_process(sandbox: SandboxProcess, bytes_sent: bytes) -> None:
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(bytes_sent)
        raw.shutdown(socket.SHUT_WR)
        raw.recv(65_536)
    assert not [row for row in sandbox.calls() if row["method"] == "POST"]
    assert sandbox.get("me").status_code == 200


def test_its_log_holds_no_secret(sandbox: SandboxProcess) -> None:
    lines_before = len(sandbox.log.read_text().splitlines())
    sandbox.get("me")
    sandbox.get("me", token="user_expired")
    sandbox.results([{"method": "GET", "relative_url": f"me?access_token={sandbox.token('user_second')}"}])
    sandbox.fault("cut_after", times=1)
    with pytest.raises(httpx.TransportError):
        sandbox.get("me")
    log = sandbox.log.read_text()
    secrets = [token["access_token"] for token in sandbox.meta["tokens"]] + [
        app["secret"] for app in sandbox.meta["apps"]
    ]
    assert not [secret for secret in secrets if secret in log]
    assert len(log.splitlines()) - lines_before < 5, log


def test_it_needs_nothing_of_ours() -> None:
    """An independent witness: its files name no module of libs."""
    folder = Path(__file__).parents[3] / "services" / "sandbox"
    found = [path.name for path in folder.rglob("*.py") if "libs" + "." in path.read_text()]
    assert found == []
    assert os.access(folder / "meta" / "known_fields.toml", os.R_OK)
