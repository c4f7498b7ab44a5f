"""JSON Schemas of the events, and the question whether a contract has only grown since it was released."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from libs.events.model import Event

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_WORDS_ONLY: Final = frozenset({"$schema", "$id", "$defs", "title", "description", "examples"})
"""Keywords that no reader or writer depends on; definitions count where they are referred to."""

Schema = Mapping[str, Any]


def json_schema(model: type[Event]) -> dict[str, Any]:
    """Give the JSON Schema of an event's body, named by the event's type."""
    return {"$schema": DIALECT, "$id": f"urn:platformbus:schema:{model.event_type}"} | model.model_json_schema()


def breaking_changes(released: Schema, current: Schema) -> list[str]:
    """Name every way in which `current` is more than `released` with optional fields added; empty when there is none.

    Fields keep their type, their bounds, their default and whether they are required. An enumeration may gain values:
    what reads them is rolled out before what writes them.
    """
    return list(_compare(released, current, (released, current), "body"))


_Roots = tuple[Schema, Schema]


def _compare(old: Schema, new: Schema, roots: _Roots, place: str) -> Iterator[str]:
    old, new = _resolve(old, roots[0]), _resolve(new, roots[1])
    for keyword in sorted((old.keys() | new.keys()) - _WORDS_ONLY):
        before, after = old.get(keyword), new.get(keyword)
        if keyword == "properties":
            yield from _compare_fields(old, new, roots, place)
        elif keyword == "required":
            yield from _compare_required(before or [], after or [], place)
        elif keyword == "enum":
            yield from _compare_values(before, after, place)
        elif keyword == "anyOf":
            yield from _compare_choices(before or [], after or [], roots, place)
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _compare(before, after, roots, f"{place} {keyword}")
        elif before != after:
            yield f"{place}: {keyword} was {before!r} and is {after!r}"


def _compare_fields(old: Schema, new: Schema, roots: _Roots, place: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name in after:
            yield from _compare(before[name], after[name], roots, f"{place}.{name}")
        else:
            yield f"{place}.{name} is gone"


def _compare_required(before: list[str], after: list[str], place: str) -> Iterator[str]:
    for name in sorted(set(after) - set(before)):
        yield f"{place}.{name} is required now: what was written without it could not be read"
    for name in sorted(set(before) - set(after)):
        yield f"{place}.{name} is optional now: who reads it by the released contract may miss it"


def _compare_values(before: list[Any] | None, after: list[Any] | None, place: str) -> Iterator[str]:
    if before is None or after is None:
        yield f"{place}: was {'free' if before is None else 'an enumeration'} and is no longer"
        return
    for value in before:
        if value not in after:
            yield f"{place}: value {value!r} is gone"


def _compare_choices(before: list[Schema], after: list[Schema], roots: _Roots, place: str) -> Iterator[str]:
    if len(before) != len(after):
        yield f"{place}: had {len(before)} alternatives and has {len(after)}"
        return
    for number, choice in enumerate(before, start=1):
        if all(list(_compare(choice, other, roots, place)) for other in after):
            yield f"{place}: alternative {number} has changed"


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Any = root
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **{keyword: value for keyword, value in schema.items() if keyword != "$ref"}}
