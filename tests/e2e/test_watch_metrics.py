"""Every metric and label that dashboards and alerts ask for is on the services' /metrics after real traffic."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from libs.postgres.schemas import SCHEMAS
from tests.support.databases import Databases
from tests.support.processes import ROOT
from tests.support.promql import GIVEN_BY_PROMETHEUS, MADE_BY_PROMETHEUS, asked_by, read_samples
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.until import until
from tests.support.watching import Stage, panels, rules

pytestmark = pytest.mark.e2e

_MOST_VALUES = 60
"""Of one label on one page; partitions, types and routes stay below it."""


@pytest.fixture
async def system(servers: Servers, databases: Databases, tmp_path: Path) -> AsyncIterator[System]:
    database = await databases.create(*SCHEMAS)
    made = await System.start(tmp_path, servers, database)
    try:
        yield made
    finally:
        await made.close()
        await databases.drop(database)


async def pages(system: System) -> dict[str, str]:
    async with httpx.AsyncClient(trust_env=False, timeout=15) as client:
        return {name: (await client.get(f"{url}/metrics")).text for name, url in system.urls.items()}


async def test_whatever_is_asked_for_is_there_and_no_label_tells_who_it_was(system: System) -> None:
    asked = {query: asked_by(query) for _, queries in panels() for query in queries}
    alerts = rules(yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text()))
    asked |= {rule["expr"]: asked_by(rule["expr"]) for rule in alerts.values()}
    stage = await Stage.make(system)
    missing: list[str] = []

    async def all_there() -> bool:
        samples = read_samples((await pages(system)).values())
        missing[:] = [
            f"{one} of {query}"
            for query, selectors in asked.items()
            for one in selectors
            if one.metric not in MADE_BY_PROMETHEUS and not one.is_answered_by(samples)
        ]
        return not missing

    try:
        await stage.move_everything()
        try:
            await until(all_there, "every metric", 45)
        except TimeoutError:
            pytest.fail("not on any /metrics:\n" + "\n".join(missing))
        text = await pages(system)
    finally:
        await stage.close()
    for page in text.values():
        check_labels(page)
    for secret in (stage.organization.org_id, stage.organization.connection_id, stage.organization.objects[0]):
        assert not [name for name, page in text.items() if secret in page]


def check_labels(page: str) -> None:
    """Few values for each label, and none that Prometheus gives itself."""
    for name, found in read_samples([page]).items():
        values: dict[str, set[str]] = {}
        for labels in found:
            for label, value in labels.items():
                values.setdefault(label, set()).add(value)
        assert not GIVEN_BY_PROMETHEUS & values.keys(), name
        assert not {label: len(some) for label, some in values.items() if len(some) > _MOST_VALUES}, name
