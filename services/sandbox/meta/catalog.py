"""What kinds of objects the sandbox has for Meta: names, default fields, edges, scopes and the quota that pays.

Edges and fields S (generated API specs); scopes O (permissions reference); default fields M: the documents say only
that some are given when none are asked for.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
ADS_SCOPES = ("ads_read", "ads_management")
INSTAGRAM_READ_SCOPES = ("instagram_basic", "instagram_business_basic")
"""With Facebook Login, and with Instagram Login (O)."""
PAGE_SCOPES = ("pages_show_list", "pages_read_engagement")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. `scopes`: one of them is needed, none means every token may."""

    name: str
    type_name: str
    default_fields: tuple[str, ...]
    scopes: tuple[str, ...]
    quota: str
    edges: Mapping[str, str] = field(default_factory=dict)
    """Edge -> kind of what it lists."""
    marketing: bool = False
    """Under the Marketing API's shorter life of versions."""


_AD_LEVELS = {"campaigns": "campaign", "adsets": "adset", "ads": "ad", "adcreatives": "adcreative"}
_POSTS = {"feed": "post", "posts": "post", "published_posts": "post"}
_KINDS = (
    Kind(
        "user", "User", ("id", "name"), (), "app",
        {"accounts": "page", "adaccounts": "ad_account", "businesses": "business"},
    ),
    Kind(
        "business", "Business", ("id", "name"), ("business_management",), "app",
        {"owned_pages": "page", "owned_ad_accounts": "ad_account", "instagram_accounts": "instagram"},
    ),
    Kind("application", "Application", ("id", "name", "category", "link"), (), "app"),
    Kind("page", "Page", ("id", "name"), PAGE_SCOPES, "pages", _POSTS),
    Kind("post", "PagePost", ("id", "message", "created_time"), ("pages_read_engagement",), "pages"),
    Kind("instagram", "IGUser", ("id",), INSTAGRAM_READ_SCOPES, "instagram", {"media": "media"}),
    Kind("media", "IGMedia", ("id",), INSTAGRAM_READ_SCOPES, "instagram"),
    Kind("ad_account", "AdAccount", ("id", "account_id"), ADS_SCOPES, "ads_management", _AD_LEVELS, marketing=True),
    Kind(
        "campaign", "Campaign", ("id",), ADS_SCOPES, "ads_management", {"adsets": "adset", "ads": "ad"}, marketing=True
    ),
    Kind("adset", "AdSet", ("id",), ADS_SCOPES, "ads_management", {"ads": "ad"}, marketing=True),
    Kind("ad", "Ad", ("id",), ADS_SCOPES, "ads_management", {"adcreatives": "adcreative"}, marketing=True),
    Kind("adcreative", "AdCreative", ("id",), ADS_SCOPES, "ads_management", marketing=True),
)  # fmt: skip
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}

ACCOUNT_CHILDREN: Mapping[str, Mapping[str, str]] = {
    "ad_account": {"campaigns": "campaigns", "adsets": "adsets", "ads": "ads", "adcreatives": "adcreatives"},
    "page": {"posts": "posts"},
    "instagram": {"posts": "media"},
    "business": {},
}
"""Accounts of the world -> counted child -> edge that lists it."""


@cache
def known_fields() -> Mapping[str, frozenset[str]]:
    """Every field name that Meta knows, per kind."""
    return _read_names("known_fields.toml")


@cache
def known_edges() -> Mapping[str, frozenset[str]]:
    """Every edge that Meta can list, per kind."""
    return _read_names("known_edges.toml")


def _read_names(file: str) -> Mapping[str, frozenset[str]]:
    read = tomllib.loads((_FOLDER / file).read_text())
    return {kind: frozenset(names.split()) for kind, names in read.items()}
