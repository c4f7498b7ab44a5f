import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from libs.postgres.schemas import SCHEMAS
from libs.runtime.openapi import build_document, main, stale_documents, write_documents


def test_the_committed_documents_are_those_of_the_code() -> None:
    assert stale_documents() == []


@pytest.mark.parametrize("service", SCHEMAS)
def test_a_document_describes_the_service_its_keys_and_its_refusals(service: str) -> None:
    document = build_document(service)
    assert document["info"]["title"] == f"platformbus {service}"
    assert any(path.startswith("/v1/") for path in document["paths"])
    assert "/admin/dead-letters" in document["paths"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["security"], f"{method} {path} needs no key"
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert operation.get("description"), f"{method} {path} says nothing of itself"


@pytest.mark.parametrize("service", SCHEMAS)
def test_every_schema_of_a_document_is_valid_json_schema(service: str) -> None:
    for schema in build_document(service)["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_a_changed_document_is_stale_until_it_is_written(tmp_path: Path) -> None:
    assert len(stale_documents(tmp_path)) == len(SCHEMAS)
    assert len(write_documents(tmp_path)) == len(SCHEMAS)
    assert stale_documents(tmp_path) == []
    path = tmp_path / "ingest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"openapi": "2.0"}))
    assert stale_documents(tmp_path) == [path]
    assert write_documents(tmp_path) == [path]


def test_checking_the_committed_documents_ends_well() -> None:
    assert main(["--check"]) == 0


def test_documents_need_no_variable_and_no_server() -> None:
    command = [sys.executable, "-m", "libs.runtime.openapi", "--check"]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, cwd=Path(__file__).parents[3], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
