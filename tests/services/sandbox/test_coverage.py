"""What the sandbox says that it covers is what it covers."""

import json
from pathlib import Path

import pytest

from services.sandbox import coverage
from services.sandbox.meta import unserved
from services.sandbox.meta.catalog import KINDS
from services.sandbox.meta.table import TABLE
from tests.support.sandbox import SandboxProcess

FOLDER = Path(coverage.__file__).parent
OUTSIDE_THE_TABLE = {("meta.batch", "POST", ""), ("meta.multi_get", "GET", "?ids=")}
"""What the log of calls names beside the table's operations: many calls in one."""


def test_metas_list_names_every_operation_of_its_table_and_no_other() -> None:
    listed = {
        (row.name, row.method, row.path): set(row.hosts)
        for ability in coverage.read_coverage("meta")
        for row in ability.operations
    }
    # Rows that only say which gap somebody has met.
    served = [row for row in TABLE if row not in unserved.OPERATIONS]
    table = {(row.name, row.method, row.path): set(row.hosts) for row in served}
    missing = sorted(table.keys() - listed.keys())
    assert missing == [], (
        "add these rows to services/sandbox/meta/coverage.toml, then `python -m deploy.platforms_page`"
    )
    assert sorted(listed.keys() - table.keys() - OUTSIDE_THE_TABLE) == []
    assert {key: hosts for key, hosts in listed.items() if key in table} == table


def test_metas_list_names_every_edge_of_its_catalog_and_no_other() -> None:
    listed = {kind: set(edges) for kind, edges in coverage.read_edges("meta").items()}
    assert listed == {kind.name: set(kind.edges) for kind in KINDS.values() if kind.edges}


def test_no_operation_is_listed_twice() -> None:
    for platform in coverage.platforms():
        rows = [(row.name, row.method, row.path) for a in coverage.read_coverage(platform) for row in a.operations]
        assert len(rows) == len(set(rows))


def test_every_platforms_folder_has_a_list_and_names_the_documents_that_it_follows() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/platform.py")}
    assert set(coverage.platforms()) == folders
    for platform in folders:
        for ability in coverage.read_coverage(platform):
            assert all(address.startswith("https://") for address in ability.documents), ability.key


@pytest.mark.e2e
def test_the_list_can_be_asked_for(sandbox: SandboxProcess) -> None:
    shown = sandbox.client.get("/_sandbox/coverage").json()
    assert shown == json.loads(json.dumps(coverage.as_json()))
    assert sandbox.calls() == []
