import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from libs.runtime.service import PART_NAMES, hide_settings, parse_only
from libs.runtime.settings import ServiceSettings
from libs.telemetry.redaction import redact_text
from tests.support import tiny_service

Line = dict[str, Any]
DSN = "postgresql://tiny_worker:a-password-nobody-may-see@127.0.0.1:1/none"


class Process:
    """A running tiny service; its log is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[Line] = []
        self.url = ""

    async def line(self, wanted: Callable[[Line], bool]) -> Line:
        """Read on until a line fits."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while text := await self.process.stderr.readline():
                self.lines.append(json.loads(text))
                if wanted(self.lines[-1]):
                    return self.lines[-1]
        raise AssertionError(f"the process ended without that line: {self.lines}")

    async def started(self) -> None:
        line = await self.line(lambda line: line["message"] == "listening")
        self.url = f"http://{line['host']}:{line['port']}"

    async def exit_code(self) -> int:
        """Wait for the end, and read what was logged until then."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            self.lines += [json.loads(text) async for text in self.process.stderr]
            return await self.process.wait()

    def steps(self) -> list[str]:
        return [line["step"] for line in self.lines if "step" in line]


@asynccontextmanager
async def tiny(*arguments: str, **variables: str) -> AsyncIterator[Process]:
    environment = os.environ | {"TINY_WORKER_DSN": DSN, "TINY_API_DSN": DSN, "TINY_PORT": "0"} | variables
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.tiny_service", *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_in_order_and_ends_with_0(number: signal.Signals) -> None:
    async with tiny() as service, httpx.AsyncClient() as client:
        await service.started()
        assert (await client.get(f"{service.url}/ready")).status_code == 200
        service.process.send_signal(number)
        await service.line(lambda line: line.get("step") == "workers have work in flight")
        ready = await client.get(f"{service.url}/ready")
        assert (ready.status_code, ready.json()["failed"]) == (503, {"draining": "shutting down"})
        assert (await client.get(f"{service.url}/live")).status_code == 200
        await client.post(f"{service.url}/v1/end-work")
        assert await service.exit_code() == 0
        assert service.steps() == [
            "consumers stopped",
            "workers have work in flight",
            "workers ended their work",
            "relay flushed",
            "pools closed",
        ]


@pytest.mark.e2e
async def test_a_second_signal_ends_at_once() -> None:
    async with tiny() as service:
        await service.started()
        service.process.send_signal(signal.SIGTERM)
        await service.line(lambda line: line.get("step") == "workers have work in flight")
        service.process.send_signal(signal.SIGINT)
        assert await service.exit_code() == 128 + signal.SIGINT
        assert "pools closed" not in service.steps()


@pytest.mark.e2e
async def test_work_that_outlives_the_budget_is_cut_and_shown_by_the_exit_code() -> None:
    async with tiny(TINY_DRAIN_SECONDS="0.2") as service:
        await service.started()
        service.process.send_signal(signal.SIGTERM)
        assert await service.exit_code() == 1
        late = [line["part"] for line in service.lines if line["level"] == "error"]
        assert late == ["workers"]
        assert service.steps()[-2:] == ["relay flushed", "pools closed"]


@pytest.mark.e2e
async def test_a_part_that_dies_takes_the_process_down_loudly() -> None:
    async with tiny() as service, httpx.AsyncClient() as client:
        await service.started()
        await client.post(f"{service.url}/v1/end-work")
        await client.post(f"{service.url}/v1/die")
        assert await service.exit_code() == 1
        (error,) = [line for line in service.lines if line["level"] == "error"]
        assert error["part"] == "relay"
        assert "the relay broke" in error["exception"]
        assert service.steps()[-1] == "pools closed"


@pytest.mark.e2e
async def test_only_some_parts_run_and_the_probes_always_do() -> None:
    async with tiny("--only", "consumers,relay") as service, httpx.AsyncClient() as client:
        await service.started()
        assert (await client.get(f"{service.url}/live")).status_code == 200
        assert (await client.post(f"{service.url}/v1/die")).status_code == 404
        service.process.send_signal(signal.SIGTERM)
        assert await service.exit_code() == 0
        assert service.steps() == ["consumers stopped", "relay flushed", "pools closed"]


@pytest.mark.e2e
async def test_a_wrong_setting_is_named_without_its_value() -> None:
    async with tiny(TINY_PORT="a-value-nobody-may-see", TINY_DRAIN_SECONDS="-1") as service:
        assert await service.exit_code() == 2
    text = json.dumps(service.lines)
    assert "port" in text
    assert "drain_seconds" in text
    assert "nobody-may-see" not in text


@pytest.mark.e2e
async def test_an_address_that_is_taken_ends_the_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with tiny("--only", "http", TINY_PORT=str(taken.getsockname()[1])) as service:
            assert await service.exit_code() == 1
    assert any("in use" in line.get("exception", "") for line in service.lines)


def test_the_values_of_secret_settings_are_hidden_wherever_they_turn_up() -> None:
    dsn = "postgresql://tiny_worker:an-unusual-password@127.0.0.1:1/none"
    hide_settings(ServiceSettings(worker_dsn=SecretStr(dsn), api_dsn=SecretStr("not a dsn at all")))
    text = redact_text("signing in with an-unusual-password failed: not a dsn at all")
    assert text == "signing in with [redacted] failed: [redacted]"


def test_without_the_option_all_parts_run() -> None:
    assert parse_only(tiny_service, []) == set(PART_NAMES)
    assert parse_only(tiny_service, ["--only", "http, jobs"]) == {"http", "jobs"}


def test_an_unknown_part_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_only(tiny_service, ["--only", "http,cooking"])
    assert ended.value.code == 2
    assert "unknown part cooking; there are: http, consumers, relay, workers, jobs" in capsys.readouterr().err
