import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import Envelope
from libs.events.problem import Problem
from libs.vocabulary import ConnectionStatus, OrgId
from services.ingest.models import ON_KAFKA, Ask, KnownConnection, KnownProducer, PlannedRead, World
from services.ingest.usecases.admission import MAX_PARAMS_BYTES, content_hash, judge, storable_key
from tests.support.ingest import PLATFORMS, a_payload

ORG, OTHER_ORG, CONNECTION, REVOKED, FAILING = (OrgId(UUID(int=number)) for number in range(1, 6))
WORLD = World(
    organizations=frozenset({ORG}),
    connections={
        (ORG, CONNECTION): KnownConnection("meta", ConnectionStatus.HEALTHY),
        (ORG, REVOKED): KnownConnection("meta", ConnectionStatus.REVOKED),
        (ORG, FAILING): KnownConnection("meta", ConnectionStatus.ERROR),
    },
    producers={
        "crm": KnownProducer(frozenset({ORG}), frozenset({"api_request"}), active=True),
        "everybody": KnownProducer(frozenset(), frozenset({"api_request"}), active=True),
        "closed": KnownProducer(frozenset({ORG}), frozenset({"api_request"}), active=False),
        "reader": KnownProducer(frozenset({ORG}), frozenset(), active=True),
    },
)
CAUSE = Envelope(id="e1", type="request.submitted.v1", source="crm", time=datetime(2026, 1, 1, tzinfo=UTC))
ASK = Ask(
    org_id=ORG,
    source="crm",
    kind="api_request",
    object_key="campaign-1",
    payload=a_payload(CONNECTION),
    idempotency_key="e1",
    via="kafka",
    places=ON_KAFKA,
    cause=CAUSE,
)


def refusal(**changes: Any) -> Problem:
    verdict = judge(replace(ASK, **changes), WORLD, PLATFORMS)
    assert isinstance(verdict, Problem)
    return verdict


def test_a_valid_ask_becomes_a_canonical_read_with_defaults() -> None:
    params = {"fields": ["name", "id", "id"], "object_id": "120330000000001"}
    verdict = judge(replace(ASK, payload=a_payload(CONNECTION, params=params)), WORLD, PLATFORMS)
    assert isinstance(verdict, PlannedRead)
    assert verdict.params == {"fields": ["id", "name"], "object_id": "120330000000001"}
    assert (verdict.priority, verdict.max_wait_seconds) == (5, None)


def test_a_producer_of_all_organizations_may_ask_for_any() -> None:
    assert isinstance(judge(replace(ASK, source="everybody"), WORLD, PLATFORMS), PlannedRead)


def test_over_http_the_key_stands_in_for_the_producer() -> None:
    assert isinstance(judge(replace(ASK, source="key:1", via="http", cause=None), WORLD, PLATFORMS), PlannedRead)


def test_a_connection_in_error_may_be_tried() -> None:
    assert isinstance(judge(replace(ASK, payload=a_payload(FAILING)), WORLD, PLATFORMS), PlannedRead)


@pytest.mark.parametrize(
    ("changes", "status", "slug", "where"),
    [
        ({"source": "stranger"}, 403, "producer_unknown", "header:ce_source"),
        ({"source": "closed"}, 403, "producer_unknown", "header:ce_source"),
        ({"org_id": OTHER_ORG}, 403, "organization_not_allowed", "/org_id"),
        ({"source": "everybody", "org_id": OTHER_ORG}, 404, "organization_unknown", "/org_id"),
        ({"source": "reader"}, 403, "kind_not_allowed", "/kind"),
        ({"cause": replace(CAUSE, org_id=OTHER_ORG)}, 422, "organization_contradicted", "header:ce_orgid"),
        ({"kind": "teleport"}, 422, "kind_unknown", "/kind"),
        ({"object_key": ""}, 422, "invalid", "key"),
        ({"object_key": "x" * 513}, 422, "invalid", "key"),
        ({"object_key": "ü" * 257}, 422, "invalid", "key"),
        ({"object_key": "a\x00b"}, 422, "invalid", "key"),
    ],
)
def test_who_and_for_what_is_refused_with_the_place(
    changes: dict[str, Any], status: int, slug: str, where: str
) -> None:
    problem = refusal(**changes)
    assert (problem.status, problem.type, problem.errors[0].where) == (
        status,
        f"urn:platformbus:problem:{slug}",
        where,
    )
    assert problem.title and problem.detail and problem.errors[0].what and problem.errors[0].how


@pytest.mark.parametrize(
    ("changes", "status", "slug", "where"),
    [
        ({"platform": "myspace"}, 422, "platform_unknown", "/payload/platform"),
        ({"platform": ""}, 422, "invalid", "/payload/platform"),
        ({"request_type": "delete_everything"}, 422, "request_type_unknown", "/payload/request_type"),
        ({"connection_id": str(uuid4())}, 422, "connection_unknown", "/payload/connection_id"),
        ({"connection_id": str(REVOKED)}, 409, "connection_not_usable", "/payload/connection_id"),
        ({"connection_id": "mine"}, 422, "invalid", "/payload/connection_id"),
        ({"connection_id": None}, 422, "invalid", "/payload/connection_id"),
        ({"params": []}, 422, "invalid", "/payload/params"),
        ({"params": {"fields": ["id"]}}, 422, "invalid", "/payload/params/object_id"),
        ({"priority": 0}, 422, "invalid", "/payload/priority"),
        ({"priority": 11}, 422, "invalid", "/payload/priority"),
        ({"priority": True}, 422, "invalid", "/payload/priority"),
        ({"priority": "5"}, 422, "invalid", "/payload/priority"),
        ({"max_wait_seconds": -1}, 422, "invalid", "/payload/max_wait_seconds"),
        ({"max_wait_seconds": float("inf")}, 422, "invalid", "/payload/max_wait_seconds"),
        ({"prioritee": 1}, 422, "invalid", "/payload/prioritee"),
    ],
)
def test_a_wrong_payload_is_refused_with_the_place(changes: dict[str, Any], status: int, slug: str, where: str) -> None:
    problem = refusal(payload=a_payload(CONNECTION, **changes))
    assert (problem.status, problem.type, problem.errors[0].where) == (
        status,
        f"urn:platformbus:problem:{slug}",
        where,
    )
    assert problem.title and problem.detail and problem.errors[0].what and problem.errors[0].how


def test_everything_that_is_wrong_is_named_at_once() -> None:
    problem = refusal(payload={"platform": 1, "extra/~": 2}, object_key="")
    assert [item.where for item in problem.errors] == [
        "key",
        "/payload/platform",
        "/payload/connection_id",
        "/payload/request_type",
        "/payload/params",
        "/payload/extra~1~0",
    ]


def test_a_refusal_never_repeats_a_long_value() -> None:
    secret = "planted-token-" + "x" * 400
    for changes in ({"platform": secret}, {"request_type": secret}, {"params": {secret: 1}}):
        assert secret not in refusal(payload=a_payload(CONNECTION, **changes)).model_dump_json()


def test_params_too_large_for_an_event_are_refused() -> None:
    fields = [f"f{number:03d}" + "x" * 900 for number in range(100)]
    params = {"object_id": "120330000000001", "fields": fields}
    problem = refusal(payload=a_payload(CONNECTION, params=params))
    assert problem.errors[0].where == "/payload/params"
    assert str(MAX_PARAMS_BYTES) in problem.errors[0].what


def test_a_connection_of_another_organization_is_unknown() -> None:
    world = replace(WORLD, connections={(OTHER_ORG, CONNECTION): KnownConnection("meta", ConnectionStatus.HEALTHY)})
    verdict = judge(ASK, world, PLATFORMS)
    assert isinstance(verdict, Problem)
    assert verdict.type.endswith("connection_unknown")


def test_a_connection_must_be_of_the_platform_that_is_asked() -> None:
    world = replace(WORLD, connections={(ORG, CONNECTION): KnownConnection("other", ConnectionStatus.HEALTHY)})
    verdict = judge(ASK, world, PLATFORMS)
    assert isinstance(verdict, Problem)
    assert verdict.type.endswith("connection_of_other_platform")


def test_the_order_of_fields_does_not_make_another_ask() -> None:
    payload = a_payload(CONNECTION)
    turned = dict(reversed(payload.items()))
    assert content_hash(ASK) == content_hash(replace(ASK, payload=turned))


def test_another_payload_object_or_kind_makes_another_ask() -> None:
    others = [
        replace(ASK, payload=a_payload(CONNECTION, priority=1)),
        replace(ASK, object_key="campaign-2"),
        replace(ASK, kind="other"),
    ]
    assert len({content_hash(ask) for ask in (ASK, *others)}) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
fields = st.sampled_from(
    ["platform", "connection_id", "request_type", "params", "priority", "max_wait_seconds", "more"]
)
parameters = st.dictionaries(st.sampled_from(["object_id", "fields", "limit", "x"]), json_values, max_size=4)


@given(
    changes=st.dictionaries(fields, json_values, max_size=3),
    params=parameters,
    kind=st.text(max_size=64) | st.just("api_request"),
    object_key=st.text(max_size=600),
)
def test_any_ask_is_planned_or_refused_in_words_that_can_be_sent(
    changes: dict[str, Any], params: dict[str, Any], kind: str, object_key: str
) -> None:
    payload = a_payload(CONNECTION, params=params) | changes
    ask = replace(ASK, payload=payload, kind=kind, object_key=object_key)
    verdict = judge(ask, WORLD, PLATFORMS)
    assert len(content_hash(ask)) == 32
    assert len(storable_key(object_key).encode()) <= 512
    if isinstance(verdict, Problem):
        assert len(verdict.model_dump_json()) < 100_000
        assert all(item.where and item.what and item.how for item in verdict.errors)
    else:
        assert json.loads(json.dumps(verdict.params, allow_nan=False)) == verdict.params
