import json
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.platforms.base import Change, UnknownShape
from libs.platforms.meta.webhooks import MetaWebhooks
from libs.platforms.meta.webhooks.keys import moment, natural_key
from libs.platforms.meta.webhooks.payload import MAX_DEPTH, MAX_VALUE_BYTES
from libs.platforms.meta.webhooks.shapes import MAX_CHANGES
from tests.support.meta_recorded import Recorded, recorded, recorded_of_nobody

NO_MOMENTS: list[Any] = [0, -1, 2**62, 1e300, True, None, "", "soon", [], {}, "9" * 17, "٣"]


def page(*values: Any, field: str = "feed", time: int = 1520544816) -> bytes:
    changes = [{"field": field, "value": value} for value in values]
    return json.dumps({"object": "page", "entry": [{"id": "1", "time": time, "changes": changes}]}).encode()


def split(body: bytes) -> list[Change]:
    return MetaWebhooks().split(body)


def reason(body: bytes) -> str:
    with pytest.raises(UnknownShape) as caught:
        split(body)
    return str(caught.value)


def in_words(change: Change) -> dict[str, Any]:
    return {
        "field": change.field,
        "change_type": change.change_type,
        "account": f"{change.account_type}:{change.account_id}",
        "key": change.external_event_id,
        "occurred_at": change.occurred_at.isoformat() if change.occurred_at else None,
    }


@pytest.mark.parametrize("delivery", [*recorded(), *recorded_of_nobody()], ids=lambda delivery: delivery.name)
def test_a_documented_delivery_is_split_into_what_happened(delivery: Recorded) -> None:
    assert [in_words(change) for change in split(delivery.body)] == delivery.changes


@pytest.mark.parametrize("delivery", recorded(), ids=lambda delivery: delivery.name)
def test_a_delivery_wrapped_in_a_list_is_the_same_delivery(delivery: Recorded) -> None:
    wrapped = delivery.delivery if isinstance(delivery.delivery, list) else [delivery.delivery]
    assert split(json.dumps(wrapped * 2).encode()) == split(delivery.body) * 2


def test_a_value_is_handed_on_as_it_came() -> None:
    value = {"item": "status", "verb": "add", "post_id": "1_2", "message": "ä/\u2028", "new": [1.5, None, {"a": True}]}
    (change,) = split(page(value))
    assert change.value == value


def test_a_delivery_without_changes_has_none() -> None:
    assert split(b'{"object":"page","entry":[]}') == []
    assert split(b'{"object":"page","entry":[{"id":"1","changes":[]}]}') == []
    assert split(b"[]") == []


def test_the_same_change_delivered_again_at_another_time_has_the_same_key() -> None:
    value = {"item": "comment", "verb": "add", "comment_id": "1_2", "created_time": 1520544815, "from": {"id": "3"}}
    again = dict(reversed(value.items()))
    assert split(page(value))[0].external_event_id == split(page(again, time=1520549999))[0].external_event_id


def test_two_edits_of_one_comment_are_two_changes_though_neither_says_when() -> None:
    value = {"item": "comment", "verb": "edited", "comment_id": "1_2", "created_time": 1520544815, "message": "a"}
    first, second = split(page(value, value | {"message": "b"}))
    assert first.external_event_id != second.external_event_id


def test_an_edit_that_says_when_is_known_by_that() -> None:
    value = {"item": "post", "verb": "edited", "post_id": "1_2", "edited_time": "2018-03-08T21:33:34+0000"}
    first, second = split(page(value, value | {"from": {"name": "renamed"}}))
    assert first.external_event_id == second.external_event_id
    assert first.occurred_at == datetime(2018, 3, 8, 21, 33, 34, tzinfo=UTC)


def test_hidden_shown_and_hidden_again_are_three_changes() -> None:
    hide = {"item": "post", "verb": "hide", "post_id": "1_2", "created_time": 1520544815}
    bodies = [page(hide, time=1), page(hide | {"verb": "unhide"}, time=2), page(hide, time=3)]
    assert len({split(body)[0].external_event_id for body in bodies}) == 3


def test_each_photo_of_one_post_is_a_change_of_its_own() -> None:
    photo = {"item": "photo", "verb": "add", "post_id": "1_2", "photo_id": "7", "created_time": 1, "from": {"id": "3"}}
    first, second = split(page(photo, photo | {"photo_id": "8"}))
    assert first.external_event_id != second.external_event_id


@pytest.mark.parametrize("unknown", [{"created_time": None}, {"from": None}, {"created_time": None, "from": None}])
def test_a_reaction_that_does_not_say_when_or_whose_can_come_again(unknown: dict[str, None]) -> None:
    like = {"item": "like", "verb": "add", "post_id": "1_2", "created_time": 1520544815, "from": {"id": "3"}} | unknown
    first, second = (split(page(like, time=time))[0] for time in (1, 2))
    assert first.change_type == "reaction.created"
    assert first.external_event_id != second.external_event_id


def test_a_planned_post_is_a_change_when_it_is_made_and_when_it_is_published() -> None:
    post = {"item": "status", "verb": "add", "post_id": "1_2", "published": 0, "created_time": 1520544815}
    planned, published = split(page(post, post | {"published": 1}))
    assert planned.external_event_id != published.external_event_id


def test_a_reaction_to_a_message_that_does_not_say_when_can_come_again() -> None:
    item = {"sender": {"id": "5"}, "recipient": {"id": "1"}, "reaction": {"mid": "m", "action": "react"}}
    told = [{"object": "page", "entry": [{"id": "1", "time": time, "messaging": [item]}]} for time in (1, 2)]
    first, second = split(json.dumps(told).encode())
    assert first.external_event_id != second.external_event_id


def test_a_lead_without_an_id_is_told_apart_by_its_value() -> None:
    first, second = split(page({"leadgen_id": "", "form_id": "1"}, {"leadgen_id": "", "form_id": "2"}, field="leadgen"))
    assert first.external_event_id != second.external_event_id


@pytest.mark.parametrize(("field", "value"), [("comments", {"id": "7"}), ("story_insights", {"media_id": "7"})])
def test_what_two_accounts_hear_of_their_common_media_is_a_change_of_each(field: str, value: dict[str, str]) -> None:
    entries = [{"id": account, "time": 1, "changes": [{"field": field, "value": value}]} for account in ("17", "18")]
    first, second = split(json.dumps({"object": "instagram", "entry": entries}).encode())
    assert first.external_event_id != second.external_event_id


def test_a_mention_on_threads_is_of_the_account_mentioned_not_of_its_author() -> None:
    value = {"id": "8", "owner": {"owner_id": "666"}, "root_post": {"owner_id": "667"}}
    told = {"topic": "interaction", "target_id": "78901", "values": {"field": "mentions", "value": value}}
    assert split(json.dumps(told).encode())[0].account_id == "78901"


def test_words_of_feeds_that_we_do_not_know_are_other_and_told_apart_by_their_value() -> None:
    first, second = split(page({"item": "milestone", "verb": "wink", "a": 1}, {"item": "milestone", "verb": "wink"}))
    assert first.change_type == second.change_type == "other"
    assert first.external_event_id != second.external_event_id


@pytest.mark.parametrize("value", [None, 7, "text", [], [1], True, {}])
@pytest.mark.parametrize("field", ["feed", "leadgen", "messages", "comments", "tomorrow"])
@pytest.mark.parametrize("watched", ["page", "instagram", "ad_account", "whatsapp_business_account", "user"])
def test_a_value_of_any_kind_is_kept(watched: str, field: str, value: Any) -> None:
    delivery = {"object": watched, "entry": [{"id": "1", "changes": [{"field": field, "value": value}]}]}
    (change,) = split(json.dumps(delivery).encode())
    assert change.value == value


def test_an_account_type_that_nobody_can_connect_keeps_the_platforms_word() -> None:
    (change,) = split(b'{"object":"user","entry":[{"id":"9","changed_fields":["photos"]}]}')
    assert (change.account_type, change.account_id, change.value) == ("user", "9", None)


def test_an_ad_accounts_id_gets_its_prefix_once() -> None:
    for written in ("4711", "act_4711", 4711):
        entry = {"id": written, "changes": [{"field": "creative_fatigue", "value": {}}]}
        (change,) = split(json.dumps({"object": "ad_account", "entry": [entry]}).encode())
        assert change.account_id == "act_4711"


def test_a_long_or_odd_key_is_hashed_and_still_says_what_it_is_of() -> None:
    for comment_id in ("x" * 500, "ä", "a b", {"a": ["b"]}):
        (change,) = split(page({"item": "comment", "verb": "add", "comment_id": comment_id}))
        key = change.external_event_id
        assert key.startswith("page/feed/")
        assert len(key) <= 200
        assert key.isascii()


def test_parts_of_a_key_cannot_be_shifted_into_each_other() -> None:
    assert natural_key("a", "b", "c/d", "e") != natural_key("a", "b", "c", "d/e")
    assert natural_key("a", "b", "c%2Fd") != natural_key("a", "b", "c/d")
    assert natural_key("a", "b", None, "c") != natural_key("a", "b", "c")


def test_things_in_one_whatsapp_change_become_changes_of_their_own_with_all_else_kept() -> None:
    value = {"metadata": {"phone_number_id": "1"}, "messages": [{"id": "a"}, {"id": "b"}], "statuses": [{"id": "c"}]}
    delivery = {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
    }
    changes = split(json.dumps(delivery).encode())
    assert [change.value for change in changes] == [
        {"metadata": {"phone_number_id": "1"}, "messages": [{"id": "a"}]},
        {"metadata": {"phone_number_id": "1"}, "messages": [{"id": "b"}]},
        {"metadata": {"phone_number_id": "1"}, "statuses": [{"id": "c"}]},
    ]


def test_a_frame_is_not_repeated_into_far_more_than_was_delivered() -> None:
    value = {"contacts": "x" * 100_000, "messages": [{"id": str(number)} for number in range(1000)]}
    delivery = {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
    }
    assert "too large to be repeated" in reason(json.dumps(delivery).encode())


@pytest.mark.parametrize(
    "odd",
    ['"\\ud800"', "[" * 400 + "]" * 400, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)],
    ids=["surrogate", "deep", "deeper"],
)
def test_what_stands_around_a_value_and_becomes_part_of_its_key_is_checked_as_well(odd: str) -> None:
    entry = f'{{"id":"1","time":{odd},"changes":[{{"field":"x","value":{{}}}}]}}'
    assert reason(f'{{"object":"page","entry":[{entry}]}}'.encode()).startswith("/entry/0/time ")
    told = '{"field":"replies","value":{"root_post":{"owner_id":"1"}}}'
    assert reason(f'{{"target_id":{odd},"values":{told}}}'.encode()).startswith("/target_id ")
    assert reason(f'{{"target_id":"1","time":{odd},"values":{told}}}'.encode()).startswith("/time ")


def test_the_null_letter_becomes_one_that_postgres_can_keep_in_names_and_texts() -> None:
    (change,) = split(
        page({"item": "post", "verb": "add", "post_id": "1\x00", "deep": [{"a\x00b": "\x00"}], "t": "\\u0000"})
    )
    assert change.value == {
        "item": "post",
        "verb": "add",
        "post_id": "1\ufffd",
        "deep": [{"a\ufffdb": "\ufffd"}],
        "t": "\\u0000",
    }
    assert "\x00" not in change.external_event_id


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"NaN", "NaN, which is not JSON"),
        (b"-Infinity", "-Infinity, which is not JSON"),
        (b"1e999", "a number that is too large"),
        (b"9" * 19, "64 bits"),
        (b"9" * 100_000, "64 bits"),
        (b'{"a":1,"a":2}', "names a key twice"),
        (b'"\\ud800"', "cannot be kept as JSON"),
        (b'{"\\udfff":1}', "cannot be kept as JSON"),
        (b"[" * MAX_DEPTH + b"[1]" + b"]" * MAX_DEPTH, f"deeper than {MAX_DEPTH} levels"),
        (b"[" * 300 + b"]" * 300, "cannot be kept as JSON"),
        (b'"' + b"x" * MAX_VALUE_BYTES + b'"', f"an event holds {MAX_VALUE_BYTES}"),
        (b'"\xff"', "not UTF-8, at byte"),
        (b'"\x00"', "not JSON"),
    ],
)
def test_a_value_that_could_not_be_kept_is_refused_with_the_reason(value: bytes, expected: str) -> None:
    assert expected in reason(page("?").replace(b'"?"', value))


def test_values_at_the_edge_of_what_can_be_kept_are_kept() -> None:
    deepest = b"[" * (MAX_DEPTH - 1) + b"[1]" + b"]" * (MAX_DEPTH - 1)
    longest = b'"' + b"x" * (MAX_VALUE_BYTES - 2) + b'"'
    for value in (deepest, longest, b"9223372036854775807", b"-9223372036854775807", b"1e308"):
        assert split(page("?").replace(b'"?"', value))[0].value == json.loads(value)


def test_a_delivery_has_an_end() -> None:
    value = {"item": "comment", "verb": "add", "comment_id": "1"}
    assert len(split(page(*[value] * MAX_CHANGES))) == MAX_CHANGES
    assert f"more than {MAX_CHANGES} changes" in reason(page(*[value] * (MAX_CHANGES + 1)))


def test_the_place_of_a_fault_is_named() -> None:
    body = b'[{"object":"page","entry":[{"id":"1","changes":[{"field":"feed","value":1},{"field":["x"]}]}]}]'
    assert reason(body) == "/0/entry/0/changes/1/field is not a word"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1520544814, "2018-03-08T21:33:34+00:00"),
        ("1520544814", "2018-03-08T21:33:34+00:00"),
        (1520544814123, "2018-03-08T21:33:34.123000+00:00"),
        (1520544814.5, "2018-03-08T21:33:34.500000+00:00"),
        ("2024-08-07T10:33:16+0000", "2024-08-07T10:33:16+00:00"),
        ("2024-08-07T12:33:16+02:00", "2024-08-07T10:33:16+00:00"),
        ("2024-08-07T10:33:16Z", "2024-08-07T10:33:16+00:00"),
        ("2024-08-07T10:33:16", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
        *((nothing, None) for nothing in NO_MOMENTS),
    ],
)
def test_moments_are_read_in_each_of_metas_ways(written: Any, expected: str | None) -> None:
    at = moment(written)
    assert (at.isoformat() if at else None) == expected
