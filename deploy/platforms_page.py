"""`python -m deploy.platforms_page [--check]`: write, or compare, docs/platforms.md.

Made from each platform's record (`libs/platforms`) and from what the sandbox's folder of the same name says that it
covers (`coverage.toml`), which a test compares with its code.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from libs.platforms.base import Platform
from libs.platforms.registry import build_platforms
from services.sandbox.coverage import Ability, read_coverage, read_edges

PAGE: Final = Path(__file__).parents[1] / "docs" / "platforms.md"
_NO_ABILITIES: Final = {"name", "api_version", "account_types"}
_HEAD: Final = """<!-- Written by `python -m deploy.platforms_page`. -->
# Platforms

What our own layer can do with each platform, and what of it the sandbox stands for.

Facts carry a mark: O read in official documents, S in the platform's own SDK, T in sources of third parties; M is from
memory and unverified. The mark of an operation speaks of its form; a single word or status may be weaker, which the
code says where it stands. "Proved by" names clients that are not ours and that a test runs against the sandbox,
unmodified, through its proxy.
"""


def page() -> str:
    """The whole text."""
    return "\n".join([_HEAD, *(part for platform in build_platforms(None).values() for part in _platform(platform))])


def _platform(platform: Platform) -> Iterator[str]:
    name = str(platform.name)
    abilities = read_coverage(name)
    own = [
        field.name for field in fields(platform) if field.name not in _NO_ABILITIES and getattr(platform, field.name)
    ]
    yield f"## {name}\n"
    yield f"Version {platform.api_version}. Our layer (`libs/platforms/{name}`): {', '.join(own)}.\n"
    yield "| Ability in the sandbox | Operations | Facts | Unverified | Proved by |"
    yield "| --- | --- | --- | --- | --- |"
    for ability in abilities:
        yield _row(ability.title, len(ability.operations), _marks(ability), _unverified(ability), _proved(ability))
    for ability in abilities:
        yield from _details(ability)
    yield f"\n### {name}: edges that are listed\n"
    yield "| Kind of object | Edges |"
    yield "| --- | --- |"
    for kind, edges in read_edges(name).items():
        yield _row(f"`{kind}`", " ".join(f"`{edge}`" for edge in edges))
    yield ""


def _details(ability: Ability) -> Iterator[str]:
    yield f"\n### {ability.title}\n"
    yield f"Documents: {', '.join(f'<{address}>' for address in ability.documents)}\n"
    yield "| Operation | Path | Hosts | Facts | Proved by |"
    yield "| --- | --- | --- | --- | --- |"
    for row in ability.operations:
        hosts, proved = " ".join(row.hosts), " ".join(row.proved_by)
        yield _row(f"`{row.name}`", f"`{row.method} /{row.path}`", hosts, row.mark, proved)


def _marks(ability: Ability) -> str:
    counts = Counter(row.mark for row in ability.operations)
    return ", ".join(f"{counts[mark]} {mark}" for mark in "OST" if counts[mark]) or "none"


def _unverified(ability: Ability) -> str:
    return " ".join(f"`{row.name}`" for row in ability.operations if row.mark == "M") or "none"


def _proved(ability: Ability) -> str:
    proved = Counter(client for row in ability.operations for client in row.proved_by)
    return ", ".join(f"{client} ({count})" for client, count in sorted(proved.items())) or "our own tests only"


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.platforms_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is not what it should be")
    if not parser.parse_args().check:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        sys.stderr.write("docs/platforms.md is out of date: run `python -m deploy.platforms_page`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
