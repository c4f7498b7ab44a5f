"""What a story of Instagram was worth, told once when it is over (T; with Facebook Login only).

A number below five is told as -1 (T). People move through it in one direction, as its insights say.
"""

from typing import Any

from services.sandbox.meta.insights.instagram_media import STORY_LIFE as LIFE
from services.sandbox.meta.statistics import added, lifetime
from services.sandbox.meta.tokens import FACEBOOK, App
from services.sandbox.meta.world import Node, World

LEAST_TOLD = 5
FIELD = "story_insights"


def is_story(node: Node) -> bool:
    return node.kind == "media" and node.values.get("media_product_type") == "STORY"


def story_insights(world: World, story: Node) -> dict[str, Any]:
    numbers = added(lifetime(world, story))
    told = {
        "impressions": numbers.impressions,
        "reach": numbers.reach,
        "taps_forward": numbers.clicks,
        "taps_back": 0,
        "exits": 0,
        "replies": numbers.comments,
    }
    return {"media_id": story.id, **{name: count if count >= LEAST_TOLD else -1 for name, count in told.items()}}


def may_hear(app: App) -> bool:
    return app.family == FACEBOOK


__all__ = ["FIELD", "LIFE", "is_story", "may_hear", "story_insights"]
