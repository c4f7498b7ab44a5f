"""What each platform's folder says that it covers: `<platform>/coverage.toml`, shown at `/_sandbox/coverage`.

A test compares it with the platform's table of operations, both ways; `docs/platforms.md` is made from it.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

MARKS = ("O", "S", "T", "M")
"""Where the facts of an operation come from: official documentation, the platform's own SDK, third parties, memory."""
EDGES = "edges"
_FOLDER = Path(__file__).parent


class CoverageBroken(ValueError):  # noqa: N818  reads as the fact it reports
    """A coverage.toml that cannot be read; the text says where."""


@dataclass(frozen=True, slots=True)
class Covered:
    """One operation: what it is called in the log of calls, how it is reached, how sure its facts are."""

    name: str
    method: str
    path: str
    hosts: tuple[str, ...]
    mark: str
    """The weakest of the marks that its form rests on; single statuses and words may be weaker, as the code says."""
    proved_by: tuple[str, ...]
    """Clients of other people's making that a test has run against it."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Operations that belong together, and the documents that they follow."""

    key: str
    title: str
    documents: tuple[str, ...]
    operations: tuple[Covered, ...]


def platforms() -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in _FOLDER.glob("*/coverage.toml")))


@cache
def read_coverage(platform: str) -> tuple[Ability, ...]:
    """In the order of the file. Raises: CoverageBroken; FileNotFoundError for a platform that lists nothing."""
    given = tomllib.loads((_FOLDER / platform / "coverage.toml").read_text())
    hosts = _texts(given, "hosts", platform)
    tables = {key: value for key, value in given.items() if isinstance(value, dict) and key != EDGES}
    return tuple(_ability(key, value, hosts) for key, value in tables.items())


@cache
def read_edges(platform: str) -> Mapping[str, tuple[str, ...]]:
    """Edges that are listed as such, by kind of object."""
    given = tomllib.loads((_FOLDER / platform / "coverage.toml").read_text())
    return {kind: tuple(text.split()) for kind, text in given.get(EDGES, {}).items()}


def as_json() -> dict[str, Any]:
    return {"platforms": {name: _platform_as_json(name) for name in platforms()}}


def _platform_as_json(name: str) -> dict[str, Any]:
    return {"abilities": [asdict(found) for found in read_coverage(name)], "edges": read_edges(name)}


def _ability(key: str, given: dict[str, Any], hosts: tuple[str, ...]) -> Ability:
    if unknown := given.keys() - {"title", "documents", "operations"}:
        raise CoverageBroken(f"{key}: unknown key {', '.join(sorted(unknown))}")
    rows = tuple(_covered(key, row, hosts) for row in given["operations"])
    return Ability(key, str(given["title"]), _texts(given, "documents", key), rows)


def _covered(ability: str, given: dict[str, Any], hosts: tuple[str, ...]) -> Covered:
    if unknown := given.keys() - {"name", "method", "path", "hosts", "mark", "proved_by"}:
        raise CoverageBroken(f"{ability}: unknown key {', '.join(sorted(unknown))}")
    row = Covered(
        name=given["name"],
        method=given.get("method", "GET"),
        path=given["path"],
        hosts=tuple(given.get("hosts", hosts)),
        mark=given["mark"],
        proved_by=tuple(given.get("proved_by", ())),
    )
    if row.mark not in MARKS:
        raise CoverageBroken(f"{ability}: {row.name} has the mark {row.mark!r}; there are {', '.join(MARKS)}")
    return row


def _texts(given: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    found: Sequence[object] = given.get(key, ())
    if not found or not all(isinstance(text, str) for text in found):
        raise CoverageBroken(f"{where}: {key} must be a list of texts")
    return tuple(str(text) for text in found)
