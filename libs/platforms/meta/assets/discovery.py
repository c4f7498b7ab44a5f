"""The course of one discovery: what is still to be asked, what is known, what each answer adds. No I/O.

Businesses and what they have come first. What the person has by themselves is asked for along with them, but told only
when the businesses are through: only then is what no business has known to be `personal`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from libs.platforms.base import Asset, AssetPage, AssetRelation, Credential, ItemDone, ItemFailed
from libs.platforms.errors import ContractBroken, PlatformError, Rejected, Unavailable
from libs.platforms.meta.assets.listings import Listing, of_asset, of_business
from libs.platforms.meta.assets.reading import Sighting, read_entry
from libs.platforms.meta.batching import without_secrets
from libs.platforms.meta.client import MAX_PAGES
from libs.platforms.meta.paging import read_page
from libs.vocabulary import AccountRef, PlatformName, UsageReading

MAX_TRIES: Final = 3
"""Of one page that Meta did not get to, or answered with a fault of its own."""
SMALLEST_LIMIT: Final = 5
"""Meta asks for less when a page is too heavy (code 1, third party); below this it is refused for good."""
_TOO_MUCH: Final = "1"
_PARENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "instagram": ("page", "business"),
    "pixel": ("business", "ad_account"),
}
"""What stands directly above, best first; for all other types there is one kind of parent only."""
_OWNERSHIPS: Final = (None, "personal", "client", "owned")
_WITH_BUSINESSES: Final = frozenset({"page", "ad_account", "whatsapp"})
"""Types that a person can have without a business, and of which businesses tell all that they have."""


@dataclass(slots=True)
class _Course:
    """How far one listing has come."""

    pages: int = 0
    positions: set[frozenset[tuple[str, str]]] = field(default_factory=set)


class Discovery:
    """Feed it with answers; it says what to ask next and what was found."""

    def __init__(self, roots: Iterable[Listing], credential: Credential, secrets: set[str]) -> None:
        self._app_id = credential.app_id
        self._secrets = secrets
        self._pending: deque[Listing] = deque()
        self._open_of_businesses = 0
        """Listings of businesses that are still to be asked for, or were and have no answer yet."""
        self._held: list[tuple[Listing, Any, tuple[UsageReading, ...]]] = []
        self._courses: dict[str, _Course] = {}
        self._known: dict[AccountRef, Asset] = {}
        self._told: set[AssetRelation] = set()
        self._credited: set[AccountRef] = set()
        for listing in roots:
            self._queue(listing)
        self._businesses_whole = self._open_of_businesses > 0

    def next(self, most: int) -> list[Listing]:
        """Give up to `most` pages to be asked for; none: the discovery is over, or `settle` has what was held."""
        return [self._pending.popleft() for _ in range(min(most, len(self._pending)))]

    def take(
        self, listing: Listing, answer: ItemDone | ItemFailed, usage: tuple[UsageReading, ...]
    ) -> Iterator[AssetPage]:
        """Give what an answer tells, once that can be said; queue what it leads to."""
        if isinstance(answer, ItemFailed):
            yield from self._failed(listing, answer.error, usage)
        elif _is_personal(listing) and self._open_of_businesses:
            self._held.append((listing, answer.body, usage))
        else:
            yield self._page(listing, answer.body, usage)
        self._open_of_businesses -= _is_of_businesses(listing)

    def settle(self) -> Iterator[AssetPage]:
        """Give what was held back, as soon as no business has anything left to tell."""
        while self._held and not self._open_of_businesses:
            yield self._page(*self._held.pop(0))

    def _queue(self, listing: Listing) -> None:
        self._open_of_businesses += _is_of_businesses(listing)
        self._pending.append(listing)

    def _failed(self, listing: Listing, error: PlatformError, usage: tuple[UsageReading, ...]) -> Iterator[AssetPage]:
        if isinstance(error, Unavailable) and listing.tries + 1 < MAX_TRIES:
            self._queue(replace(listing, tries=listing.tries + 1))
            return
        heavy = isinstance(error, Rejected) and (error.platform_code or "").partition("/")[0] == _TOO_MUCH
        if heavy and listing.is_list and listing.limit > SMALLEST_LIMIT:
            self._queue(replace(listing, limit=max(SMALLEST_LIMIT, listing.limit // 2)))
            return
        self._lost(listing)
        yield AssetPage(listing.name, listing.type, error=error, last=True, usage=usage)

    def _lost(self, listing: Listing) -> None:
        if _is_of_businesses(listing):
            self._businesses_whole = False

    def _page(self, listing: Listing, body: Any, usage: tuple[UsageReading, ...]) -> AssetPage:
        try:
            entries, following = _entries(listing, body)
            self._go_on(listing, following)
        except ContractBroken as broken:
            self._lost(listing)
            return AssetPage(listing.name, listing.type, error=broken, last=True, usage=usage)
        found, odd = Sighting(), 0
        for entry in entries:
            told = read_entry(listing, entry, self._app_id)
            if told is None:
                odd += 1
                continue
            self._add(listing, told, found)
        error = None
        if odd:
            self._lost(listing)
            words = f"{odd} of {len(entries)} entries have a form that is not known"
            error = ContractBroken(PlatformName.META, listing.name, words)
        return AssetPage(
            listing.name,
            listing.type,
            tuple(found.assets),
            tuple(found.relations),
            tuple(found.credentials),
            error=error,
            last=following is None,
            usage=usage,
        )

    def _go_on(self, listing: Listing, following: Mapping[str, str] | None) -> None:
        """Queue the next page. Raises ContractBroken for a list that leads back, or does not end."""
        course = self._courses.setdefault(listing.name, _Course())
        course.pages += 1
        if following is None:
            return
        key = frozenset(following.items())
        if key in course.positions or course.pages >= MAX_PAGES:
            raise ContractBroken(PlatformName.META, listing.name, "the list leads back, or does not end")
        course.positions.add(key)
        self._queue(replace(listing, position=following, tries=0))

    def _add(self, listing: Listing, told: Sighting, found: Sighting) -> None:
        secrets = self._secrets | {each.access_token for each in told.credentials}
        for asset in told.assets:
            seen = replace(asset, data=without_secrets(asset.data, secrets))
            if asset.ownership is None and self._is_personal_asset(listing, asset):
                seen = replace(seen, ownership="personal")
            known = self._known.get(asset.ref)
            merged = seen if known is None else merge(known, seen)
            if merged != known:
                self._known[asset.ref] = merged
                found.assets.append(merged)
            if known is None:
                self._lead_on(asset.ref)
        for relation in told.relations:
            if relation not in self._told:
                self._told.add(relation)
                found.relations.append(relation)
        for credential in told.credentials:
            if credential.asset not in self._credited:
                self._credited.add(credential.asset)
                found.credentials.append(credential)

    def _is_personal_asset(self, listing: Listing, asset: Asset) -> bool:
        if not _is_personal(listing) or asset.ref.type not in _WITH_BUSINESSES or asset.business_id is not None:
            return False
        return self._businesses_whole and asset.ref not in self._known

    def _lead_on(self, ref: AccountRef) -> None:
        for listing in of_business(ref) if ref.type == "business" else of_asset(ref):
            self._queue(listing)


def merge(known: Asset, seen: Asset) -> Asset:
    """Join two sightings of one asset: what is known is never lost, a closer parent replaces a farther one."""
    owned = max(known.ownership, seen.ownership, key=_OWNERSHIPS.index)
    first, second = (seen, known) if _closeness(seen) > _closeness(known) else (known, seen)
    return Asset(
        known.ref,
        seen.name or known.name,
        {**known.data, **seen.data},
        first.parent or second.parent,
        business_id=first.business_id or second.business_id,
        ownership=owned,
        roles=seen.roles or known.roles,
        access=seen.access or known.access,
        usable=known.usable and seen.usable,
    )


def _closeness(asset: Asset) -> tuple[int, int]:
    """Tell how well a sighting knows what stands above: by the parent's kind, then by how a business has it."""
    kinds = _PARENTS.get(asset.ref.type, ())
    if asset.parent is None:
        return (-1, 0)
    place = kinds.index(asset.parent.type) if asset.parent.type in kinds else 0
    return (len(kinds) - place, _OWNERSHIPS.index(asset.ownership))


def _is_personal(listing: Listing) -> bool:
    return listing.path.startswith("me") and listing.kind != "business"


def _is_of_businesses(listing: Listing) -> bool:
    """Tell whether it lists businesses or what one has; edges of other assets wait for nobody, and nobody for them."""
    return listing.kind == "business" or (listing.above is not None and listing.above.type == "business")


def _entries(listing: Listing, body: Any) -> tuple[tuple[dict[str, Any], ...], Mapping[str, str] | None]:
    if not listing.is_list:
        return (body,), None
    page = read_page(listing.name, body)
    return page.items, page.following
