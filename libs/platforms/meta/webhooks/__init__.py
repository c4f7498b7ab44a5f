"""Meta's webhooks: signature and handshake (`signature.py`), JSON (`payload.py`), shapes (`shapes.py`), what they mean
for us (`pages.py`, `messaging.py`, `whatsapp.py`, for the rest `words.py`) and which and when (`keys.py`).

Pages read, as stored copies, in 2026-11: "Webhooks: getting started" with its pages for Pages, lead ads, Instagram and
ad accounts, "Webhooks reference" (topics and fields), "Instagram Platform webhook notification examples", "Ads
webhooks" (overview, effective status, with-issues and in-process ad objects, creative fatigue), "Threads webhooks",
"Messenger Platform webhooks", "WhatsApp Cloud API webhooks" with groups. At least once, in no promised order, up to
1000 updates a delivery, without an id of its own.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from libs.platforms.base import AccountType, Change, Headers, SignatureVerdict
from libs.platforms.meta.webhooks.payload import read
from libs.platforms.meta.webhooks.shapes import changes_of
from libs.platforms.meta.webhooks.signature import answer_handshake, check_signature, needs_body

_DIGITS: Final = r"[0-9]{1,32}"

ACCOUNT_TYPES: Final[Mapping[str, AccountType]] = MappingProxyType(
    {
        "page": AccountType(_DIGITS, "page:153125381133"),
        "instagram": AccountType(_DIGITS, "instagram:17841405309211844"),
        "ad_account": AccountType(rf"act_{_DIGITS}", "ad_account:act_4711"),
        "whatsapp": AccountType(_DIGITS, "whatsapp:102290129340398"),
        "threads": AccountType(_DIGITS, "threads:78901"),
        "business": AccountType(_DIGITS, "business:104000000000001"),
        "pixel": AccountType(_DIGITS, "pixel:105000000000001"),
        "catalog": AccountType(_DIGITS, "catalog:106000000000001"),
    }
)
"""The eight types of assets. `ad_account` is written as the API's paths take it, though webhooks leave `act_` out;
`whatsapp` is the WhatsApp Business Account, not a phone number."""


class MetaWebhooks:
    """What Meta pushes, for every product whose app secret we have."""

    def needs_body(self, headers: Headers) -> SignatureVerdict | None:
        """Give the refusal that the headers alone tell, before a body is read."""
        return needs_body(headers)

    def check_signature(
        self, headers: Headers, body: bytes, secrets: Sequence[bytes]
    ) -> tuple[SignatureVerdict, str | None]:
        """Check `X-Hub-Signature-256` over the body as it came; an empty secret never counts. Never raises."""
        return check_signature(headers, body, secrets)

    def answer_handshake(self, query: bytes, verify_tokens: Sequence[bytes]) -> bytes | None:
        """Give `hub.challenge` when `hub.verify_token` is one of the tokens, else None. Never raises."""
        return answer_handshake(query, verify_tokens)

    def split(self, body: bytes) -> list[Change]:
        """Give every change of a delivery in its order. Raises UnknownShape, and nothing else."""
        return changes_of(read(body))
