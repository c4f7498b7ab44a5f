"""How items become one request, and that none is lost or doubled on the way there and back."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.base import Credential, ItemDone, ItemFailed, Outcome
from libs.platforms.meta.auth import appsecret_proof
from libs.platforms.meta.client import Answer
from libs.platforms.meta.packing import MAX_SLOTS, Item, Packed, pack
from libs.platforms.meta.quota import Budgets, Subject
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.meta.unpacking import unpack
from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.meta_batches import SETTINGS, graph_error, item, path_of, query_of

ONE, OTHER = Credential("token-one", "4711", "secret"), Credential("token-two", "4711", "secret")


def node(number: int, credential: Credential = ONE, fields: str = "id,name") -> Item:
    return Item("get_object", str(number), {"fields": fields}, credential)


def listing(path: str, credential: Credential = ONE, limit: int = 25, **more: str) -> Item:
    return Item("list_edge", path, {"fields": "id", "limit": str(limit), **more}, credential, is_list=True)


def write(number: int, method: Any = "POST") -> Item:
    return Item("publish", f"{number}/feed", {"message": "a & b"}, ONE, method=method)


def elements(packed: Packed) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(packed.form["batch"])
    return found


def test_up_to_fifty_items_have_a_slot_each() -> None:
    packed = pack([node(number) for number in range(MAX_SLOTS)], SETTINGS)
    assert [slot.kind for slot in packed.slots] == ["alone"] * MAX_SLOTS
    assert [path_of(each) for each in elements(packed)] == [str(number) for number in range(MAX_SLOTS)]


def test_more_objects_with_equal_fields_share_slots_by_their_ids() -> None:
    items = [node(number) for number in range(120)]
    packed = pack([*items, *items], SETTINGS)
    assert [query_of(each)["ids"].split(",") for each in elements(packed)] == [
        [str(number) for number in range(start, min(start + 50, 120))] for start in (0, 50, 100)
    ]
    assert {path_of(each) for each in elements(packed)} == {""}
    assert {query_of(each)["fields"] for each in elements(packed)} == {"id,name"}


def test_first_pages_of_edges_share_a_slot_of_their_object() -> None:
    edges = [listing("me/accounts"), listing("me/businesses", limit=10), listing("me/accounts")]
    others = [listing("me/accounts", limit=7), listing("me/adaccounts", after="QVFI"), listing("7/ads", OTHER)]
    packed = pack([*edges, *others, *(node(number) for number in range(60))], SETTINGS)
    asked = {(path_of(each), query_of(each)["fields"]) for each in elements(packed)}
    assert ("me", "accounts.limit(25){id},businesses.limit(10){id}") in asked
    assert {path_of(each) for each in elements(packed)} == {"me", "me/accounts", "me/adaccounts", "7/ads", ""}


def test_what_cannot_share_has_a_slot_of_its_own_and_too_many_of_it_do_not_fit() -> None:
    items = [node(number, fields=f"id,field_{number}") for number in range(MAX_SLOTS + 1)]
    with pytest.raises(ValueError, match="51 slots"):
        pack(items, SETTINGS)
    with pytest.raises(ValueError, match="at least 1"):
        pack([], SETTINGS)


def test_ids_are_not_asked_for_together_unless_it_is_set() -> None:
    many = [node(number) for number in range(MAX_SLOTS + 1)]
    with pytest.raises(ValueError, match="51 items need 51 slots"):
        pack(many, MetaSettings())
    assert len(pack(many, MetaSettings(multi_get=True)).slots) == 2


def test_tokens_of_another_login_are_not_sent_to_facebook() -> None:
    with pytest.raises(ValueError, match="login"):
        pack([node(1, Credential("token", "4711", login="threads"))], SETTINGS)


def test_one_persons_items_use_the_requests_token_and_several_use_their_own() -> None:
    alone = pack([node(1), node(2)], SETTINGS)
    assert alone.form["access_token"] == "token-one"
    assert all("access_token" not in query_of(each) for each in elements(alone))
    shared = pack([node(1, ONE), node(2, OTHER)], SETTINGS)
    assert shared.form["access_token"] == "token-one"
    second = query_of(elements(shared)[1])
    assert second["access_token"] == "token-two"
    assert second["appsecret_proof"] == appsecret_proof("secret", "token-two")


def test_where_the_apps_secret_is_configured_the_app_itself_asks_for_several_people() -> None:
    told = MetaSettings.model_validate({"app_secrets": {"4711": "secret"}})
    people = [Credential("token-one", "4711"), Credential("token-two", "4711")]
    packed = pack([node(number, credential) for number, credential in enumerate(people)], told)
    assert packed.form["access_token"] == "4711|secret"
    assert [query_of(each)["access_token"] for each in elements(packed)] == ["token-one", "token-two"]
    assert "token-one" not in repr(packed)
    assert "secret" not in repr(packed)


def test_nobodys_token_asks_for_anothers_items_however_slots_are_shared() -> None:
    nodes = [node(number, credential) for number in range(40) for credential in (ONE, OTHER)]
    edges = [listing(f"7/edge{number}", credential) for number in range(40) for credential in (OTHER, ONE)]
    packed = pack([*nodes, *edges], SETTINGS)
    assert {slot.kind for slot in packed.slots} == {"ids", "expansion"}
    for slot, element in zip(packed.slots, elements(packed), strict=True):
        assert {packed.items[index].credential for index in slot.items} == {slot.credential}
        token = query_of(element).get("access_token", packed.form["access_token"])
        assert token == slot.credential.access_token


def test_an_items_usage_is_that_of_its_own_token() -> None:
    packed = pack([node(1, ONE), node(2, OTHER)], SETTINGS)
    told = [item({"id": str(number)}, 200, [("X-App-Usage", f'{{"call_count":{number}0}}')]) for number in (1, 2)]
    budgets = Budgets(SETTINGS)
    usage = unpack(packed, Answer(200, {}, json.dumps(told)), SETTINGS, budgets).usage
    scopes = [
        next(use.scope for use in budgets.uses(credential, [Subject()]) if use.units) for credential in (ONE, OTHER)
    ]
    assert {reading.scope: reading.used_fraction for reading in usage} == dict(zip(scopes, (0.1, 0.2), strict=True))


def test_a_write_carries_what_it_says_and_its_token_in_its_body() -> None:
    told = Item("publish", "7/feed", {"message": "a & b"}, OTHER, method="POST")
    packed = pack([node(1), told, write(8, "DELETE")], SETTINGS)
    _, post, delete = elements(packed)
    assert (post["method"], post["relative_url"]) == ("POST", "v26.0/7/feed")
    body = dict(parse_qsl(post["body"]))
    assert body["message"] == "a & b"
    assert body["access_token"] == "token-two"
    assert delete["method"] == "DELETE"
    assert query_of(delete) == {"message": "a & b"}


Fate = str
READ_FATES: dict[Fate, Outcome] = {
    "good": "done",
    "null": "not_attempted",
    "aborted": "not_attempted",
    "server_error": "not_attempted",
    "not_json": "not_attempted",
    "refused": "rejected",
    "throttled": "not_attempted",
    "odd": "rejected",
    "error_with_200": "rejected",
    "another_shape": "rejected",
}
WRITE_FATES: dict[Fate, Outcome] = READ_FATES | {
    "null": "unknown",
    "aborted": "unknown",
    "server_error": "unknown",
    "not_json": "unknown",
    "odd": "unknown",
    "another_shape": "unknown",
}


def written(fate: Fate, good: Any) -> Any:
    """Write an element of the answer, as the fate wants it."""
    by_fate = {
        "good": item(good),
        "null": None,
        "aborted": item(graph_error(960), 500),
        "server_error": item("<html>", 502),
        "not_json": item('{"id":'),
        "refused": item(graph_error(100, 33), 400),
        "throttled": item(graph_error(17), 400),
        "odd": {"code": "good", "body": 5},
        "error_with_200": item(graph_error(100)),
        "another_shape": item([1, 2]),
    }
    return by_fate[fate]


def good_body(slot_items: Sequence[Item], kind: str) -> Any:
    if kind == "ids":
        return {each.path: {"id": each.path} for each in slot_items}
    if kind == "expansion":
        return {each.path.partition("/")[2]: {"data": [{"id": each.path}]} for each in slot_items}
    (only,) = slot_items
    return {"data": [{"id": only.path}]} if only.is_list else {"id": only.path}


any_items = st.lists(
    st.one_of(
        st.builds(node, st.integers(1, 40), st.sampled_from([ONE, OTHER]), st.sampled_from(["id", "id,name"])),
        st.builds(listing, st.sampled_from(["me/accounts", "me/adaccounts", "7/ads"]), st.sampled_from([ONE, OTHER])),
        st.builds(write, st.integers(1, 9), st.sampled_from(["POST", "DELETE"])),
    ),
    min_size=1,
    max_size=49,
)


@settings(deadline=None, max_examples=2 * FUZZ_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(items=any_items, copies=st.integers(0, 40), data=st.data())
def test_any_mix_of_items_and_fates_gives_each_item_exactly_one_outcome(
    items: list[Item], copies: int, data: st.DataObject
) -> None:
    reads = [each for each in items if each.is_read]
    items = [*items, *reads * copies]
    packed = pack(items, SETTINGS)
    assert sorted(index for slot in packed.slots for index in slot.items) == list(range(len(items)))
    assert len(packed.slots) <= MAX_SLOTS
    fates = data.draw(
        st.lists(st.sampled_from(sorted(READ_FATES)), min_size=len(packed.slots), max_size=len(packed.slots))
    )
    answer = [
        written(fate, good_body([items[index] for index in slot.items], slot.kind))
        for slot, fate in zip(packed.slots, fates, strict=True)
    ]
    outcome = unpack(packed, Answer(200, {}, json.dumps(answer)), SETTINGS, Budgets(SETTINGS))
    assert len(outcome.items) == len(items)
    for slot, fate in zip(packed.slots, fates, strict=True):
        for index in slot.items:
            found, asked = outcome.items[index], items[index]
            expected = (READ_FATES if asked.is_read else WRITE_FATES)[fate]
            if len(slot.items) > 1 and fate in ("refused", "error_with_200"):
                expected = "not_attempted"  # the refusal names none of them
            assert found.outcome == expected
            if isinstance(found, ItemDone):
                assert asked.path in json.dumps(found.body), "the answer to this item and to no other"


@settings(deadline=None, max_examples=FUZZ_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(items=any_items, kept=st.integers(0, 10_000), status=st.sampled_from([200, 200, 400, 500, 502]))
def test_a_truncated_answer_loses_no_item_and_gives_none_away(items: list[Item], kept: int, status: int) -> None:
    packed = pack(items, SETTINGS)
    whole = json.dumps([item(good_body([items[index] for index in slot.items], slot.kind)) for slot in packed.slots])
    text = whole[: kept % len(whole)]
    outcome = unpack(packed, Answer(status, {}, text), SETTINGS, Budgets(SETTINGS))
    assert outcome.refusal is not None
    assert len(outcome.items) == len(items)
    for asked, found in zip(items, outcome.items, strict=True):
        if asked.is_read:
            assert found.outcome in ("not_attempted", "rejected", "unknown")
        elif status >= 500 or status == 200:
            assert found.outcome == "unknown"
        else:
            assert found.outcome in ("rejected", "unknown")


@pytest.mark.parametrize(("code", "outcome"), [(100, "not_attempted"), (200, "not_attempted"), (190, "rejected")])
def test_a_refusal_of_what_was_asked_together_names_none_of_them_unless_it_is_about_the_token(
    code: int, outcome: Outcome
) -> None:
    items = [*(node(number) for number in range(60)), listing("me/accounts"), listing("me/businesses")]
    packed = pack(items, SETTINGS)
    refused = [item(graph_error(code), 400) for _ in packed.slots]
    found = unpack(packed, Answer(200, {}, json.dumps(refused)), SETTINGS, Budgets(SETTINGS))
    assert {slot.kind for slot in packed.slots} == {"ids", "expansion"}
    assert {each.outcome for each in found.items} == {outcome}
    assert all(each.error.platform_code == str(code) for each in found.items if isinstance(each, ItemFailed))


def test_a_refusal_that_is_told_to_everybody_quotes_nobodys_token_or_proof() -> None:
    proof = appsecret_proof("secret", "token-two")
    body = json.dumps({"error": {"message": f"malformed: token-one token-two {proof}", "code": 100}})
    items = json.dumps([{"code": 400, "body": body}] * 2)
    for answer in (Answer(400, {}, body), Answer(200, {}, items)):
        packed = pack([node(1, ONE), node(2, OTHER)], SETTINGS)
        _, second = unpack(packed, answer, SETTINGS, Budgets(SETTINGS)).items
        assert isinstance(second, ItemFailed)
        assert "malformed" in str(second.error)
        assert not any(secret in str(second.error) for secret in ("token-one", "token-two", proof))


def test_what_is_left_out_of_an_answer_asked_for_together_is_no_success() -> None:
    items = [*(node(number) for number in range(1, 60)), listing("me/accounts"), listing("me/businesses")]
    packed = pack(items, SETTINGS)
    bodies = []
    for slot in packed.slots:
        body = good_body([items[index] for index in slot.items], slot.kind)
        body.pop("7", None)
        body.pop("businesses", None)
        bodies.append(item(body))
    outcome = unpack(packed, Answer(200, {}, json.dumps(bodies)), SETTINGS, Budgets(SETTINGS))
    by_path = {asked.path: found.outcome for asked, found in zip(items, outcome.items, strict=True)}
    assert by_path.pop("7") == "rejected"
    assert by_path.pop("me/businesses") == "not_attempted"
    assert set(by_path.values()) == {"done"}
