"""Writes what is made from the contracts: `python -m libs.events.generate [--check | --release VERSION]`.

docs/schemas/<type>.json                    JSON Schema of each event
docs/schemas/released/<version>/<type>.json copies that later contracts are compared with; written by --release
docs/asyncapi.yaml                          the AsyncAPI document
README.md                                   the table between its markers
tests/libs/events/golden/<type>.json        a record of each event; written once, never again
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from libs.events.asyncapi import asyncapi_document
from libs.events.examples import EXAMPLES, Example
from libs.events.schemas import breaking_changes, json_schema
from libs.events.topics import DAY_MS, EVENTS, TOPICS, Topic

ROOT: Final = Path(__file__).resolve().parents[2]
BEGIN: Final = "<!-- topics:begin -->"
END: Final = "<!-- topics:end -->"


def generated_files(root: Path = ROOT) -> dict[Path, str]:
    """Give the text of every file that follows from the code. Raises ValueError when README.md has lost its markers."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    document = asyncapi_document(version)
    files = {root / "docs" / "schemas" / f"{name}.json": _json(json_schema(model)) for name, model in EVENTS.items()}
    files[root / "docs" / "asyncapi.yaml"] = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    readme = root / "README.md"
    files[readme] = with_table(readme.read_text())
    return files


def golden_files(root: Path = ROOT) -> dict[Path, str]:
    """Give the golden record of every event that has none yet: an old one stands for what was once written."""
    folder = root / "tests" / "libs" / "events" / "golden"
    wanted = {folder / f"{name}.json": example for name, example in EXAMPLES.items()}
    return {path: _json(golden_record(example)) for path, example in wanted.items() if not path.exists()}


def golden_record(example: Example) -> dict[str, Any]:
    """Give a record as JSON: key, headers and body."""
    headers = {name: value.decode() for name, value in example.envelope.to_headers()}
    return {"key": example.key, "headers": headers, "body": json.loads(example.event.model_dump_json())}


def broken_contracts(root: Path = ROOT) -> list[str]:
    """Name every breaking change against every released schema, also of events that are gone."""
    broken: list[str] = []
    for path in sorted((root / "docs" / "schemas" / "released").glob("*/*.json")):
        name = path.name.removesuffix(".json")
        if name not in EVENTS:
            broken.append(f"{name}, released in {path.parent.name}, is gone: keep it until nobody reads it")
            continue
        changes = breaking_changes(json.loads(path.read_text()), json_schema(EVENTS[name]))
        broken.extend(f"{name} against {path.parent.name}: {change}; make it a new version" for change in changes)
    return broken


def with_table(readme: str) -> str:
    """Put the table of topics between the markers. Raises ValueError when a marker is missing."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md needs the lines {BEGIN} and {END}, in this order")
    return f"{head}{BEGIN}\n{topics_table()}{END}{tail}"


def topics_table() -> str:
    """Give the table of topics in Markdown."""
    lines = [
        "| Topic | Kind, key | Kept | Written by | Read by | What is on it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for declared in TOPICS:
        events = ", ".join(f"`{model.event_type}`" for model in declared.events) or "records of any form"
        cells = (
            f"`{declared.name}`",
            f"{declared.kind}; {declared.key}",
            _kept(declared),
            ", ".join(declared.written_by),
            ", ".join(declared.read_by),
            f"{events}: {declared.summary}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` only compare; 1 when something is stale or a contract is broken."""
    parser = argparse.ArgumentParser(
        prog="python -m libs.events.generate", description="Write what follows from events"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    which.add_argument("--release", metavar="VERSION", help="also keep the schemas as those of a release")
    options = parser.parse_args(arguments)
    broken = broken_contracts()
    for line in broken:
        sys.stderr.write(f"{line}\n")
    if options.check:
        stale = [path for path, text in _all_files().items() if not path.exists() or path.read_text() != text]
        for path in stale:
            sys.stderr.write(f"{path} is stale: run `python -m libs.events.generate`\n")
        return 1 if stale or broken else 0
    files = _all_files() | (_released(options.release) if options.release else {})
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stdout.write(f"wrote {path}\n")
    return 1 if broken else 0


def _all_files() -> dict[Path, str]:
    return generated_files() | golden_files()


def _released(version: str) -> dict[Path, str]:
    folder = ROOT / "docs" / "schemas" / "released" / version
    return {folder / f"{name}.json": _json(json_schema(model)) for name, model in EVENTS.items()}


def _kept(declared: Topic) -> str:
    return "compacted" if declared.retention_ms is None else f"{declared.retention_ms // DAY_MS} days"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
