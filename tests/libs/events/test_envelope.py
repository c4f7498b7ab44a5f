import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import MAX_HEADERS, Envelope, Undecodable, decode, new_event_id, read_envelope
from libs.events.examples import EXAMPLES, Example
from libs.events.requests import RequestSubmitted

Headers = list[tuple[str, bytes | None]]

REQUEST = EXAMPLES["request.submitted.v1"]
BODY = REQUEST.event.model_dump_json().encode()


def headers_with(**changes: bytes | None) -> Headers:
    """Good headers with some replaced; `content_type` stands for `content-type`."""
    renamed = {name.replace("content_type", "content-type"): value for name, value in changes.items()}
    kept: Headers = [(name, value) for name, value in REQUEST.envelope.to_headers() if name not in renamed]
    return [*kept, *renamed.items()]


def headers_without(name: str) -> Headers:
    return [(other, value) for other, value in REQUEST.envelope.to_headers() if other != name]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_event_comes_back_as_it_was_written(example: Example) -> None:
    envelope, event = decode(example.envelope.to_headers(), example.event.model_dump_json().encode())
    assert (envelope, event) == (example.envelope, example.event)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_the_cloudevents_sdk_reads_our_records(example: Example) -> None:
    body = example.event.model_dump_json().encode()
    record = KafkaMessage(headers=dict(example.envelope.to_headers()), key=example.key, value=body)

    read = from_binary(record, JSONFormat(), CloudEvent)

    assert (read.get_id(), read.get_source(), read.get_type()) == (
        example.envelope.id,
        example.envelope.source,
        example.envelope.type,
    )
    assert read.get_specversion() == "1.0"
    assert read.get_time() == example.envelope.time
    assert read.get_subject() == example.envelope.subject
    assert read.get_datacontenttype() == "application/json"
    assert read.get_extension("orgid") == str(example.envelope.org_id)
    assert read.get_extension("correlationid") == example.envelope.correlation_id
    assert type(example.event).model_validate(read.get_data()) == example.event


def test_we_read_what_the_cloudevents_sdk_writes() -> None:
    assert isinstance(REQUEST.event, RequestSubmitted)
    event = CloudEvent(
        attributes={
            "id": "42",
            "source": "crm",
            "type": "request.submitted.v1",
            "specversion": "1.0",
            "time": datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
            "datacontenttype": "application/json",
            "idempotencykey": "once",
        },
        data=REQUEST.event.model_dump(mode="json"),
    )
    record = to_binary(event, JSONFormat())

    envelope, read = decode(list(record.headers.items()), record.value)

    assert read == REQUEST.event
    assert envelope == Envelope(
        id="42",
        type="request.submitted.v1",
        source="crm",
        time=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
        idempotency_key="once",
    )


def test_a_record_without_a_time_happened_now() -> None:
    before = datetime.now(UTC)
    assert before <= read_envelope(headers_without("ce_time")).time <= datetime.now(UTC)


def test_a_time_is_read_as_utc_whatever_its_offset() -> None:
    envelope = read_envelope(headers_with(ce_time=b"2026-11-21T11:30:00+02:00"))
    assert envelope.time == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert envelope.time.utcoffset() == timedelta(0)


def test_a_malformed_trace_context_is_left_out() -> None:
    assert read_envelope(headers_with(traceparent=b"00-zz-1")).traceparent is None
    assert read_envelope(headers_with(traceparent=b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01")).traceparent is None


def test_a_content_type_may_name_its_charset() -> None:
    assert read_envelope(headers_with(content_type=b"application/json; charset=utf-8")).id == REQUEST.envelope.id


def test_headers_of_others_are_passed_over() -> None:
    assert read_envelope(headers_with(x_trace=b"anything")) == REQUEST.envelope


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "header ce_specversion must be 1.0"),
        (headers_without("ce_id"), "header ce_id is missing"),
        (headers_without("ce_type"), "header ce_type is missing"),
        (headers_without("ce_source"), "header ce_source is missing"),
        (headers_with(ce_specversion=b"0.3"), "header ce_specversion must be 1.0"),
        (headers_with(ce_id=None), "header ce_id is null"),
        (headers_with(other=None), "header other is null"),
        (headers_with(ce_source=b"\xff\xfe"), "header ce_source is not UTF-8"),
        (headers_with(other=b"\xff\xfe"), "header other is not UTF-8"),
        (headers_with(ce_id=b""), "header ce_id is empty"),
        (headers_with(ce_id=b"a\x00b"), "header ce_id holds a control character"),
        (headers_with(ce_id=b"x" * 1_025), "header ce_id has 1025 bytes"),
        (headers_with(other=b"x" * 20_000), "the headers have"),
        ([*headers_with(), *((f"h{number}", b"") for number in range(MAX_HEADERS))], "headers, more than the 64"),
        ([*headers_with(), ("ce_source", b"somebody-else")], "header ce_source is there twice"),
        (headers_with(ce_time=b"yesterday"), "header ce_time is not an RFC 3339 time"),
        (headers_with(ce_time=b"2026-11-21T09:30:00"), "header ce_time is not an RFC 3339 time"),
        (headers_with(ce_time=b"0001-01-01T00:00:00+14:00"), "header ce_time is not an RFC 3339 time"),
        (headers_with(ce_orgid=b"acme"), "header ce_orgid is not a UUID"),
        (headers_with(ce_version=b"-1"), "header ce_version is not a whole number"),
        (headers_with(ce_version="٣".encode()), "header ce_version is not a whole number"),
        (headers_with(ce_version=b"9223372036854775808"), "header ce_version is not a whole number"),
        (headers_with(content_type=b"text/plain"), "header content-type must be application/json"),
        (headers_with(content_type=b"application/cloudevents+json"), "only the binary mode is read"),
    ],
)
def test_headers_that_cannot_be_read_say_why(headers: Headers, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        read_envelope(headers)


def body_with(payload: str) -> bytes:
    return f'{{"kind":"api_request","org_id":"{REQUEST.envelope.org_id}","payload":{payload}}}'.encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "has no body, and only state has tombstones"),
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON: recursion limit"),
        (b"[]", "body: Input should be an object"),
        (b'{"kind":"api_request","payload":{}}', "org_id: Field required"),
        (b'{"kind":"","org_id":"x","payload":{}}', "kind: String should have at least 1 character; org_id: "),
        (body_with('{"a":NaN}'), "the body is not JSON"),
        (body_with('{"a":-Infinity}'), "the body is not JSON"),
        (body_with('{"a":["\\u0000"]}'), "U.0000"),
        (body_with('{"\\u0000":1}'), "U.0000"),
        (body_with('{"a":"\\ud800"}'), "Invalid JSON"),
    ],
)
def test_a_body_that_breaks_its_contract_says_why(value: bytes | None, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        decode(REQUEST.envelope.to_headers(), value)


def test_words_that_only_look_like_unstorable_values_are_read() -> None:
    _, event = decode(REQUEST.envelope.to_headers(), body_with(r'{"a":"NaN","b":"Infinity","c":"\\u0000"}'))
    assert isinstance(event, RequestSubmitted)
    assert event.payload == {"a": "NaN", "b": "Infinity", "c": "\\u0000"}


def test_a_reason_never_repeats_the_body() -> None:
    with pytest.raises(Undecodable) as caught:
        decode(REQUEST.envelope.to_headers(), b'{"kind":["EAAG-planted-token"],"org_id":"x","payload":1}')
    assert "planted" not in caught.value.reason


def test_an_unknown_type_is_undecodable() -> None:
    with pytest.raises(Undecodable, match=r"event type request\.submitted\.v9 is not known here"):
        decode(headers_with(ce_type=b"request.submitted.v9"), BODY)


def test_state_may_end_with_a_tombstone() -> None:
    example = EXAMPLES["connection.v1"]
    assert decode(example.envelope.to_headers(), None) == (example.envelope, None)


def test_unknown_fields_of_a_newer_writer_are_ignored() -> None:
    _, event = decode(REQUEST.envelope.to_headers(), BODY[:-1] + b',"added_later":{"x":1}}')
    assert event == REQUEST.event


def test_event_ids_sort_by_time_and_are_uuids_of_version_seven() -> None:
    ids = [UUID(new_event_id()) for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    milliseconds = [each.int >> 80 for each in ids]
    assert milliseconds == sorted(milliseconds)


names = st.one_of(
    st.sampled_from([name for name, _ in EXAMPLES["connection.v1"].envelope.to_headers()] + ["ce_idempotencykey"]),
    st.text(max_size=70),
)
some_headers = st.lists(st.tuples(names, st.none() | st.binary(max_size=80) | st.text(max_size=40).map(str.encode)))
types = st.sampled_from(sorted(EXAMPLES)).map(str.encode)


@given(headers=some_headers)
def test_any_headers_are_read_or_undecodable(headers: Sequence[tuple[str, bytes | None]]) -> None:
    with suppress(Undecodable):
        read_envelope(headers)


@given(changed=some_headers)
def test_good_headers_with_any_changes_are_read_or_undecodable(changed: Sequence[tuple[str, bytes | None]]) -> None:
    headers = dict(REQUEST.envelope.to_headers()) | dict(changed)
    with suppress(Undecodable):
        envelope = read_envelope(list(headers.items()))
        assert read_envelope(envelope.to_headers()) == envelope


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(event_type=types, value=st.none() | st.binary(max_size=200))
def test_any_bytes_are_read_or_undecodable(event_type: bytes, value: bytes | None) -> None:
    with suppress(Undecodable):
        decode(headers_with(ce_type=event_type), value)


@given(event_type=types, fields=st.dictionaries(st.text(max_size=8), json_values, max_size=3), data=st.data())
def test_any_json_in_any_field_is_read_or_undecodable(
    event_type: bytes, fields: dict[str, object], data: st.DataObject
) -> None:
    good = json.loads(EXAMPLES[event_type.decode()].event.model_dump_json())
    good[data.draw(st.sampled_from(sorted(good)))] = data.draw(json_values)
    with suppress(Undecodable):
        decode(headers_with(ce_type=event_type), json.dumps(good | fields).encode())
