import re

import pytest

from libs.platforms.meta.webhooks import ACCOUNT_TYPES, MetaWebhooks
from libs.platforms.meta.webhooks.drill import MetaDrill

DRILL = MetaDrill()


@pytest.mark.parametrize(("name", "kind"), DRILL.samples.items())
def test_a_sample_is_a_delivery_that_is_accepted_and_tells_of_one_thing_on_its_account(name: str, kind: str) -> None:
    body = DRILL.sample(name)
    assert MetaWebhooks().check_signature(DRILL.sign(body, b"secret"), body, [b"secret"])[0] == "valid"
    (change,) = MetaWebhooks().split(body)
    assert change.account_type == kind
    assert re.fullmatch(ACCOUNT_TYPES[kind].id_pattern, change.account_id)
    assert change.change_type != "other"


@pytest.mark.parametrize(("name", "kind"), DRILL.samples.items())
def test_each_sample_tells_something_new_of_the_account_that_is_named(name: str, kind: str) -> None:
    account_id = "act_42" if kind == "ad_account" else "42"
    changes = [MetaWebhooks().split(DRILL.sample(name, account_id))[0] for _ in range(20)]
    assert len({change.external_event_id for change in changes}) == 20
    assert {change.account_id for change in changes} == {account_id}


def test_a_name_that_is_none_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        DRILL.sample("carrier_pigeon")
