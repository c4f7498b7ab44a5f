from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libs.events.examples import EXAMPLES, Example
from libs.events.generate import broken_contracts
from libs.events.schemas import breaking_changes, json_schema
from libs.events.topics import EVENTS


def thing(properties: dict[str, Any], *required: str, **definitions: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "$defs": definitions}


TEXT = {"type": "string"}
RELEASED = thing(
    {
        "name": TEXT | {"minLength": 1},
        "colour": {"$ref": "#/$defs/Colour"},
        "size": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": TEXT},
    },
    "name",
    "colour",
    Colour={"enum": ["red", "blue"], "type": "string"},
)


def changed(field: str, schema: dict[str, Any] | None, *required: str, **definitions: Any) -> dict[str, Any]:
    properties = {name: value for name, value in RELEASED["properties"].items() if name != field}
    if schema is not None:
        properties[field] = schema
    return thing(properties, *(required or ("name", "colour")), **(RELEASED["$defs"] | definitions))


def test_no_released_contract_is_broken() -> None:
    assert broken_contracts() == []


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_example_keeps_its_schema(example: Example) -> None:
    schema = json_schema(type(example.event))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(example.event.model_dump(mode="json"))


def test_the_same_contract_is_not_broken() -> None:
    for model in EVENTS.values():
        assert breaking_changes(json_schema(model), json_schema(model)) == []


@pytest.mark.parametrize(
    "current",
    [
        changed("added", TEXT),
        changed("colour", RELEASED["properties"]["colour"] | {"description": "other words"}),
        changed("colour", {"$ref": "#/$defs/Hue"}, Hue={"enum": ["red", "blue"], "type": "string"}),
        changed("colour", {"$ref": "#/$defs/Colour"}, Colour={"enum": ["red", "blue", "green"], "type": "string"}),
    ],
    ids=["optional field", "description", "renamed definition", "new value"],
)
def test_growing_is_allowed(current: dict[str, Any]) -> None:
    assert breaking_changes(RELEASED, current) == []


@pytest.mark.parametrize(
    ("current", "words"),
    [
        (changed("tags", None), "body.tags is gone"),
        (changed("added", TEXT, "name", "colour", "added"), "body.added is required now"),
        (changed("name", RELEASED["properties"]["name"], "colour"), "body.name is optional now"),
        (changed("name", {"type": "integer", "minLength": 1}), "body.name: type was 'string' and is 'integer'"),
        (changed("name", TEXT | {"minLength": 2}), "body.name: minLength was 1 and is 2"),
        (changed("name", TEXT), "body.name: minLength was 1 and is None"),
        (changed("tags", {"type": "array", "items": {"type": "integer"}}), "body.tags items: type"),
        (changed("size", {"type": "integer", "default": None}), "body.size: had 2 alternatives and has 0"),
        (
            changed("size", {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}),
            "body.size: alternative 1 has changed",
        ),
        (
            changed("size", RELEASED["properties"]["size"] | {"default": 3}),
            "body.size: default was None and is 3",
        ),
        (
            changed("colour", {"$ref": "#/$defs/Colour"}, Colour={"enum": ["red"], "type": "string"}),
            "body.colour: value 'blue' is gone",
        ),
        (changed("colour", TEXT), "body.colour: was an enumeration and is no longer"),
    ],
)
def test_anything_else_breaks_the_contract(current: dict[str, Any], words: str) -> None:
    changes = breaking_changes(RELEASED, current)
    assert any(words in change for change in changes), changes
