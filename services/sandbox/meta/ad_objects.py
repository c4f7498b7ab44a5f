"""Campaigns, ad sets, ads and creatives of one ad account (fields and statuses S, money as minor units in text M)."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from services.sandbox.meta.world import Moment, Node, Ref, World

OBJECTIVES = ("OUTCOME_TRAFFIC", "OUTCOME_SALES", "OUTCOME_AWARENESS", "OUTCOME_ENGAGEMENT", "OUTCOME_LEADS")
GOALS = ("LINK_CLICKS", "REACH", "OFFSITE_CONVERSIONS", "POST_ENGAGEMENT")
_SEASONS = ("Spring", "Summer", "Autumn", "Winter", "Launch", "Evergreen")
_GONE_EVERY = 12
"""For every so many listed objects one more is archived or deleted, and left out of lists by default."""


@dataclass(frozen=True, slots=True)
class AdCounts:
    """How many objects of each level a list shows."""

    campaigns: int
    adsets: int
    ads: int
    adcreatives: int


class _Account:
    """One account while it is being filled."""

    def __init__(self, world: World, account: Node, offset_hours: int, page_id: str) -> None:
        self.world = world
        self.node = account
        self.zone = timezone(timedelta(hours=offset_hours))
        self.page_id = page_id

    def moment(self, at: datetime) -> Moment:
        """Meta writes ad objects' times in the account's zone (M)."""
        return Moment.fromtimestamp(at.timestamp(), self.zone)

    def status(self, number: int, above: str = "ACTIVE") -> str:
        if number % _GONE_EVERY == _GONE_EVERY - 1:
            return "DELETED" if number // _GONE_EVERY % 2 else "ARCHIVED"
        return "PAUSED" if above == "PAUSED" or self.world.random.random() < 0.3 else "ACTIVE"

    def add(self, kind: str, edge: str, name: str, status: str, parent: Node, values: dict[str, Any]) -> Node:
        created = self.world.past(50, 380)
        updated = self.world.touched(created)
        node_id = self.world.new_id("ad")
        shared = {
            "id": node_id,
            "name": name,
            "account_id": self.node.values["account_id"],
            "status": status,
            "configured_status": status,
            "effective_status": status,
            "created_time": self.moment(created),
            "updated_time": self.moment(updated),
        }
        node = Node(
            id=node_id,
            kind=kind,
            account=self.node.id,
            values={**shared, **values},
            created_at=created,
            updated_at=updated,
            parent=(parent.kind, parent.id),
            status=status,
            hidden=status in {"ARCHIVED", "DELETED"},
        )
        above = (self.node,) if parent is self.node else (self.node, parent)
        return self.world.add(node, listed_in=above, edge=edge)

    def budget(self) -> str:
        return str(self.world.random.randrange(500, 50_000, 100))


def fill_ad_account(world: World, account: Node, counts: AdCounts, *, offset_hours: int, page_id: str) -> None:
    """Make every level; newest first in each list, archived and deleted ones on top of the counts."""
    filling = _Account(world, account, offset_hours, page_id)
    campaigns = _fill(counts.campaigns, lambda number: _campaign(filling, number))
    creatives = _fill(counts.adcreatives, lambda number: _creative(filling, number))
    adsets = _fill(counts.adsets, lambda number: _adset(filling, number, campaigns[number % len(campaigns)]))
    _fill(counts.ads, lambda n: _ad(filling, n, adsets[n % len(adsets)], creatives[n % len(creatives)]))
    for node in (account, *campaigns, *adsets):
        for listed in node.edges.values():
            listed.reverse()


def _fill(count: int, make: Any) -> list[Node]:
    """Make objects until `count` of them are shown by default; gives those."""
    shown: list[Node] = []
    number = 0
    while len(shown) < count:
        node = make(number)
        number += 1
        if not node.hidden:
            shown.append(node)
    return shown


def _campaign(filling: _Account, number: int) -> Node:
    world = filling.world
    budget = filling.budget()
    values = {
        "objective": world.random.choice(OBJECTIVES),
        "buying_type": "AUCTION",
        "daily_budget": budget,
        "budget_remaining": str(int(budget) // 2),
        "special_ad_categories": [],
        "start_time": filling.moment(world.past(45, 300)),
    }
    name = f"{world.random.choice(_SEASONS)} campaign {number + 1}"
    return filling.add("campaign", "campaigns", name, filling.status(number), filling.node, values)


def _adset(filling: _Account, number: int, campaign: Node) -> Node:
    status = filling.status(number)
    values: dict[str, Any] = {
        "campaign_id": campaign.id,
        "campaign": Ref(campaign.id),
        "daily_budget": filling.budget(),
        "billing_event": "IMPRESSIONS",
        "optimization_goal": filling.world.random.choice(GOALS),
        "targeting": {"age_min": 18, "age_max": 65, "geo_locations": {"countries": ["US"]}},
    }
    if status == "ACTIVE" and campaign.status == "PAUSED":
        values["effective_status"] = "CAMPAIGN_PAUSED"
    return filling.add("adset", "adsets", f"Ad set {number + 1}", status, campaign, values)


def _ad(filling: _Account, number: int, adset: Node, creative: Node) -> Node:
    status = filling.status(number)
    campaign_id = str(adset.values["campaign_id"])
    values: dict[str, Any] = {
        "campaign_id": campaign_id,
        "campaign": Ref(campaign_id),
        "adset_id": adset.id,
        "adset": Ref(adset.id),
        "creative": Ref(creative.id),
    }
    if status == "ACTIVE" and adset.values["effective_status"] != "ACTIVE":
        paused = adset.values["effective_status"] == "CAMPAIGN_PAUSED"
        values["effective_status"] = "CAMPAIGN_PAUSED" if paused else "ADSET_PAUSED"
    node = filling.add("ad", "ads", f"Ad {number + 1}", status, adset, values)
    filling.world.nodes[campaign_id].edges.setdefault("ads", []).append(node.id)
    node.edges["adcreatives"] = [creative.id]
    return node


def _creative(filling: _Account, number: int) -> Node:
    """Creatives hang directly below the account, and have neither times nor a delivery status (S)."""
    status = "DELETED" if number % _GONE_EVERY == _GONE_EVERY - 1 else "ACTIVE"
    values = {
        "title": f"Title {number + 1}",
        "body": f"Text of creative {number + 1}",
        "object_type": "SHARE",
        "actor_id": filling.page_id,
        "call_to_action_type": "LEARN_MORE",
    }
    node = filling.add("adcreative", "adcreatives", f"Creative {number + 1}", status, filling.node, values)
    for absent in ("configured_status", "effective_status", "created_time", "updated_time"):
        node.values.pop(absent)
    return node
