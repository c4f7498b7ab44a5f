"""A real sandbox process for tests: started once, asked over HTTP, reset between tests."""

import hashlib
import hmac
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
GRAPH = "graph.facebook.com"
_START_SECONDS = 30.0


@dataclass(slots=True)
class SandboxProcess:
    """The process, a client for it, and short ways to say what tests say often."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    log: Path
    client: httpx.Client
    world: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def graph_url(self) -> str:
        return f"{self.url}/{GRAPH}"

    def through_proxy(self, **options: Any) -> httpx.Client:
        """A client that believes to speak to the platforms themselves; the caller closes it."""
        trusted = ssl.create_default_context(cafile=self.ready["ca_file"])
        return httpx.Client(proxy=self.ready["proxy"], verify=trusted, trust_env=False, timeout=20, **options)

    @property
    def meta(self) -> dict[str, Any]:
        platform: dict[str, Any] = self.world["platforms"]["meta"]
        return platform

    def reset(self, **wanted: object) -> None:
        self.world = self.client.post("/_sandbox/reset", json=wanted).raise_for_status().json()

    def secrets(self) -> list[str]:
        """Everything that no log may hold."""
        tokens = [str(token["access_token"]) for token in self.meta["tokens"]]
        return tokens + [str(app["secret"]) for app in self.meta["apps"]]

    def token(self, token_id: str) -> str:
        return str(self.token_row(token_id)["access_token"])

    def token_row(self, token_id: str) -> dict[str, Any]:
        return next(token for token in self.meta["tokens"] if token["id"] == token_id)

    def app(self, app_id: str) -> dict[str, Any]:
        return next(app for app in self.meta["apps"] if app["id"] == app_id)

    def proof(self, token_id: str) -> str:
        """The `appsecret_proof` that goes with a token."""
        row = self.token_row(token_id)
        secret = str(self.app(row["app"])["secret"])
        return hmac.new(secret.encode(), str(row["access_token"]).encode(), hashlib.sha256).hexdigest()

    def accounts(self, kind: str) -> list[dict[str, Any]]:
        """Accounts of a kind, the one with the most children first."""
        found = [account for account in self.meta["accounts"] if account["type"] == kind]
        return sorted(found, key=lambda account: -sum(account["children"].values()))

    def children(self, account: Mapping[str, Any], child: str, **query: str) -> list[dict[str, Any]]:
        path = f"/_sandbox/world/meta/{account['type']}/{account['id']}/{child}"
        items: list[dict[str, Any]] = self.client.get(path, params=query).raise_for_status().json()["items"]
        return items

    def get(self, path: str, token: str | None = "user_main", **params: str) -> httpx.Response:
        secret = {"access_token": self.token(token)} if token else {}
        return self.client.get(f"/{GRAPH}/{path}", params={**secret, **params})

    def batch(
        self, items: Sequence[object], token: str | None = "user_main", path: str = "v26.0/", **params: str
    ) -> httpx.Response:
        secret = {"access_token": self.token(token)} if token else {}
        return self.client.post(f"/{GRAPH}/{path}", data={**secret, "batch": json.dumps(items), **params})

    def results(self, items: Sequence[object], token: str | None = "user_main", **params: str) -> list[Any]:
        answer = self.batch(items, token, **params)
        assert answer.status_code == 200, answer.text
        results: list[Any] = answer.json()
        assert isinstance(results, list), results
        return results

    def fault(self, kind: str, match: Mapping[str, Any] | None = None, **rest: Any) -> str:
        wanted = {"platform": "meta", "kind": kind, "match": match or {}, **rest}
        answer = self.client.post("/_sandbox/faults", json=wanted)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.client.get("/_sandbox/calls", params={"since": since}).json()["calls"]
        return rows


def start_sandbox(folder: Path, *arguments: str) -> SandboxProcess:
    """Start one on a free port and return when it says that it is ready."""
    ready_file, log = folder / "ready.json", folder / "sandbox.log"
    command = [sys.executable, "-m", "services.sandbox", "--ready-file", str(ready_file), *arguments]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ}
        )
    deadline = time.monotonic() + _START_SECONDS
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the sandbox did not start:\n{log.read_text()}")
        time.sleep(0.01)
    ready = json.loads(ready_file.read_text())
    client = httpx.Client(base_url=ready["url"], trust_env=False, timeout=20)
    world = client.get("/_sandbox/world").raise_for_status().json()
    return SandboxProcess(process, ready, log, client, world)


def stop_sandbox(started: SandboxProcess) -> int:
    """SIGTERM, and the exit code."""
    started.client.close()
    started.process.terminate()
    try:
        return started.process.wait(15)
    except subprocess.TimeoutExpired:
        started.process.kill()
        raise


@contextmanager
def running_sandbox(folder: Path, *arguments: str) -> Iterator[SandboxProcess]:
    """One of its own, which does not outlive a test that fails."""
    started = start_sandbox(folder, *arguments)
    try:
        yield started
    finally:
        started.client.close()
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    started = start_sandbox(tmp_path_factory.mktemp("sandbox"))
    yield started
    stop_sandbox(started)


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """The process in the state of its start."""
    sandbox_process.reset()
    return sandbox_process
