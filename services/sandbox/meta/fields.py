"""The `fields` language: names, aliases, per-edge modifiers and nesting.

`id,posts.limit(5).summary(true).as(latest){message,comments{from}}`: nesting with braces, `.limit(n)`, `.after` and
`.as` O (guides/field-expansion), `.order` O (docs/graph-api/advanced); `.summary` and the texts of syntax errors T.
Nesting has no limit (O); the sandbox stops at MAX_DEPTH so that input stays bounded.
"""

import re
from dataclasses import dataclass, field

from services.sandbox.meta.errors import bad_parameter, syntax_error
from services.sandbox.meta.loose import read_names

MAX_DEPTH = 40
MAX_CHARS = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(slots=True)
class Field:
    """One asked field. `children` is None when no braces were given."""

    name: str
    alias: str
    modifiers: dict[str, str] = field(default_factory=dict)
    children: "list[Field] | None" = None


def parse_fields(text: str) -> list[Field]:
    """Raises: GraphError 2500 where the text cannot be read."""
    if len(text) > MAX_CHARS:
        raise bad_parameter(f"fields is over {MAX_CHARS} characters")
    return _Parser(_joined(text)).read_all(depth=0)


def _joined(text: str) -> str:
    """A list of names, as `fields[]=id&fields[]=name` or JSON give it, is the same as one text (M)."""
    if not text.lstrip().startswith("["):
        return text
    try:
        return ",".join(read_names(text))
    except ValueError:
        return text


def write_fields(asked: "list[Field] | None") -> str:
    """Fields as text again, for links to further pages of an expanded edge."""
    written = []
    for each in asked or ():
        modifiers = "".join(f".{name}({value})" for name, value in each.modifiers.items())
        alias = f".as({each.alias})" if each.alias != each.name else ""
        nested = f"{{{write_fields(each.children)}}}" if each.children else ""
        written.append(f"{each.name}{modifiers}{alias}{nested}")
    return ",".join(written)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read_all(self, depth: int) -> list[Field]:
        found = self.read_list(depth)
        self.expect_end()
        return found

    def read_list(self, depth: int) -> list[Field]:
        if depth > MAX_DEPTH:
            raise bad_parameter(f"fields are nested deeper than {MAX_DEPTH}")
        found = [self._read_field(depth)]
        while self._take(","):
            found.append(self._read_field(depth))
        return found

    def expect_end(self) -> None:
        self._skip_blanks()
        if self._at < len(self._text):
            raise self._unexpected()

    def _read_field(self, depth: int) -> Field:
        name = self._read_name()
        found = Field(name=name, alias=name)
        while self._take("."):
            modifier = self._read_name()
            value = self._read_argument()
            if modifier == "as":
                found.alias = value
            elif modifier == "fields":
                # The older way to write braces: `albums.fields(photos)` (O, guides/field-expansion of v2.x).
                found.children = _Parser(value).read_all(depth + 1)
            else:
                found.modifiers[modifier] = value
        if self._take("{"):
            found.children = self.read_list(depth + 1)
            if not self._take("}"):
                raise self._unexpected()
        return found

    def _read_name(self) -> str:
        self._skip_blanks()
        match = _NAME.match(self._text, self._at)
        if not match:
            raise self._unexpected()
        self._at = match.end()
        return match.group()

    def _read_argument(self) -> str:
        """The text between parentheses, which may hold quoted texts, lists and objects."""
        if not self._take("("):
            raise self._unexpected()
        start, depth, quoted = self._at, 1, ""
        while self._at < len(self._text):
            sign = self._text[self._at]
            if quoted:
                quoted = "" if sign == quoted else quoted
            elif sign in "\"'":
                quoted = sign
            elif sign in "()":
                depth += 1 if sign == "(" else -1
            self._at += 1
            if depth == 0:
                return self._text[start : self._at - 1].strip()
        raise self._unexpected()

    def _take(self, sign: str) -> bool:
        self._skip_blanks()
        if self._text.startswith(sign, self._at):
            self._at += 1
            return True
        return False

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _unexpected(self) -> Exception:
        found = self._text[self._at] if self._at < len(self._text) else None
        return syntax_error(found, self._at, self._text)
