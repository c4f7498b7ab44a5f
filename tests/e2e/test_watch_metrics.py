"""Every metric and label that dashboards and alerts ask for is on the services' /metrics after real traffic."""

import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from libs.postgres.schemas import SCHEMAS
from tests.support.cli import run_real
from tests.support.databases import Databases
from tests.support.processes import ROOT
from tests.support.promql import GIVEN_BY_PROMETHEUS, MADE_BY_PROMETHEUS, asked_by, read_samples
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.until import until
from tests.support.watching import Stage, last_commands, panels, rules

pytestmark = pytest.mark.e2e

RUNBOOKS = ROOT / "docs" / "runbooks"
_MOST_VALUES = 60
"""Of one label on one page; partitions, types and routes stay below it."""


@pytest.fixture(scope="module")
async def stage(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as opened:
        database = await databases.create(*SCHEMAS)
        opened.push_async_callback(databases.drop, database)
        system = await System.start(tmp_path_factory.mktemp("watch-metrics"), servers, database)
        opened.push_async_callback(system.close)
        made = await Stage.make(system)
        opened.push_async_callback(made.close)
        yield made


async def pages(system: System) -> dict[str, str]:
    async with httpx.AsyncClient(trust_env=False, timeout=15) as client:
        return {name: (await client.get(f"{url}/metrics")).text for name, url in system.urls.items()}


async def test_whatever_is_asked_for_is_there_and_no_label_tells_who_it_was(stage: Stage) -> None:
    asked = {query: asked_by(query) for _, queries in panels() for query in queries}
    alerts = rules(yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text()))
    asked |= {rule["expr"]: asked_by(rule["expr"]) for rule in alerts.values()}
    missing: list[str] = []

    async def all_there() -> bool:
        samples = read_samples((await pages(stage.system)).values())
        missing[:] = [
            f"{one} of {query}"
            for query, selectors in asked.items()
            for one in selectors
            if one.metric not in MADE_BY_PROMETHEUS and not one.is_answered_by(samples)
        ]
        return not missing

    await stage.move_everything()
    try:
        await until(all_there, "every metric", 45)
    except TimeoutError:
        pytest.fail("not on any /metrics:\n" + "\n".join(missing))
    text = await pages(stage.system)
    for page in text.values():
        check_labels(page)
    for secret in (stage.organization.org_id, stage.organization.connection_id, stage.organization.objects[0]):
        assert not [name for name, page in text.items() if secret in page]


@pytest.mark.parametrize("runbook", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
async def test_what_a_runbook_says_to_type_at_its_end_works(
    runbook: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {f"{service}_url": url for service, url in stage.system.urls.items()}
    settings["platformbus_key"] = stage.operator.key
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_REPLICATION_FACTOR"):
        monkeypatch.setenv(name, stage.system.environment[name])
    for line in last_commands(runbook.read_text()):
        run = await run_real(*shlex.split(line)[1:], settings=settings)
        assert run.exit_code == 0, f"{line}\n{run.stdout}\n{run.stderr}"


def check_labels(page: str) -> None:
    """Few values for each label, and none that Prometheus gives itself."""
    for name, found in read_samples([page]).items():
        values: dict[str, set[str]] = {}
        for labels in found:
            for label, value in labels.items():
                values.setdefault(label, set()).add(value)
        assert not GIVEN_BY_PROMETHEUS & values.keys(), name
        assert not {label: len(some) for label, some in values.items() if len(some) > _MOST_VALUES}, name
