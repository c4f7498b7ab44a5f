"""Every field that Meta lists has a word of ours."""

import json
from typing import Any

import pytest
from facebook_business.adobjects.iguser import IGUser
from facebook_business.adobjects.page import Page

from libs.platforms.base import Change
from libs.platforms.meta.webhooks import MetaWebhooks
from libs.platforms.meta.webhooks.words import WORDS, word_of

NO_FIELDS = {"invalid_topic_placeholder"}
"""In the SDK's list, by its name for nothing."""
WITH_A_VALUE_OF_THEIR_OWN = {"feed", "mention", "ratings"}
"""Their word depends on the item and the verb."""


def listed_by_the_sdk(owner: type) -> list[str]:
    names = vars(owner.SubscribedFields)  # type: ignore[attr-defined]
    return sorted(value for name, value in names.items() if not name.startswith("_") and value not in NO_FIELDS)


def told(watched: str, field: str, value: Any = None) -> Change:
    entry = {"id": "1", "time": 1782862117, "changes": [{"field": field, "value": value or {"some": "thing"}}]}
    (change,) = MetaWebhooks().split(json.dumps({"object": watched, "entry": [entry]}).encode())
    return change


@pytest.mark.parametrize("field", listed_by_the_sdk(Page))
def test_every_field_of_pages_that_the_sdk_lists_has_a_word(field: str) -> None:
    if field in WITH_A_VALUE_OF_THEIR_OWN:
        assert told("page", field, {"item": "post", "verb": "add", "post_id": "1_2"}).change_type.endswith(".created")
    else:
        assert told("page", field).change_type != "other"


@pytest.mark.parametrize("field", listed_by_the_sdk(IGUser))
def test_every_field_of_instagram_that_the_sdk_lists_has_a_word(field: str) -> None:
    assert told("instagram", field).change_type != "other"


@pytest.mark.parametrize(
    ("watched", "field"), [(watched, field) for watched, fields in WORDS.items() for field in fields]
)
def test_every_word_is_a_noun_and_what_happened_to_it(watched: str, field: str) -> None:
    noun, _, happened = word_of(watched, field).partition(".")
    assert noun.replace("_", "").isalpha()
    assert happened.replace("_", "").isalpha()
    assert told(watched, field).change_type == word_of(watched, field)


@pytest.mark.parametrize("watched", ["page", "instagram", "application", "whatsapp_business_account", "tomorrow"])
def test_a_field_that_nobody_lists_is_other(watched: str) -> None:
    assert told(watched, "field_of_tomorrow").change_type == "other"


@pytest.mark.parametrize("watched", ["user", "catalog", "product_catalog", "managed_meta_account", "permissions"])
def test_objects_whose_fields_are_not_listed_have_one_word_for_all(watched: str) -> None:
    assert told(watched, "field_of_tomorrow").change_type != "other"


def test_a_catalogs_account_is_the_same_under_both_words_for_the_object() -> None:
    accounts = {
        (told(word, "items").account_type, told(word, "items").account_id) for word in ("catalog", "product_catalog")
    }
    assert accounts == {("catalog", "1")}
