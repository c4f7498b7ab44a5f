"""Edges that differ from "the list that the world keeps under that name, with the default fields of its kind".

Default fields O where a sample answer of the documents shows more than those of the kind: me/accounts
(docs/pages-api/manage-pages), business edges (reference/business), phone_numbers (business-messaging-api v23.0 of
github.com/facebook/openapi), leadgen_forms and leads (marketing-api/guides/lead-ads/retrieving), IG comments.
Edges S (facebook-business 26), O for Threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """How one edge is read."""

    sources: tuple[str, ...] = ()
    """Lists of the world that it shows one after another; none: the one of its own name."""
    default_fields: tuple[str, ...] | None = None
    deep: bool = False
    """With what hangs below each row, under the first source."""


_ACCOUNTS = ("access_token", "category", "category_list", "name", "id", "tasks")
_NUMBERS = ("verified_name", "code_verification_status", "display_phone_number", "quality_rating", "id")
_WHATSAPP = ("id", "name", "currency", "timezone_id", "message_template_namespace")
EDGES: Mapping[tuple[str, str], Edge] = {
    ("user", "accounts"): Edge(default_fields=_ACCOUNTS),
    ("user", "assigned_pages"): Edge(("accounts",)),
    ("user", "assigned_ad_accounts"): Edge(("adaccounts",)),
    ("business", "instagram_business_accounts"): Edge(("instagram_accounts",)),
    ("business", "adspixels"): Edge(("owned_pixels", "client_pixels")),
    ("business", "owned_whatsapp_business_accounts"): Edge(default_fields=_WHATSAPP),
    ("business", "client_whatsapp_business_accounts"): Edge(default_fields=_WHATSAPP),
    ("whatsapp", "phone_numbers"): Edge(default_fields=_NUMBERS),
    # All levels of a conversation as one list (O, docs/threads/retrieve-and-manage-replies).
    ("threads_post", "conversation"): Edge(("replies",), deep=True),
}
_PLAIN = Edge()


def edge_of(kind: str, edge: str) -> Edge:
    return EDGES.get((kind, edge), _PLAIN)
