"""Whatever a caller asks for becomes a call, or is refused with its place: nothing else, and nothing slips through."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.base import Credential, InvalidParams
from libs.platforms.meta.packing import pack
from libs.platforms.meta.reads import READS, item_of, plan_read
from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.meta_batches import SETTINGS
from tests.support.mutations import mutated

USER = Credential("user-token", "4711")
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("get_object", {"object_id": "1", "fields": ["id", "posts.limit(5){message}"], "account_id": "act_5"}),
    ("get_ad_accounts", {"fields": ["id"], "limit": 10, "after": "QVFI"}),
    (
        "list_edge",
        {
            **{"object_id": "act_1", "edge": "ads", "fields": ["id"], "limit": 10, "effective_status": ["ACTIVE"]},
            "filtering": [{"field": "spend", "operator": "GREATER_THAN", "value": 1}],
        },
    ),
    (
        "get_insights",
        {
            **{"object_id": "act_1", "fields": ["spend"], "level": "ad", "time_increment": 1, "breakdowns": ["age"]},
            **{"time_range": {"since": "2026-11-01", "until": "2026-11-02"}, "sort": ["spend_descending"]},
        },
    ),
]


def test_the_good_reads_of_this_test_are_every_type() -> None:
    assert {request_type for request_type, _ in GOOD} == set(READS)


@pytest.mark.parametrize(("request_type", "params"), GOOD)
def test_canonical_params_plan_to_themselves(request_type: str, params: dict[str, Any]) -> None:
    call = plan_read(request_type, params)
    assert plan_read(request_type, json.loads(json.dumps(dict(call.params)))) == call


@settings(deadline=None, max_examples=4 * FUZZ_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_params_become_a_call_of_the_same_shape_or_are_refused(data: st.DataObject) -> None:
    request_type, good = data.draw(st.sampled_from(GOOD))
    body = data.draw(mutated(good))
    try:
        params = json.loads(body.decode("utf-8", "replace"))
    except ValueError:
        return
    if not isinstance(params, dict):
        return
    try:
        call = plan_read(request_type, params)
    except InvalidParams as refused:
        assert all(where.startswith("/params") and what and how for where, what, how in refused.errors)
        return
    assert plan_read(request_type, call.params) == call
    (element,) = json.loads(pack([item_of(call, USER)], SETTINGS).form["batch"])
    address = urlsplit(element["relative_url"])
    assert element["method"] == "GET"
    assert address.path.startswith("v26.0/")
    assert ".." not in address.path
    allowed = {*good, "limit", "date_preset", "account_id", "time_range", "action_breakdowns"}
    names = [name for name, _ in parse_qsl(address.query, keep_blank_values=True, strict_parsing=True)]
    assert set(names) <= allowed
    assert len(set(names)) == len(names)
    assert "access_token" not in address.query
    assert element["relative_url"].encode().isascii()
