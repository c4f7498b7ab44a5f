"""JSONPath references between items."""

from typing import Any

import pytest

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.references import find_values, referred_names, substitute

LIST = {"data": [{"id": "1"}, {"id": "2"}], "paging": {"next": "x"}, "count": 2, "on": True}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$", [LIST]),
        ("$.data.*.id", ["1", "2"]),
        ("$.data[*].id", ["1", "2"]),
        ("$.data[1].id", ["2"]),
        ("$.data[9].id", []),
        ("$.paging.next", ["x"]),
        ("$.nothing.here", []),
        ("$.count.deeper", []),
        ("$.paging.*", ["x"]),
    ],
)
def test_the_documented_forms_are_understood(path: str, values: list[Any]) -> None:
    assert find_values(LIST, path) == values


@pytest.mark.parametrize("path", ["data", "$data", "$.", "$..id", "$.data[?(@.id)]", "$.data["])
def test_other_forms_are_refused(path: str) -> None:
    with pytest.raises(GraphError):
        find_values(LIST, path)


def test_several_values_are_joined_by_commas() -> None:
    text = "?ids={result=a:$.data.*.id}&n={result=b:$.count}&on={result=b:$.on}"
    assert referred_names(text) == ["a", "b", "b"]
    assert substitute(text, {"a": LIST, "b": LIST}) == "?ids=1,2&n=2&on=true"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(GraphError):
        substitute("{result=x:$.id}", {})
