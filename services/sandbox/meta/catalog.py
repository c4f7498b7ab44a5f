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
_POSTS = dict.fromkeys(
    ("feed", "posts", "published_posts", "scheduled_posts", "ads_posts", "visitor_posts", "tagged"), "post"
)
_OF_USERS = {
    "accounts": "page",
    "adaccounts": "ad_account",
    "businesses": "business",
    "assigned_pages": "page",
    "assigned_ad_accounts": "ad_account",
    "assigned_product_catalogs": "catalog",
    "assigned_whatsapp_business_accounts": "whatsapp",
}
_OF_BUSINESSES = {
    "owned_pages": "page",
    "client_pages": "page",
    "owned_ad_accounts": "ad_account",
    "client_ad_accounts": "ad_account",
    "instagram_accounts": "instagram",
    "owned_instagram_accounts": "instagram",
    "instagram_business_accounts": "instagram",
    "adspixels": "pixel",
    "owned_pixels": "pixel",
    "client_pixels": "pixel",
    "owned_product_catalogs": "catalog",
    "client_product_catalogs": "catalog",
    "owned_whatsapp_business_accounts": "whatsapp",
    "client_whatsapp_business_accounts": "whatsapp",
}
CATALOG_SCOPES = ("catalog_management",)
THREADS_SCOPES = ("threads_basic",)
WHATSAPP_SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging")
_KINDS = (
    Kind("user", "User", ("id", "name"), (), "app", _OF_USERS),
    Kind("business", "Business", ("id", "name"), ("business_management",), "app", _OF_BUSINESSES),
    Kind("application", "Application", ("id", "name", "category", "link"), (), "app"),
    Kind(
        "page", "Page", ("id", "name"), PAGE_SCOPES, "pages",
        {
            **_POSTS, "leadgen_forms": "leadgen_form", "instagram_accounts": "instagram", "photos": "photo",
            "videos": "video", "video_reels": "video",
        },
    ),
    Kind(
        "post", "Post", ("id", "message", "created_time"), ("pages_read_engagement",), "pages",
        # Nobody sponsors a post of this world or has it sent to them: both are empty.
        {"comments": "comment", "sponsor_tags": "page", "to": "page"},
    ),
    Kind(
        "comment", "Comment", ("id", "message", "created_time", "from"),
        ("pages_read_engagement", "pages_read_user_content"), "pages", {"comments": "comment"},
    ),
    Kind("photo", "Photo", ("id", "created_time", "name"), ("pages_read_engagement",), "pages"),
    Kind("video", "Video", ("id", "description", "updated_time"), ("pages_read_engagement",), "pages"),
    Kind("upload", "UploadSession", ("id", "file_offset"), (), "app"),
    Kind("leadgen_form", "LeadgenForm", ("id", "name", "status", "locale"), PAGE_SCOPES, "leadgen", {"leads": "lead"}),
    Kind("lead", "UserLeadGenInfo", ("id", "created_time", "field_data"), ("leads_retrieval",), "leadgen"),
    Kind(
        "instagram", "IGUser", ("id",), INSTAGRAM_READ_SCOPES, "instagram",
        {"media": "media", "stories": "media", "tags": "media", "connected_threads_user": "threads"},
    ),
    Kind(
        "media", "IGMedia", ("id",), INSTAGRAM_READ_SCOPES, "instagram",
        {"comments": "ig_comment", "children": "media"},
    ),
    Kind("container", "IGContainer", ("id",), INSTAGRAM_READ_SCOPES, "instagram"),
    Kind(
        "ig_comment", "IGComment", ("id", "timestamp", "text"), INSTAGRAM_READ_SCOPES, "instagram",
        {"replies": "ig_comment"},
    ),
    Kind(
        "threads", "ThreadsUser", ("id",), THREADS_SCOPES, "threads",
        {"threads": "threads_post", "replies": "threads_post", "mentions": "threads_post"},
    ),
    Kind(
        "threads_post", "ThreadsMedia", ("id",), THREADS_SCOPES, "threads",
        {"replies": "threads_post", "conversation": "threads_post", "children": "threads_post"},
    ),
    Kind("threads_container", "ThreadsContainer", ("id",), THREADS_SCOPES, "threads"),
    Kind("pixel", "AdsPixel", ("id", "name"), (*ADS_SCOPES, "business_management"), "app"),
    Kind(
        "catalog", "ProductCatalog", ("id", "name"), CATALOG_SCOPES, "catalog",
        {"products": "product", "product_feeds": "product_feed"},
    ),
    Kind("product", "ProductItem", ("id", "name", "retailer_id"), CATALOG_SCOPES, "catalog"),
    Kind("product_feed", "ProductFeed", ("id", "name", "file_name"), CATALOG_SCOPES, "catalog"),
    Kind(
        "whatsapp", "WhatsAppBusinessAccount", ("id", "name", "currency", "timezone_id", "message_template_namespace"),
        WHATSAPP_SCOPES, "whatsapp", {"phone_numbers": "phone_number"},
    ),
    Kind(
        "phone_number", "WhatsAppBusinessPhoneNumber",
        ("id", "verified_name", "display_phone_number", "quality_rating", "code_verification_status"),
        WHATSAPP_SCOPES, "whatsapp",
    ),
    Kind(
        "ad_account", "AdAccount", ("id", "account_id"), ADS_SCOPES, "ads_management",
        {
            **_AD_LEVELS, "adspixels": "pixel", "promote_pages": "page", "instagram_accounts": "instagram",
            "connected_instagram_accounts": "instagram", "adlabels": "adlabel", "advideos": "ad_video",
        },
        marketing=True,
    ),
    Kind(
        "campaign", "Campaign", ("id",), ADS_SCOPES, "ads_management", {"adsets": "adset", "ads": "ad"}, marketing=True
    ),
    Kind(
        "adset", "AdSet", ("id",), ADS_SCOPES, "ads_management", {"ads": "ad", "adcreatives": "adcreative"},
        marketing=True,
    ),
    # People fill in forms without an ad here: no ad has leads.
    Kind(
        "ad", "Ad", ("id",), ADS_SCOPES, "ads_management", {"adcreatives": "adcreative", "leads": "lead"},
        marketing=True,
    ),
    Kind("adcreative", "AdCreative", ("id",), ADS_SCOPES, "ads_management", marketing=True),
    Kind("adlabel", "AdLabel", ("id", "name"), ADS_SCOPES, "ads_management", _AD_LEVELS, marketing=True),
    Kind("ad_video", "AdVideo", ("id", "title", "updated_time"), ADS_SCOPES, "ads_management", marketing=True),
    Kind("adimage", "AdImage", ("id", "hash"), ADS_SCOPES, "ads_management", marketing=True),
    Kind(
        "report_run", "AdReportRun",
        ("id", "account_id", "time_ref", "time_completed", "async_status", "async_percent_completion", "is_running",
         "date_start", "date_stop", "error_code", "error_message", "error_subcode", "error_user_title",
         "error_user_msg"),
        ADS_SCOPES, "ads_management", marketing=True,
    ),
)  # fmt: skip
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}

_SUFFIXES = {"graph.instagram.com": "_login"}

ACCOUNT_CHILDREN: Mapping[str, Mapping[str, str]] = {
    "ad_account": {"campaigns": "campaigns", "adsets": "adsets", "ads": "ads", "adcreatives": "adcreatives"},
    "page": {"posts": "posts"},
    "instagram": {"posts": "media"},
    "threads": {"posts": "threads"},
    "business": {},
    "pixel": {},
    "catalog": {},
    "whatsapp": {},
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


def fields_of(kind: str, host: str) -> frozenset[str]:
    """Names of a kind's fields at a host: Instagram Login knows fewer (S, IGUserForIGOnlyAPI)."""
    names = known_fields()
    return names.get(kind + _SUFFIXES.get(host, ""), names.get(kind, frozenset()))


def edges_of(kind: str, host: str) -> frozenset[str]:
    names = known_edges()
    return names.get(kind + _SUFFIXES.get(host, ""), names.get(kind, frozenset()))


def _read_names(file: str) -> Mapping[str, frozenset[str]]:
    read = tomllib.loads((_FOLDER / file).read_text())
    return {kind: frozenset(names.split()) for kind, names in read.items()}
