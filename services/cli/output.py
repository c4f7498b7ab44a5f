"""How a command answers: tables and records for people, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Columns = Sequence[tuple[str, str]]
"""Pairs of field and heading; a field may be a path, `last.outcome`."""

_WIDE = 400
"""Columns when nobody looks: a cut id is of no use to `grep`."""


class Output:
    """Writes to standard output. Only what was asked for goes there; remarks go to standard error."""

    def __init__(self) -> None:
        self.as_json = False

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Columns, *, nothing: str = "nothing") -> None:
        """Show rows, in the given order."""
        if self.as_json:
            self.json(list(rows))
            return
        if not rows:
            self._console().print(Text(nothing))
            return
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for _, heading in columns:
            shown.add_column(heading, overflow="fold", no_wrap=False)
        for row in rows:
            shown.add_row(*(Text(plain(_at(row, field))) for field, _ in columns))
        self._console().print(shown)

    def record(self, record: Mapping[str, Any]) -> None:
        """Show one thing, a line per field; inner objects as indented JSON."""
        if self.as_json:
            self.json(record)
            return
        width = max((len(name) for name in record), default=0)
        for name, value in record.items():
            text = plain(value, indent=2).replace("\n", "\n" + " " * (width + 2))
            self._console().print(Text(f"{name:<{width}}  {text}"))

    def done(self, words: str, **fields: Any) -> None:
        """Say what was done; `fields` are what a program gets."""
        if self.as_json:
            self.json({"done": words, **fields})
        else:
            self._console().print(Text(plain(words)))

    def change(self, answer: Mapping[str, Any]) -> None:
        """Say what an admin route did, or with `dry_run` would have done."""
        if self.as_json:
            self.json(answer)
        else:
            self.done(f"{'not done, only tried: ' if answer['dry_run'] else ''}{answer['done']}")

    def json(self, value: Any) -> None:
        """Write JSON, indented, whole."""
        sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")

    def remark(self, words: str) -> None:
        """Say something beside the answer, on standard error."""
        sys.stderr.write(plain(words, keep_lines=True) + "\n")

    def _console(self) -> Console:
        return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def plain(value: Any, *, indent: int | None = None, keep_lines: bool = False) -> str:
    """A value as text that cannot steer a terminal: what others wrote into a record is shown, not obeyed."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        text = value
    elif isinstance(value, Mapping | list | tuple):
        text = json.dumps(value, default=str, ensure_ascii=False, indent=indent)
        keep_lines = True
    else:
        text = str(value)
    return "".join(
        char if char.isprintable() or (keep_lines and char == "\n") else char.encode("unicode_escape").decode()
        for char in text
    )


def _at(row: Mapping[str, Any], field: str) -> Any:
    value: Any = row
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
