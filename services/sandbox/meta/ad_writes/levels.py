"""Campaigns, ad sets and ads: created, changed, deleted.

Parameters S; which are needed O (marketing-api/reference: ad-campaign-group, ad-campaign, adgroup).
"""

from datetime import datetime
from typing import Any

from services.sandbox.meta.ad_writes import refusals, rules, statuses
from services.sandbox.meta.ad_writes.creatives import creative_of
from services.sandbox.meta.ad_writes.making import (
    Given,
    change,
    check_changeable,
    delete,
    given_for,
    make,
    moment_in,
    now_of,
    only_validates,
    referenced,
    show_creatives,
    shown_values,
    updater,
)
from services.sandbox.meta.inputs import missing
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.read_back import answer, changed
from services.sandbox.meta.world import Node, Ref, World

SCOPES = ("ads_management",)
_VALID = {"success": True}


def _create_campaign(context: Context) -> object:
    account = context.named
    given = given_for(context, "campaign", "create")
    rules.check_campaign(given)
    if only_validates(given):
        return _VALID
    values = {
        "buying_type": "AUCTION",
        "is_adset_budget_sharing_enabled": False,
        "start_time": moment_in(account, now_of(context)),
        **_budget_left(given),
        **shown_values(account, given),
    }
    return answer(context, make(context, "campaign", values, account, account))


def _create_adset(context: Context) -> object:
    account, now = context.named, now_of(context)
    given = given_for(context, "adset", "create")
    if not given.get("campaign_id"):
        raise missing("campaign_id")
    campaign = referenced(context, "campaign_id", given["campaign_id"], "campaign", account.id)
    rules.check_adset(given, campaign.values, now)
    if only_validates(given):
        return _VALID
    values = {
        "bid_strategy": "LOWEST_COST_WITH_BID_CAP" if given.get("bid_amount") else "LOWEST_COST_WITHOUT_CAP",
        "start_time": moment_in(account, now),
        **_budget_left(given),
        **shown_values(account, given),
        "campaign_id": campaign.id,
        "campaign": Ref(campaign.id),
    }
    return answer(context, make(context, "adset", values, account, campaign))


def _create_ad(context: Context) -> object:
    account = context.named
    given = given_for(context, "ad", "create")
    for name in ("name", "adset_id", "creative"):
        if not given.get(name):
            raise missing(name)
    adset = referenced(context, "adset_id", given["adset_id"], "adset", account.id)
    creative = creative_of(context, account, given["creative"], keep=not only_validates(given))
    if creative is None or only_validates(given):
        return _VALID
    values = {**shown_values(account, given), **_places(adset), "creative": Ref(creative.id)}
    ad = make(context, "ad", values, account, adset)
    show_creatives(context.world, ad)
    if ad.values["effective_status"] == statuses.REVIEWING:
        context.world.agenda.at(now_of(context) + statuses.REVIEW, _reviewed(context.world, ad.id))
    return answer(context, ad)


def _reviewed(world: World, ad_id: str) -> Any:
    def act(_: datetime) -> None:
        ad = world.nodes.get(ad_id)
        if ad is not None and ad.values["effective_status"] == statuses.REVIEWING:
            statuses.settle(world, ad, reviewing=False)

    return act


def _places(adset: Node) -> dict[str, Any]:
    campaign_id = str(adset.values["campaign_id"])
    return {
        "adset_id": adset.id,
        "adset": Ref(adset.id),
        "campaign_id": campaign_id,
        "campaign": Ref(campaign_id),
    }


def _budget_left(given: Given) -> dict[str, str]:
    """Nothing is spent yet of a new object's budget."""
    budget = given.get("daily_budget") or given.get("lifetime_budget")
    return {"budget_remaining": str(budget)} if budget else {}


def _check_campaign(context: Context, node: Node, given: Given) -> None:
    _check_name(given)
    rules.check_objective(given)
    rules.check_budgets({**_held(node), **given}, days=1)
    named = [name for name in rules.BUDGETS if given.get(name)]
    below = (adset for adset in context.world.listed(node, "adsets") if not adset.hidden)
    if named and not _held(node) and any(_held(adset) for adset in below):
        raise refusals.budget_on_both_levels(named[0])
    strategy = {"bid_strategy": node.values["bid_strategy"]} if "bid_strategy" in node.values else {}
    rules.check_sharing({**_held(node), **strategy, **given})


def _check_adset(context: Context, node: Node, given: Given) -> None:
    _check_name(given)
    campaign = context.world.nodes[node.values["campaign_id"]]
    named = [name for name in rules.BUDGETS if given.get(name)]
    if named and _held(campaign):
        raise refusals.budget_on_both_levels(named[0])
    times: Given = {name: node.values[name] for name in ("start_time", "end_time") if name in node.values}
    if {"start_time", "end_time"} & given.keys():
        rules.check_times({**times, **given}, now_of(context))
    rules.check_budgets({**_held(node), **given}, days=1)
    if "targeting" in given:
        rules.check_targeting(given["targeting"])
    if {"optimization_goal", "billing_event", "promoted_object"} & given.keys():
        rules.check_goal({**node.values, **given}, str(campaign.values.get("objective")))
    if given.get("bid_strategy") in rules.CAPPED and not (given.get("bid_amount") or node.values.get("bid_amount")):
        raise refusals.bid_required()


def _held(node: Node) -> dict[str, int]:
    """Budgets that an object has."""
    return {name: int(node.values[name]) for name in rules.BUDGETS if int(node.values.get(name) or 0)}


def _check_name(given: Given) -> None:
    if "name" in given and not given["name"]:
        raise missing("name")


def _update_ad(context: Context) -> object:
    """As for every kind; another creative is put in place of the old one."""
    ad = context.named
    given = given_for(context, "ad", "update")
    check_changeable(ad, given)
    _check_name(given)
    account, valid_only = context.world.nodes[ad.account], only_validates(given)
    spec = given.pop("creative", None)
    creative = creative_of(context, account, spec, keep=not valid_only) if spec else None
    if not valid_only:
        shown = {"creative": Ref(creative.id)} if creative else {}
        change(context, ad, {**shown_values(account, given), **shown})
        if creative:
            show_creatives(context.world, context.world.nodes[ad.id])
    return changed(context, ad)


OPERATIONS = (
    Operation("meta.ad_account.create_campaign", "POST", "{ad_account}/campaigns", _create_campaign, scopes=SCOPES),
    Operation("meta.ad_account.create_adset", "POST", "{ad_account}/adsets", _create_adset, scopes=SCOPES),
    Operation("meta.ad_account.create_ad", "POST", "{ad_account}/ads", _create_ad, scopes=SCOPES),
    Operation("meta.campaign.update", "POST", "{campaign}", updater(_check_campaign), scopes=SCOPES),
    Operation("meta.adset.update", "POST", "{adset}", updater(_check_adset), scopes=SCOPES),
    Operation("meta.ad.update", "POST", "{ad}", _update_ad, scopes=SCOPES),
    *(
        Operation(f"meta.{kind}.delete", "DELETE", f"{{{kind}}}", delete, scopes=SCOPES)
        for kind in ("campaign", "adset", "ad")
    ),
)
