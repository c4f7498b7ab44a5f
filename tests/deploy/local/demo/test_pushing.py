import json
from collections import Counter
from uuid import UUID, uuid4

import pytest

from deploy.local.demo.internal_system import Results, Seen
from deploy.local.demo.pushing import TOPIC, Account, Pushed, delivery, mark_of, out_of_order, published, wanted
from libs.platforms.meta.webhooks import MetaWebhooks

FIRST, SECOND = uuid4(), uuid4()
PAGE = Account("page", "71", (FIRST, SECOND))
OTHERS = (Account("instagram", "72", (FIRST,)), Account("ad_account", "act_73", (SECOND,)))
STRANGER = Account("page", "74", (FIRST,))


def seen(org_id: UUID, account: Account, mark: str) -> Seen:
    value = json.loads(delivery(account, mark, at=1_700_000_000))["entry"][0]["changes"][0]["value"]
    data = {"org_id": str(org_id), "account": {"type": account.type, "id": account.id}, "value": value}
    return Seen(TOPIC, "webhook.received.v1", None, data, 0.0)


async def test_a_record_that_comes_again_under_its_id_is_read_once_and_counted() -> None:
    results = Results()
    for event_id in ("e1", "e2", "e1", "", ""):
        await results.add(Seen(TOPIC, "webhook.received.v1", None, {}, 0.0, event_id))
    assert [record.id for record in results.records] == ["e1", "e2", "", ""]
    assert results.repeated == 1


@pytest.mark.parametrize("mark", ["711000", "711001"])
@pytest.mark.parametrize("account", [PAGE, *OTHERS])
def test_each_delivery_is_one_change_of_its_account_which_is_known_again(account: Account, mark: str) -> None:
    (change,) = MetaWebhooks().split(delivery(account, mark, at=1_700_000_000))
    assert (change.account_type, change.account_id) == (account.type, account.id)
    assert mark_of(change.value) == mark


def test_what_is_wanted_is_each_change_for_each_organization_of_its_account() -> None:
    pushed = Pushed(accounts=(PAGE, *OTHERS), stranger=STRANGER, marks={"1": PAGE, "2": OTHERS[0]})
    assert wanted(pushed) == {(str(FIRST), "1"), (str(SECOND), "1"), (str(FIRST), "2")}


def test_what_was_published_twice_and_what_came_too_late_is_counted() -> None:
    pushed = Pushed(accounts=(PAGE, *OTHERS), stranger=STRANGER)
    results = Results([seen(FIRST, PAGE, mark) for mark in ("711000", "711002", "711001", "711002")])
    results.records.append(seen(FIRST, Account("page", "99", ()), "990"))
    assert published(results, pushed) == Counter(
        {(str(FIRST), "711000"): 1, (str(FIRST), "711001"): 1, (str(FIRST), "711002"): 2}
    )
    assert out_of_order(results, pushed) == 1
