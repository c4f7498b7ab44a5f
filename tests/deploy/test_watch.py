"""Dashboards, alerts and runbooks agree with the code and with each other. Validated here; run by `make test-watch`."""

import json
import re
import shlex
import tomllib
from itertools import pairwise
from typing import Any

import pytest
import typer
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, RowPanel

from deploy import watch
from deploy.grafana import flow
from deploy.local.environment import SERVICES
from deploy.prometheus.alerts import Pace
from deploy.prometheus.alerts import rules as alert_rules
from libs.runtime.service import VERSION
from services.cli.app import create_app
from tests.support.processes import ROOT
from tests.support.promql import asked_by
from tests.support.watching import FLOW, panels, rules

RUNBOOKS = ROOT / "docs" / "runbooks"
ALERTS: dict[str, dict[str, Any]] = rules(yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text()))
PROVISIONING = ROOT / "deploy/grafana/provisioning"
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


def test_the_committed_files_are_what_the_code_makes() -> None:
    stale = [str(path) for path, text in watch.files().items() if path.read_text() != text]
    assert stale == [], "run `python -m deploy.watch`"


@pytest.mark.parametrize(("title", "queries"), list(panels()))
def test_every_query_of_a_panel_is_promql(title: str, queries: list[str]) -> None:
    assert queries, title
    for query in queries:
        assert asked_by(query), query


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_promql_and_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert asked_by(rule["expr"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert rule["annotations"]["summary"]


def test_a_faster_pace_changes_spans_and_nothing_else() -> None:
    slow, fast = rules(alert_rules()), rules(alert_rules(Pace(20)))
    assert slow.keys() == fast.keys()
    for name, rule in slow.items():
        assert asked_by(fast[name]["expr"]) == asked_by(rule["expr"])
    assert fast["OutboxAgeHigh"]["expr"].endswith("> 3")
    assert fast["OutboxAgeHigh"]["for"] == "6s"


def test_the_version_that_a_process_tells_is_that_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_the_first_ten_alerts_are_there() -> None:
    assert {
        "OutboxAgeHigh",
        "RelayStalled",
        "ConsumerStalled",
        "ConsumerLagHigh",
        "ParkedKeysGrowing",
        "DeadLettersOpen",
        "WebhooksUnprocessed",
        "WebhooksRefused",
        "QueueOverdue",
        "JobMissed",
    } <= ALERTS.keys()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_leads_from_meaning_to_a_command_and_how_to_know_that_it_worked(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert re.search(r"\n```\nplatformbus .+\n```\n\nHow to know that it worked: .+", text, re.DOTALL)


def commands(name: str) -> list[str]:
    """The `platformbus ...` lines and quotations of a runbook."""
    text = (RUNBOOKS / f"{name}.md").read_text()
    quoted = re.findall(r"`(platformbus [^`]+)`", text.replace("\n   ", " "))
    return [*quoted, *(line for line in text.splitlines() if line.startswith("platformbus "))]


@pytest.mark.parametrize("name", ALERTS)
def test_the_commands_of_a_runbook_are_commands_that_there_are(name: str) -> None:
    for line in commands(name):
        node: Any = typer.main.get_command(create_app())
        words = shlex.split(line)[1:]
        while getattr(node, "commands", None):
            assert words and words[0] in node.commands, f"{line}: there is no such command"
            node = node.commands[words.pop(0)]
        known = {option for parameter in node.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_grafana_reads_the_dashboard_as_it_was_meant() -> None:
    """By the types that Grafana generates from its own schema; an unknown field would be lost on the way."""
    document = json.loads(FLOW.read_text())
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(document)))
    assert _lost(document, again) == []
    assert document["schemaVersion"] == 41


def _lost(before: Any, after: Any, place: str = "") -> list[str]:
    if isinstance(before, dict):
        return [
            lost
            for key, value in before.items()
            for lost in (_lost(value, after[key], f"{place}/{key}") if key in after else [f"{place}/{key}"])
        ]
    if isinstance(before, list):
        return [lost for n, value in enumerate(before) for lost in _lost(value, after[n], f"{place}/{n}")]
    return [] if before == after else [place]


def test_panels_have_a_place_of_their_own_and_an_explanation() -> None:
    made = flow.build().panels or []
    assert len({panel.id_val for panel in made}) == len(made)
    places = [panel.grid_pos for panel in made if panel.grid_pos]
    assert len(places) == len(made)
    for left, right in pairwise(sorted(places, key=lambda place: (place.y, place.x))):
        assert left.x + left.w <= 24
        assert left.y < right.y or left.x + left.w <= right.x, "two panels overlap"
    for panel in made:
        if not isinstance(panel, RowPanel):
            assert panel.description, panel.title
            assert panel.field_config is not None, panel.title
            assert panel.field_config.defaults.unit, panel.title


def test_prometheus_asks_every_service_of_compose_at_its_port() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    asked = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert [config["labels"]["service"] for config in asked["static_configs"]] == list(SERVICES)
    for name, config in zip(SERVICES, asked["static_configs"], strict=True):
        assert config["targets"] == [f"{name}:{compose[name]['environment'][f'{name.upper()}_PORT']}"]
    assert "./deploy/prometheus:/etc/prometheus:ro" in compose["prometheus"]["volumes"]


def test_grafana_is_provisioned_with_the_dashboards_and_a_source_for_them() -> None:
    source = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((PROVISIONING / "dashboards/platformbus.yml").read_text())["providers"][0]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    volumes = compose["grafana"]["volumes"]
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in volumes
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in volumes
    assert compose["grafana"]["image"].split(":")[1].startswith("11.6."), "the line that the builders are made for"
