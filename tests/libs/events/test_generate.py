import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from libs.events.asyncapi import asyncapi_document
from libs.events.envelope import decode
from libs.events.generate import ROOT, generated_files, golden_files, topics_table, with_table
from libs.events.topics import EVENTS, TOPICS

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


def test_committed_documents_follow_from_the_code() -> None:
    stale = [path.name for path, text in generated_files().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run `python -m libs.events.generate`"


def test_every_event_has_a_golden_file() -> None:
    assert golden_files() == {}
    assert {path.name.removesuffix(".json") for path in GOLDEN} >= EVENTS.keys()


@pytest.mark.parametrize("path", GOLDEN, ids=[path.stem for path in GOLDEN])
def test_a_golden_record_is_still_read_in_full(path: Path) -> None:
    record = json.loads(path.read_text())
    headers = [(name, value.encode()) for name, value in record["headers"].items()]

    envelope, event = decode(headers, json.dumps(record["body"]).encode())

    assert dict(envelope.to_headers()) == dict(headers)
    assert event is not None
    read = json.loads(event.model_dump_json())
    assert {name: read.get(name) for name in record["body"]} == record["body"]


def test_the_table_names_every_topic_between_the_markers() -> None:
    readme = with_table("before\n<!-- topics:begin -->\nold\n<!-- topics:end -->\nafter\n")
    assert readme.startswith("before\n") and readme.endswith("-->\nafter\n") and "old" not in readme
    assert with_table(readme) == readme
    assert all(f"| `{declared.name}` |" in topics_table() for declared in TOPICS)


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"README\.md needs the lines"):
        with_table("no markers here")


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    references = list(_references(document))
    assert references
    for reference in references:
        if reference.startswith("#/"):
            target: Any = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]
        else:
            Draft202012Validator.check_schema(json.loads((ROOT / "docs" / reference).read_text()))


def test_the_asyncapi_document_says_who_writes_and_reads() -> None:
    operations = asyncapi_document("1")["operations"]
    assert operations["ingest.receive.requests"] == {"action": "receive", "channel": {"$ref": "#/channels/requests"}}
    assert operations["batcher.send.batcher.results"]["action"] == "send"
    assert "internal systems.send.requests" not in operations


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
