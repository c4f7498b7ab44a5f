"""Reads of lists: which, with what, and what is refused before any call."""

from pathlib import Path
from typing import Any

import facebook_business
import pytest

from libs.platforms.base import Credential, InvalidParams
from libs.platforms.meta.edges import EDGES
from libs.platforms.meta.reads import item_of, plan_read

USER = Credential("token", "4711")


def test_a_page_of_a_list_is_asked_for_by_its_cursor() -> None:
    params = {"object_id": "act_10", "edge": "campaigns", "fields": ["name", "id"], "limit": 50, "after": "QVFI"}
    item = item_of(plan_read("list_edge", params), USER)
    assert item.path == "act_10/campaigns"
    assert item.params == {"fields": "id,name", "limit": "50", "after": "QVFI"}
    assert item.is_list
    assert (item.about.object_id, item.about.account_id) == ("act_10", "10")


def test_ads_can_be_filtered_by_status_and_by_conditions() -> None:
    condition = {"field": "campaign.name", "operator": "CONTAIN", "value": "x"}
    params = {"object_id": "7", "edge": "ads", "fields": ["id"], "account_id": "act_10", "filtering": [condition]}
    call = plan_read("list_edge", params | {"effective_status": ["PAUSED", "ACTIVE"]})
    item = item_of(call, USER)
    assert item.params["effective_status"] == '["ACTIVE","PAUSED"]'
    assert item.params["filtering"] == '[{"field":"campaign.name","operator":"CONTAIN","value":"x"}]'
    assert item.about.account_id == "10"
    assert plan_read(call.request_type, call.params) == call


@pytest.mark.parametrize("edge", sorted(EDGES))
def test_every_list_can_be_read_up_to_its_largest_page(edge: str) -> None:
    read = {"object_id": "me", "edge": edge, "fields": ["id"]}
    assert plan_read("list_edge", read | {"limit": EDGES[edge]}).params["edge"] == edge
    with pytest.raises(InvalidParams):
        plan_read("list_edge", read | {"limit": EDGES[edge] + 1})


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"edge": "conversations"}, "/params/edge"),
        ({"edge": "../me"}, "/params/edge"),
        ({"edge": ["ads"]}, "/params/edge"),
        ({"edge": "accounts", "effective_status": ["ACTIVE"]}, "/params/effective_status"),
        ({"effective_status": "ACTIVE"}, "/params/effective_status"),
        ({"after": "a b"}, "/params/after"),
        ({"fields": ["id", "access_token"]}, "/params/fields/1"),
        ({"object_id": None}, "/params/object_id"),
    ],
)
def test_what_cannot_be_listed_is_refused_with_its_place(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        plan_read("list_edge", {"object_id": "act_1", "edge": "ads", "fields": ["id"], **wrong})
    assert where in [place for place, _, _ in caught.value.errors]


def test_every_list_is_one_that_metas_own_sdk_knows() -> None:
    objects = ("user", "business", "adaccount", "campaign", "adset", "page", "pagepost", "iguser", "productcatalog")
    folder = Path(facebook_business.__file__).parent / "adobjects"
    sources = "".join((folder / f"{name}.py").read_text() for name in (*objects, "whatsappbusinessaccount"))
    assert [edge for edge in EDGES if f"endpoint='/{edge}'" not in sources] == []
