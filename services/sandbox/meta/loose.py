"""Values inside parameters: JSON, and what Meta takes for JSON beside it.

Meta's own samples write `['1d_click','1d_view']`, `{since:'2026-01-01',until:'2026-01-31'}`, `[{field:"ad.impressions",
operator:"GREATER_THAN",value:0}]` and plain `age,gender` (O, marketing-api/insights): quotes of both kinds, and none.
"""

import json
import re
from typing import Any

MAX_CHARS = 64 * 1024
MAX_DEPTH = 8
_BARE = re.compile(r"[^\s,:\[\]{}\"']+")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def read_value(text: str) -> Any:
    """Raises: ValueError for what is no value in either way of writing."""
    if len(text) > MAX_CHARS:
        raise ValueError("too long")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        reader = _Reader(text)
        value = reader.read(0)
        reader.expect_end()
        return value


def read_names(text: str) -> list[str]:
    """Names as a list or parted by commas. Raises: ValueError."""
    stripped = text.strip()
    if stripped.startswith("["):
        found = read_value(stripped)
    elif stripped[:1] in {'"', "'"}:
        found = str(read_value(stripped)).split(",")
    else:
        found = stripped.split(",")
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError("not a list of names")
    return [name.strip() for name in found if name.strip()]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("too deep")
        sign = self._peek()
        if sign == "[":
            return self._read_list(depth)
        if sign == "{":
            return self._read_object(depth)
        if sign in {'"', "'"}:
            return self._read_quoted(sign)
        return _plain(self._read_bare())

    def expect_end(self) -> None:
        if self._peek():
            raise ValueError("more than one value")

    def _read_list(self, depth: int) -> list[Any]:
        self._at += 1
        found: list[Any] = []
        while self._peek() != "]":
            found.append(self.read(depth + 1))
            if self._peek() == ",":
                self._at += 1
            elif self._peek() != "]":
                raise ValueError("a list without its end")
        self._at += 1
        return found

    def _read_object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        found: dict[str, Any] = {}
        while (sign := self._peek()) != "}":
            key = self._read_quoted(sign) if sign in {'"', "'"} else self._read_bare()
            if self._peek() != ":":
                raise ValueError("a key without a value")
            self._at += 1
            found[key] = self.read(depth + 1)
            if self._peek() == ",":
                self._at += 1
            elif self._peek() != "}":
                raise ValueError("an object without its end")
        self._at += 1
        return found

    def _read_quoted(self, quote: str) -> str:
        self._at += 1
        found: list[str] = []
        while self._at < len(self._text):
            sign = self._text[self._at]
            self._at += 1
            if sign == quote:
                return "".join(found)
            if sign == "\\" and self._at < len(self._text):
                sign = self._text[self._at]
                self._at += 1
            found.append(sign)
        raise ValueError("a quote without its end")

    def _read_bare(self) -> str:
        match = _BARE.match(self._text, self._at)
        if not match:
            raise ValueError("nothing where a value should be")
        self._at = match.end()
        return match.group()

    def _peek(self) -> str:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]


def _plain(word: str) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    if _NUMBER.fullmatch(word):
        return float(word) if "." in word else int(word)
    return word
