"""Campaigns, ad sets, ads and creatives of one ad account (fields and statuses S, money as minor units in text M)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from services.sandbox.meta.briefs import Give, Outline
from services.sandbox.meta.dice import Dice, mix
from services.sandbox.meta.families import GONE_EVERY, ID_STEP, Family, Run, below, rank_above, whole
from services.sandbox.meta.node import Late, Moment, Node, Ref
from services.sandbox.meta.series import Series
from services.sandbox.meta.world import World

OBJECTIVES = ("OUTCOME_TRAFFIC", "OUTCOME_SALES", "OUTCOME_AWARENESS", "OUTCOME_ENGAGEMENT", "OUTCOME_LEADS")
GOALS = ("LINK_CLICKS", "REACH", "OFFSITE_CONVERSIONS", "POST_ENGAGEMENT")
_SEASONS = ("Spring", "Summer", "Autumn", "Winter", "Launch", "Evergreen")
_LONGEST_COUNT = 500
"""Of more ads than these, so many are looked at and the rest is taken to be like them."""
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AdCounts:
    """How many objects of each level a list shows; no level has fewer than the one above it."""

    campaigns: int
    adsets: int
    ads: int
    adcreatives: int


def fill_ad_account(
    world: World, account: Node, counts: AdCounts, *, zone: timezone, page: Node, story_posts: Run
) -> None:
    """Put every level below the account; newest first in each list, archived and deleted ones on top of the counts.

    `page`: on whose behalf it advertises; `story_posts`: those of its posts that creatives may show.
    """
    made = _Levels(world, account, counts, zone, page, story_posts)
    account.runs.update(
        campaigns=whole(made.campaigns),
        adsets=whole(made.adsets),
        ads=whole(made.ads),
        adcreatives=whole(made.creatives),
    )
    seed = world.random.getrandbits(63)
    world.series[account.id] = Series("ads", made.ads, seed, zone, world.clock.now, 150, 900)


def effective_status(world: World, node: Node, as_of: datetime | None = None) -> str:
    """The object's own status unless it is switched on below something that is not (S; which one wins M).

    Who deletes or archives an object writes that into what hangs below. `as_of`: as it was at that moment.
    """
    if node.status != "ACTIVE" or node.parent is None:
        return node.status
    above = world.find(node.parent[1], as_of)
    if above is None or above.kind == "ad_account":
        return node.status
    status = effective_status(world, above, as_of)
    if status == "PAUSED":
        return "CAMPAIGN_PAUSED" if above.kind == "campaign" else "ADSET_PAUSED"
    return status if status == "CAMPAIGN_PAUSED" else node.status


def count_active_ads(world: World, account: Node) -> int:
    """How many ads deliver now: quotas grow with them."""
    ads = world.shown(account, "ads")
    looked_at = ads[:_LONGEST_COUNT]
    active = sum(ad.values.get("effective_status") == "ACTIVE" for ad in looked_at)
    return active * len(ads) // len(looked_at) if looked_at else 0


class _Levels:
    """The four families of an account, and how to make a member of each."""

    def __init__(
        self, world: World, account: Node, counts: AdCounts, zone: timezone, page: Node, story_posts: Run
    ) -> None:
        self.world = world
        self.account = account
        self.counts = counts
        self.zone = zone
        self.page = page
        self.story_posts = story_posts
        self.campaigns = self._family("campaign", counts.campaigns, 60, 380, self._campaign)
        self.adsets = self._family("adset", counts.adsets, 56, 370, self._adset)
        self.creatives = self._family("adcreative", counts.adcreatives, 61, 390, self._creative)
        self.ads = self._family("ad", counts.ads, 52, 360, self._ad)
        self.adsets.not_before = lambda index: self.campaigns.created_at(self._campaign_above(index)) + _HOUR
        self.ads.not_before = self._ad_not_before
        self._above = {"adset": (self.campaigns, self._campaign_above), "ad": (self.adsets, self._adset_above)}
        for family, name in (
            (self.campaigns, ""),
            (self.adsets, "Ad set"),
            (self.ads, "Ad"),
            (self.creatives, "Creative"),
        ):
            family.outline = self._outline(family, name)

    def _family(self, kind: str, shown: int, newest: float, oldest: float, make: Callable[[int], Node]) -> Family:
        family = Family(
            kind=kind,
            owner=self.account.id,
            shown=shown,
            seed=self.world.random.getrandbits(63),
            start=self.world.start,
            newest_days=newest,
            oldest_days=oldest,
            base=0,
            has_gone=True,
            make=make,
        )
        family.base = self.world.reserve("ad", family.total * ID_STEP)
        return self.world.nodes.found(family)

    def _outline(self, family: Family, name: str) -> Outline:
        """What `_node` and those that call it say; the names of campaigns are theirs alone."""
        kind, is_creative = family.kind, family is self.creatives

        def status(index: int) -> str:
            return _creative_status(family, index) if is_creative else _status(family, index)

        def parent(index: int) -> tuple[str, str]:
            if kind not in self._above:
                return self.account.kind, self.account.id
            above, place = self._above[kind]
            return above.kind, above.node_id(place(index))

        values: dict[str, Give | None] = {
            "id": family.node_id,
            "account_id": lambda _: self.account.values["account_id"],
            "status": status,
            "configured_status": None if is_creative else status,
            "effective_status": None if is_creative else lambda index: self._effective_at(family, index),
            "created_time": None if is_creative else lambda index: self._moment(family.created_at(index)),
            "updated_time": None if is_creative else lambda index: self._moment(family.updated_at(index)),
            "stop_time": None,
            "end_time": None,
        }
        if name:
            values["name"] = lambda index: f"{name} {family.total - index}"
        if kind in {"ad", "adcreative"}:
            values["start_time"] = None
        if kind == "adset":
            values["campaign_id"] = lambda index: parent(index)[1]
        if kind == "ad":
            values["adset_id"] = lambda index: parent(index)[1]
            values["campaign_id"] = lambda index: self.campaigns.node_id(self._campaign_above(self._adset_above(index)))
        return Outline(status, parent, values)

    def _effective_at(self, family: Family, index: int) -> str:
        """The effective status of a member; made objects are asked only where somebody has written to them."""
        if family.is_written(index):
            node = self.world.nodes.get(family.node_id(index))
            return effective_status(self.world, node) if node else ""
        own = _status(family, index)
        if own != "ACTIVE" or family.kind not in self._above:
            return own
        above, place = self._above[family.kind]
        status = self._effective_at(above, place(index))
        if status == "PAUSED":
            return "CAMPAIGN_PAUSED" if above.kind == "campaign" else "ADSET_PAUSED"
        return status if status == "CAMPAIGN_PAUSED" else own

    def _has_budget(self, campaign: int) -> bool:
        """Every second campaign shares a budget among its ad sets."""
        return campaign % 2 == 0

    def _campaign_above(self, adset: int) -> int:
        return self.campaigns.at_rank(rank_above(self.adsets, adset, self.counts.campaigns))

    def _adset_above(self, ad: int) -> int:
        return self.adsets.at_rank(rank_above(self.ads, ad, self.counts.adsets))

    def _creative_of(self, ad: int) -> int:
        return self.creatives.at_rank(rank_above(self.ads, ad, self.counts.adcreatives))

    def _ad_not_before(self, index: int) -> datetime:
        made = self.adsets.created_at(self._adset_above(index)), self.creatives.created_at(self._creative_of(index))
        return max(made) + _HOUR

    def _campaign(self, index: int) -> Node:
        dice = Dice(self.campaigns.seed, index)
        budget = _budget(dice, 2) if self._has_budget(index) else {}
        node = self._node(self.campaigns, index, self.account, f"{dice.choice(_SEASONS)} campaign")
        node.values |= {
            "objective": dice.choice(OBJECTIVES),
            "buying_type": "AUCTION",
            **budget,
            "special_ad_categories": [],
            "special_ad_category": "NONE",
            "source_campaign_id": "0",
            "smart_promotion_type": "GUIDED_CREATION",
            "is_skadnetwork_attribution": False,
            "can_use_spend_cap": True,
            "pacing_type": ["standard"],
            "start_time": self._moment(node.created_at + timedelta(hours=dice.between(1, 60))),
        }
        if not node.hidden:
            rank = self.campaigns.rank(index)
            adsets = below(self.adsets, self.counts.campaigns, rank)
            node.runs = {"adsets": adsets, "ads": self._ads_below(adsets)}
        return node

    def _ads_below(self, adsets: Run) -> Run:
        """The ads of neighbouring ad sets are neighbours."""
        ranks = self.adsets.rank(adsets.low), self.adsets.rank(adsets.high) - 1
        first, last = (below(self.ads, self.counts.adsets, rank) for rank in ranks)
        return Run(self.ads, first.low, last.high)

    def _adset(self, index: int) -> Node:
        dice = Dice(self.adsets.seed, index)
        campaign = self.world.nodes[self.campaigns.node_id(self._campaign_above(index))]
        node = self._node(self.adsets, index, campaign, "Ad set")
        node.values |= {
            "campaign_id": campaign.id,
            "campaign": Ref(campaign.id),
            **({} if "daily_budget" in campaign.values else _budget(dice, 3)),
            "billing_event": "IMPRESSIONS",
            "optimization_goal": dice.choice(GOALS),
            "destination_type": "WEBSITE",
            "promoted_object": {"pixel_id": self.account.edges["adspixels"][0], "custom_event_type": "PURCHASE"},
            "is_dynamic_creative": False,
            "source_adset_id": "0",
            "pacing_type": ["standard"],
            "attribution_spec": [
                {"event_type": "CLICK_THROUGH", "window_days": 7},
                {"event_type": "VIEW_THROUGH", "window_days": 1},
            ],
            "start_time": self._moment(node.created_at + timedelta(hours=dice.between(1, 60))),
            "targeting": {"age_min": 18, "age_max": 65, "geo_locations": {"countries": ["US"]}},
            "effective_status": self._effective(node.id),
        }
        if not node.hidden:
            ads = below(self.ads, self.counts.adsets, self.adsets.rank(index))
            node.runs = {"ads": ads}
            shown = {self.creatives.node_id(self._creative_of(ad)): None for ad in range(ads.low, ads.high)}
            node.edges["adcreatives"] = list(shown)
        return node

    def _ad(self, index: int) -> Node:
        adset = self.world.nodes[self.adsets.node_id(self._adset_above(index))]
        campaign_id = str(adset.values["campaign_id"])
        creative_id = self.creatives.node_id(self._creative_of(index))
        node = self._node(self.ads, index, adset, "Ad")
        node.values |= {
            "campaign_id": campaign_id,
            "campaign": Ref(campaign_id),
            "adset_id": adset.id,
            "adset": Ref(adset.id),
            "creative": Ref(creative_id),
            "bid_type": "ABSOLUTE_OCPM",
            "source_ad_id": "0",
            "conversion_domain": "shop.example",
            "tracking_specs": [
                {"action.type": ["offsite_conversion"], "fb_pixel": list(self.account.edges["adspixels"])}
            ],
            "preview_shareable_link": f"https://fb.me/{mix(self.ads.seed, index):x}",
            "effective_status": self._effective(node.id),
        }
        node.edges["adcreatives"] = [creative_id]
        return node

    def _creative(self, index: int) -> Node:
        """Creatives hang directly below the account, and have neither times nor a delivery status (S)."""
        family, dice = self.creatives, Dice(self.creatives.seed, index)
        node = self._node(family, index, self.account, "Creative")
        for absent in ("configured_status", "effective_status", "created_time", "updated_time"):
            del node.values[absent]
        node.status = node.values["status"] = _creative_status(family, index)
        number = family.total - index
        link = f"https://shop.example/{number}"
        page_id = self.page.id
        action = {"type": "LEARN_MORE", "value": {"link": link}}
        node.values |= {
            "title": f"Title {number}",
            "body": f"Text of creative {number}",
            "object_type": "SHARE",
            "actor_id": page_id,
            "call_to_action_type": "LEARN_MORE",
            "object_story_spec": {
                "page_id": page_id,
                "link_data": {
                    "link": link,
                    "message": f"Text of creative {number}",
                    "name": f"Title {number}",
                    "call_to_action": action,
                },
            },
            "thumbnail_url": f"https://scontent.example/{node.id}.jpg",
        }
        posts = self.story_posts
        if posts.high > posts.low:
            node.values["effective_object_story_id"] = posts.family.node_id(dice.between(posts.low, posts.high - 1))
        if not node.hidden:
            # No edge lists it: it is what the creative's numbers are the sum of.
            node.runs = {"of_creative": below(self.ads, self.counts.adcreatives, family.rank(index))}
        return node

    def _node(self, family: Family, index: int, parent: Node, name: str) -> Node:
        created, updated = family.created_at(index), family.updated_at(index)
        status = _status(family, index)
        values = {
            "id": family.node_id(index),
            "name": f"{name} {family.total - index}",
            "account_id": self.account.values["account_id"],
            "status": status,
            "configured_status": status,
            "effective_status": status,
            "created_time": self._moment(created),
            "updated_time": self._moment(updated),
        }
        return Node(
            id=str(values["id"]),
            kind=family.kind,
            account=self.account.id,
            values=values,
            created_at=created,
            updated_at=updated,
            parent=(parent.kind, parent.id),
            status=status,
            hidden=family.is_gone(index),
        )

    def _effective(self, node_id: str) -> Any:
        return Late(
            lambda: effective_status(self.world, self.world.nodes[node_id]),
            lambda node, moment: effective_status(self.world, node, moment),
        )

    def _moment(self, at: datetime) -> Moment:
        """Meta writes ad objects' times in the account's zone (M)."""
        return Moment.fromtimestamp(at.timestamp(), self.zone)


def _status(family: Family, index: int) -> str:
    if family.is_gone(index):
        return "DELETED" if index // GONE_EVERY % 2 else "ARCHIVED"
    return "PAUSED" if mix(family.seed, index, 3) % 100 < 30 else "ACTIVE"


def _creative_status(family: Family, index: int) -> str:
    return "DELETED" if family.is_gone(index) else "ACTIVE"


def _budget(dice: Dice, left_of: int) -> dict[str, str]:
    """A budget stands on the campaign or on its ad sets, never on both (O, reference/ad-campaign-group)."""
    budget = dice.between(5, 500) * 100
    return {
        "daily_budget": str(budget),
        "budget_remaining": str(budget // left_of),
        "bid_strategy": "LOWEST_COST_WITHOUT_CAP",
    }
