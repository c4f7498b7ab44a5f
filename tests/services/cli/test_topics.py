"""`platformbus topics apply|compare` against a real broker."""

import pytest

from libs.events.topics import TOPICS
from tests.support.cli import run_cli

pytestmark = pytest.mark.kafka


def test_what_apply_makes_compare_finds_as_declared(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("KAFKA_REPLICATION_FACTOR", "1")
    planned = run_cli("topics", "apply", "--dry-run", "--json")
    compared = run_cli("topics", "compare", "--json")
    assert (planned.exit_code, planned.json) == (0, compared.json)
    assert compared.exit_code == (1 if compared.json else 0)
    assert {row["topic"] for row in compared.json} <= {topic.name for topic in TOPICS}

    assert run_cli("topics", "apply").exit_code == 0
    again = run_cli("topics", "compare")
    assert (again.exit_code, again.stdout) == (0, "the broker has every topic as declared\n")
    assert run_cli("topics", "apply", "--json").json == []


def test_a_broker_that_is_away_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    run = run_cli("topics", "compare")
    assert run.exit_code == 1
    assert run.stderr
