"""The watcher of the local stack: found, fetched, started, and told of services that moved."""

import asyncio
from pathlib import Path

import httpx
import pytest

from deploy.local import tools
from deploy.local.ports import Ports
from deploy.local.processes import Processes
from deploy.local.prometheus import Prometheus
from tests.support.until import until


def test_what_make_tools_put_in_place_comes_before_what_the_machine_has(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    of_machine = tmp_path / "bin" / "prometheus"
    of_machine.touch(mode=0o755)
    path = str(tmp_path / "bin")
    assert tools.find("prometheus", folder=tmp_path / "tools", path=path) == of_machine
    ours = tmp_path / "tools" / "prometheus" / "usr" / "bin"
    ours.mkdir(parents=True)
    (ours / "prometheus").touch()
    assert tools.find("prometheus", folder=tmp_path / "tools", path=path) == ours / "prometheus"
    assert tools.find("promtool", folder=tmp_path / "tools", path=path) is None


def test_a_machine_without_apt_is_told_what_else_it_can_do(tmp_path: Path) -> None:
    with pytest.raises(tools.ToolMissing, match="PROMETHEUS_URL"):
        tools.fetch(folder=tmp_path, path=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_prometheus_starts_none(tmp_path: Path) -> None:
    made = Prometheus(tmp_path, Processes(tmp_path), Ports(tmp_path / "ports.json"), find=lambda _: None)
    assert not made.start({"ingest": ["127.0.0.1:1"]})
    assert not made.stop()


@pytest.mark.watch
async def test_a_second_start_tells_it_of_services_that_moved(tmp_path: Path) -> None:
    made = Prometheus(tmp_path, Processes(tmp_path), Ports(tmp_path / "ports.json"))
    assert made.start({"ingest": ["127.0.0.1:1"]}), "run `make tools`"
    try:
        await asyncio.to_thread(made.await_ready)
        await until_asked(made, "127.0.0.1:1")
        assert made.start({"ingest": ["127.0.0.1:2"]})
        await until_asked(made, "127.0.0.1:2")
    finally:
        assert made.stop()
    assert any((tmp_path / "prometheus" / "data").iterdir())


async def until_asked(made: Prometheus, address: str) -> None:
    """Return when this is whom it asks, and nobody else."""

    async def is_asked() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            found = (await client.get(f"{made.url()}/api/v1/targets")).json()["data"]["activeTargets"]
        return {target["scrapeUrl"] for target in found} == {f"http://{address}/metrics"}

    await until(is_asked, address, 60)
