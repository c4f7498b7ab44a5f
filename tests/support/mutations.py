"""Answers that went wrong on their way: a good one with parts lost, doubled, of another type, or bytes damaged."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 200, 10**30, 1.5, float("nan"), float("inf"), "", "0", "null", "\x00"]),
    st.sampled_from([[], {}, [[]], [None], {"id": "1"}, {"error": {}}, {"data": []}, {"error": {"code": 190}}]),
    st.text(max_size=8),
)


def mutated(good: Any) -> st.SearchStrategy[bytes]:
    """Give bodies made from a good one: mostly JSON with something wrong in it, sometimes damaged bytes."""
    return st.one_of(_structures(good), _structures(good), _bytes(good), st.binary(max_size=30))


@st.composite
def _structures(draw: st.DrawFn, good: Any) -> bytes:
    whole = [copy.deepcopy(good)]
    for _ in range(draw(st.integers(1, 3))):
        holders = [holder for holder in _holders(whole) if len(holder)]
        if not holders:
            break
        holder = draw(st.sampled_from(range(len(holders))).map(holders.__getitem__))
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        _damage(draw, holder, key, is_root=holder is whole)
    return json.dumps(whole[0]).encode("utf-8", "surrogatepass")


def _damage(draw: st.DrawFn, holder: Any, key: Any, *, is_root: bool) -> None:
    """Replace, remove, wrap, double or rename one part; the root can only be replaced or wrapped."""
    value = holder[key]
    way = draw(
        st.sampled_from(["replace", "wrap", "inner"] if is_root else ["replace", "remove", "wrap", "text", "more"])
    )
    if way == "replace":
        holder[key] = copy.deepcopy(draw(ODD))
    elif way == "remove":
        del holder[key]
    elif way == "wrap":
        holder[key] = draw(st.sampled_from([[value], {"data": value}, {"id": value}, [value, value]]))
    elif way == "text":
        holder[key] = value[: draw(st.integers(0, len(value)))] if isinstance(value, str) else json.dumps(value)
    elif way == "more" and isinstance(holder, list):
        holder.append(copy.deepcopy(value))
    elif isinstance(holder, dict):
        holder[draw(st.sampled_from(["error", "id", "data", "code", "body", "success"]))] = copy.deepcopy(draw(ODD))


@st.composite
def _bytes(draw: st.DrawFn, good: Any) -> bytes:
    body = json.dumps(good).encode()
    at = draw(st.integers(0, len(body) - 1))
    till = draw(st.integers(at, min(len(body), at + 10)))
    return draw(
        st.sampled_from([body[:at], body[:at] + body[till:], body[:at] + draw(st.binary(max_size=4)) + body[till:]])
    )


def _holders(value: Any) -> list[Any]:
    """Give every list and object within, the outermost first."""
    if not isinstance(value, list | dict):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(holder for part in inner for holder in _holders(part))]
