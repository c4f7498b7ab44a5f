"""Creatives: what an ad shows; after its creation only name and status change (S)."""

from collections.abc import Mapping
from typing import Any

from services.sandbox.meta.ad_writes import refusals
from services.sandbox.meta.ad_writes.making import (
    Given,
    delete,
    given_for,
    make,
    now_of,
    only_validates,
    referenced,
    shown_values,
    updater,
)
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Node

SCOPES = ("ads_management",)
_SHOWS = (
    "object_story_spec", "object_story_id", "asset_feed_spec", "image_hash", "image_url", "image_file", "object_id",
    "source_instagram_media_id", "source_facebook_post_id", "template_url", "product_set_id", "link_url", "object_url",
)  # fmt: skip
"""One of these is needed (S: each stands alone in one of the SDK's examples; that none is refused M)."""
_STORIES = {"link_data": "SHARE", "photo_data": "PHOTO", "video_data": "VIDEO", "template_data": "SHARE"}


def _create(context: Context) -> object:
    given = given_for(context, "adcreative", "create")
    _check(context, given)
    if only_validates(given):
        return {"success": True}
    return answer(context, _make(context, context.named, given))


def creative_of(context: Context, account: Node, spec: Any, *, keep: bool) -> Node | None:
    """The creative of an ad: named by its id, or described in place and then made (S). None where only checked."""
    if not isinstance(spec, dict):
        raise refusals.unknown_parent("creative", str(spec))
    named = spec.get("creative_id") or spec.get("id")
    if named:
        return referenced(context, "creative", named, "adcreative", account.id)
    _check(context, spec)
    return (
        _make(context, account, {name: value for name, value in spec.items() if isinstance(name, str)})
        if keep
        else None
    )


def _make(context: Context, account: Node, given: Given) -> Node:
    values = {**_from_story(given), **shown_values(account, given), "status": "ACTIVE"}
    if not values.get("name"):
        values["name"] = f"{values.get('title', 'Creative')} {now_of(context):%Y-%m-%d}"  # M
    return make(context, "adcreative", values, account, account)


def _check(context: Context, given: Mapping[str, Any]) -> None:
    if not any(given.get(name) for name in _SHOWS):
        raise refusals.nothing_to_show()
    story = given.get("object_story_spec")
    if story and given.get("object_story_id"):
        raise refusals.ambiguous_story()
    if not story:
        return
    page = context.world.nodes.get(str(story.get("page_id"))) if isinstance(story, dict) else None
    if page is None or page.kind != "page" or page.account not in context.token.sees:
        path = ("object_story_spec", "page_id")
        raise refusals.invalid("Invalid page", "The page of the story does not exist or is not yours.", path=path)


def _from_story(given: Given) -> dict[str, Any]:
    """Title, text and kind as the fields of the same story show them (M)."""
    story = given.get("object_story_spec")
    if not isinstance(story, dict):
        post = given.get("object_story_id")
        return {"object_type": "SHARE", **({"effective_object_story_id": post} if post else {})}
    values: dict[str, Any] = {"actor_id": str(story.get("page_id")), "object_type": "STATUS"}
    for name, object_type in _STORIES.items():
        data = story.get(name)
        if not isinstance(data, dict):
            continue
        values["object_type"] = object_type
        values |= {shown: data[key] for shown, key in (("title", "name"), ("body", "message")) if data.get(key)}
        action = data.get("call_to_action")
        if isinstance(action, dict) and action.get("type"):
            values["call_to_action_type"] = action["type"]
    return values


def _check_update(context: Context, node: Node, given: Given) -> None:
    if given.get("name") == "":
        raise refusals.invalid("Invalid name", "A name can't be empty.", "name")


OPERATIONS = (
    Operation("meta.ad_account.create_adcreative", "POST", "{ad_account}/adcreatives", _create, scopes=SCOPES),
    Operation("meta.adcreative.update", "POST", "{adcreative}", updater(_check_update), scopes=SCOPES),
    Operation("meta.adcreative.delete", "DELETE", "{adcreative}", delete, scopes=SCOPES),
)
