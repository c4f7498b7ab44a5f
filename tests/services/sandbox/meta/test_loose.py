"""Every way of writing values that Meta's samples have is read; what is none is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.meta.loose import read_names, read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"since":"2026-01-01"}', {"since": "2026-01-01"}),
        ("{'since':'2026-01-01','until':'2026-01-31'}", {"since": "2026-01-01", "until": "2026-01-31"}),
        ("{since:'2026-01-01',until:2026-01-31}", {"since": "2026-01-01", "until": "2026-01-31"}),
        (
            '[{field:"ad.impressions",operator:"GREATER_THAN",value:0}]',
            [{"field": "ad.impressions", "operator": "GREATER_THAN", "value": 0}],
        ),
        ("['1d_click','1d_view']", ["1d_click", "1d_view"]),
        ("[1, -2.5, true, null, word]", [1, -2.5, True, None, "word"]),
        ("'it\\'s'", "it's"),
        (" [ ] ", []),
    ],
)
def test_values_are_read_as_metas_samples_write_them(text: str, value: object) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("text", ["", "[1,", "{'a'}", "{'a':1", "'a", "[1] 2", "]", ":", "[" * 20 + "a" + "]" * 20])
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_value(text)


@pytest.mark.parametrize(
    "text", ["age,gender", '["age","gender"]', "['age', 'gender']", '"age,gender"', " age , gender,"]
)
def test_names_are_a_list_or_parted_by_commas(text: str) -> None:
    assert read_names(text) == ["age", "gender"]


@pytest.mark.parametrize("text", ["[1]", "[[]]", '["age"', "{}"])
def test_a_list_of_other_things_is_no_list_of_names(text: str) -> None:
    if text == "{}":
        assert read_names(text) == ["{}"]
        return
    with pytest.raises(ValueError, match=r"."):
        read_names(text)


@given(st.text(alphabet="[]{}'\",:ab1 \\\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_value, read_names):
        try:
            read(text)
        except ValueError as error:
            assert str(error)
