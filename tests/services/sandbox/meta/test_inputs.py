"""Parameters of writes, read by type."""

from collections.abc import Callable
from typing import Any

import pytest

from services.sandbox.meta import inputs
from services.sandbox.meta.errors import GraphError


@pytest.mark.parametrize(
    ("read", "given", "value"),
    [
        (inputs.text, '"quoted"', "quoted"),
        (inputs.text, '"half', '"half'),
        (inputs.text, '"\\ud800"', '"\\ud800"'),
        (inputs.text, '"a" b "c"', '"a" b "c"'),
        (inputs.whole, "-12", -12),
        (inputs.whole, '"7"', 7),
        (inputs.number, "1.5", 1.5),
        (inputs.flag, "True", True),
        (inputs.flag, "0", False),
        (inputs.texts, "a, b,", ["a", "b"]),
        (inputs.texts, '["a",1]', ["a", "1"]),
        (inputs.items, "[]", []),
        (inputs.structure, '{"a":[1]}', {"a": [1]}),
    ],
)
def test_a_value_is_read_by_its_type(read: Callable[..., Any], given: str, value: object) -> None:
    assert read({"x": given}, "x") == value
    assert read({}, "x") is None


@pytest.mark.parametrize(
    ("read", "given", "words"),
    [
        (inputs.whole, "1.5", "must be an integer"),
        (inputs.whole, "9" * 19, "must be an integer"),
        (inputs.number, "much", "must be a number"),
        (inputs.flag, "perhaps", "must be a boolean"),
        (inputs.items, "{}", "must be an array."),
        (inputs.structure, "word", "must be a JSON object"),
        (inputs.structure, "[" * 5000, "must be a JSON object"),
        (inputs.structure, "[" * 300 + "]" * 300, "must be a JSON object"),
        (inputs.structure, '{"a":%s}' % ("9" * 30), "must be a JSON object"),
        (inputs.structure, '["\\ud800"]', "must be a JSON object"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(read: Callable[..., Any], given: str, words: str) -> None:
    with pytest.raises(GraphError) as refused:
        read({"x": given}, "x")
    assert refused.value.code == 100
    assert refused.value.message == f"(#100) Param x {words}"


def test_a_number_has_a_least_value() -> None:
    with pytest.raises(GraphError, match="at least 0"):
        inputs.whole({"x": "-1"}, "x", least=0)


def test_an_unknown_word_is_refused_with_the_known_ones() -> None:
    with pytest.raises(GraphError, match=r"must be one of \{A, B\} - got \"C\""):
        inputs.choice({"x": "C"}, "x", ("A", "B"))
    with pytest.raises(GraphError, match=r"Param x\[1\] must be one of"):
        inputs.choices({"x": '["A","C"]'}, "x", ("A", "B"))
    assert inputs.choices({"x": "A,B"}, "x", ("A", "B")) == ["A", "B"]


def test_what_is_required_may_be_neither_missing_nor_empty() -> None:
    for params in ({}, {"x": ""}, {"x": '""'}):
        with pytest.raises(GraphError, match="The parameter x is required"):
            inputs.required(params, "x")
    assert inputs.required({"x": "1"}, "x") == "1"
