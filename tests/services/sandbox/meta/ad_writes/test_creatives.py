"""Creatives made, renamed, deleted, and put into ads."""

from typing import Any

import pytest

from tests.support.meta_writes import blamed, ids, read, refusal, written
from tests.support.sandbox import SandboxProcess


def account(sandbox: SandboxProcess) -> dict[str, Any]:
    return sandbox.accounts("ad_account")[0]


def story(sandbox: SandboxProcess, **data: Any) -> dict[str, Any]:
    return {
        "page_id": sandbox.token_row("page_busy")["owner"]["id"],
        "link_data": {"link": "https://a.example", **data},
    }


def make(sandbox: SandboxProcess, **changes: Any) -> str:
    params = {"name": "Creative", "object_story_spec": story(sandbox), **changes}
    return str(written(sandbox, f"{account(sandbox)['id']}/adcreatives", **params)["id"])


def test_a_creative_shows_what_its_story_says(sandbox: SandboxProcess) -> None:
    action = {"type": "SHOP_NOW", "value": {"link": "https://a.example"}}
    spec = story(sandbox, name="Title", message="Text", call_to_action=action)
    made = make(sandbox, object_story_spec=spec)
    fields = "name,title,body,call_to_action_type,actor_id,object_type,object_story_spec,status"
    found = read(sandbox, made, fields=fields)
    assert found["object_story_spec"] == spec
    assert [found[name] for name in ("title", "body", "call_to_action_type", "object_type", "status")] == [
        "Title",
        "Text",
        "SHOP_NOW",
        "SHARE",
        "ACTIVE",
    ]
    assert made in ids(read(sandbox, f"{account(sandbox)['id']}/adcreatives", limit="1"))


def test_a_creative_without_a_name_gets_one(sandbox: SandboxProcess) -> None:
    params: dict[str, Any] = {"object_story_spec": story(sandbox, name="Title")}
    made = written(sandbox, f"{account(sandbox)['id']}/adcreatives", **params, fields="name")
    assert made["name"].startswith("Title 20")


@pytest.mark.parametrize(
    ("params", "subcode", "field"),
    [
        ({}, None, ["object_story_spec"]),
        ({"object_story_spec": {"page_id": "1"}}, None, ["object_story_spec", "page_id"]),
        ({"object_story_spec": [1]}, None, ["object_story_spec", "page_id"]),
    ],
)
def test_a_creative_has_something_to_show_from_a_page_of_ours(
    sandbox: SandboxProcess, params: dict[str, Any], subcode: int | None, field: list[str]
) -> None:
    error = refusal(sandbox, f"{account(sandbox)['id']}/adcreatives", name="x", **params)
    assert (error["code"], error.get("error_subcode"), blamed(error)[0]) == (100, subcode, field)


def test_two_stories_are_ambiguous(sandbox: SandboxProcess) -> None:
    both: dict[str, Any] = {"object_story_spec": story(sandbox), "object_story_id": "1_2"}
    error = refusal(sandbox, f"{account(sandbox)['id']}/adcreatives", name="x", **both)
    assert error["error_subcode"] == 1487929


def test_only_the_name_of_a_creative_changes_and_a_deleted_one_leaves_the_list(sandbox: SandboxProcess) -> None:
    made = make(sandbox)
    assert written(sandbox, made, name="Renamed", body="Ignored") == {"success": True}
    found = read(sandbox, made, fields="name,body")
    assert found == {"id": made, "name": "Renamed"}
    assert written(sandbox, made, method="DELETE") == {"success": True}
    assert made not in ids(read(sandbox, f"{account(sandbox)['id']}/adcreatives", limit="5"))
    assert refusal(sandbox, made, name="Again")["error_subcode"] == 1487056


def test_an_ad_changes_its_creative(sandbox: SandboxProcess) -> None:
    ad = sandbox.children(account(sandbox), "ads")[0]["id"]
    other = make(sandbox)
    assert written(sandbox, ad, creative={"creative_id": other}) == {"success": True}
    assert read(sandbox, ad, fields="creative")["creative"]["id"] == other
    assert ids(read(sandbox, f"{ad}/adcreatives")) == [other]
    inline: dict[str, Any] = {"object_story_spec": story(sandbox), "name": "Inline"}
    assert written(sandbox, ad, creative=inline, fields="creative{name}")["creative"]["name"] == "Inline"
    error = refusal(sandbox, ad, creative={"creative_id": "1"})
    assert blamed(error) == [["creative"]]
