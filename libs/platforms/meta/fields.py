"""What reads have in common, checked before any call: fields, pages, lists of words, filters.

One entry of `fields` is one field or one expansion of an edge.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from libs.platforms.meta.paging import CURSOR

MAX_FIELDS = 100
MAX_FIELD_CHARS = 1_000
MAX_WORDS = 50
MAX_FILTERS = 20
DEFAULT_PAGE_SIZE = 25
"""Meta's default `limit` (from memory, unverified), written out so that equal reads have equal keys."""

_WORD = re.compile(r"[A-Za-z0-9_]{1,100}")
_FILTER_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")

Errors = list[tuple[str, str, str]]
"""(JSON pointer, what is wrong, how to mend it)."""

_REFERENCE = "{result="  # `{result=name:$.x}` refers to another item of a batch. Source: "Batch requests", read 2026-11
# What a field may be written with. No `=`, and so no reference.
_FIELD = re.compile(r"[a-z_][A-Za-z0-9_.,(){}\[\]:\"'| -]*")
# A field or an expansion such as `posts.limit(5){id,message}`, with the text in parentheses and braces taken out. Meta
# calls anything else a syntax error. Source: "Field expansion", read 2026-11; modifiers after braces: from memory.
_PLAIN_FIELD = r"[a-z_][A-Za-z0-9_]*(?:\.[a-z_]+\(\)|\{\})*+"
_ONE_FIELD = re.compile(_PLAIN_FIELD)
_NESTED_FIELDS = re.compile(rf"\{{ *{_PLAIN_FIELD}(?: *, *{_PLAIN_FIELD})*+ *\}}")
_EMPTY = re.compile(r"\( *\)|\{ *\}")
_SECRET_FIELD = re.compile(r"access_token|secret|page_token", re.IGNORECASE)


def read_fields(params: Mapping[str, Any], errors: Errors) -> list[str]:
    """Read the list of fields; their order says nothing, so it is sorted."""
    fields = params.get("fields")
    if not isinstance(fields, list) or not 1 <= len(fields) <= MAX_FIELDS:
        errors.append(("/params/fields", "it is no list of fields", f"give 1 to {MAX_FIELDS} field names as a list"))
        return []
    for index, name in enumerate(fields):
        wrong = _wrong_field(name)
        if wrong is not None:
            errors.append((f"/params/fields/{index}", *wrong))
    return [] if errors else sorted(set(fields))


def _wrong_field(name: object) -> tuple[str, str] | None:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_FIELD_CHARS or not _FIELD.fullmatch(name):
        return "it is no field name", "give a field, or an expansion such as 'posts.limit(5){id,message}'"
    if not _is_balanced(name):
        return (
            "its brackets do not match, or a comma stands outside of them",
            "give one field or one expansion per entry",
        )
    if not _is_field(name):
        return "Meta cannot read it", "give a field, or an expansion such as 'posts.limit(5){id,message}'"
    if _SECRET_FIELD.search(name):
        return "it would put a credential into the result", "leave it out; credentials are kept by connections"
    return None


def _is_balanced(name: str) -> bool:
    """Tell whether brackets close in order and no comma stands outside of them: one entry is one field."""
    pairs = {")": "(", "}": "{", "]": "["}
    opened: list[str] = []
    for character in name:
        if character in pairs.values():
            opened.append(character)
        elif character in pairs:
            if not opened or opened.pop() != pairs[character]:
                return False
        elif character == "," and not opened:
            return False
    return not opened


def _is_field(name: str) -> bool:
    """Tell whether balanced text is one field: what stands in parentheses may be anything, the rest is names."""
    if _EMPTY.search(name):
        return False
    text, depth = "", 0
    for character in name:
        depth -= character == ")"
        text += character if depth == 0 else ""
        depth += character == "("
    while (shorter := _NESTED_FIELDS.sub("{}", text)) != text:
        text = shorter
    return _ONE_FIELD.fullmatch(text) is not None


def read_page_params(params: Mapping[str, Any], errors: Errors, *, largest: int) -> dict[str, Any]:
    """Read the size of a page of 1 to `largest`, and the cursor of the page before."""
    limit = params.get("limit", DEFAULT_PAGE_SIZE)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= largest:
        errors.append(("/params/limit", "it is no page size", f"give a whole number from 1 to {largest}"))
    after = params.get("after")
    if after is None:
        return {"limit": limit}
    if not isinstance(after, str) or not CURSOR.fullmatch(after):
        errors.append(("/params/after", "it is no cursor", "give `paging.cursors.after` of the page before"))
    return {"limit": limit, "after": after}


def read_words(name: str, params: Mapping[str, Any], errors: Errors) -> list[str]:
    """Read a list of words whose order says nothing."""
    words = params[name]
    fits = isinstance(words, list) and 1 <= len(words) <= MAX_WORDS
    if not fits or not all(isinstance(word, str) and _WORD.fullmatch(word) for word in words):
        errors.append(
            (f"/params/{name}", "it is no list of words", f"give 1 to {MAX_WORDS} words of letters and digits")
        )
        return []
    return sorted(set(words))


def read_filtering(params: Mapping[str, Any], errors: Errors) -> list[dict[str, Any]]:
    """Read conditions that must all hold: `{"field", "operator", "value"}`; their order says nothing.

    Source: `filtering` in "Insights API best practices", read 2026-11.
    """
    given = params["filtering"]
    conditions = given if isinstance(given, list) and 1 <= len(given) <= MAX_FILTERS else []
    if not conditions or not all(_is_condition(each) for each in conditions):
        how = f"give 1 to {MAX_FILTERS} of {{'field', 'operator', 'value'}}"
        errors.append(("/params/filtering", "it is no list of conditions", how))
        return []
    return sorted((dict(each) for each in conditions), key=as_json)


def as_json(value: Any) -> str:
    """Write a list or map as one value of a query: keys sorted, no spaces. Source: the Python business SDK."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _is_condition(condition: Any) -> bool:
    if not isinstance(condition, Mapping) or set(condition) != {"field", "operator", "value"}:
        return False
    names = (condition["field"], condition["operator"])
    values = condition["value"] if isinstance(condition["value"], list) else [condition["value"]]
    return (
        all(isinstance(name, str) and _FILTER_NAME.fullmatch(name) for name in names)
        and len(values) <= MAX_WORDS
        and all(_is_plain(value) for value in values)
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_FIELD_CHARS and _REFERENCE not in value
    return isinstance(value, int | float) and abs(value) < 2**63  # no NaN either
