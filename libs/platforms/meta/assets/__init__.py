"""Finding what a token of Meta's reaches: businesses, pages, Instagram accounts, Threads profiles, ad accounts, pixels,
catalogs, WhatsApp Business accounts, with what stands above each and the pages' own tokens.

Asked in batches of 50, an item per listing (`listings.py`), so that a failure stays in its item; read by `reading.py`;
the course of it is `discovery.py`. Threads and Instagram with a login of their own have hosts of their own, on which it
is not documented whether batches are taken: there one call asks for the one account that the token is of.
Not found: businesses below a business, apps, and phone numbers, which are no types of ours.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from libs.platforms.base import Asset, AssetPage, Credential, ItemFailed
from libs.platforms.errors import AuthExpired, AuthRevoked, ContractBroken, Rejected
from libs.platforms.meta.assets.discovery import Discovery
from libs.platforms.meta.assets.listings import (
    OF_A_THREADS_LOGIN,
    OF_AN_INSTAGRAM_LOGIN,
    Listing,
    of_page,
    of_person,
)
from libs.platforms.meta.assets.reading import read_instagram_login, read_threads_login
from libs.platforms.meta.auth import auth_params
from libs.platforms.meta.batching import call_batch
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.packing import MAX_SLOTS, Item
from libs.platforms.meta.quota import Subject
from libs.platforms.meta.settings import GraphHost, host_of
from libs.vocabulary import PlatformName

TYPES: Final = ("ad_account", "business", "catalog", "instagram", "page", "pixel", "threads", "whatsapp")
OPERATION: Final = "discover"
_PERSONS: Final = frozenset({"user", "short_user", "system_user"})


class MetaAssets:
    """Finds assets; see `libs.platforms.base.Assets`."""

    types = TYPES

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def discover(self, credential: Credential, *, kind: str = "user") -> AsyncIterator[AssetPage]:
        """Yield what the token reaches, page by page, businesses and what they have first.

        Every page of every listing costs a call of the quotas; each batch of up to 50 is one HTTP call. Raises a
        PlatformError when a whole batch was refused or had no answer, or when the token is dead; Rejected for kinds of
        tokens that have no assets (an app's).
        """
        host = host_of(credential)
        if host is not GraphHost.FACEBOOK:
            yield await self._own(host, credential)
            return
        discovery = Discovery(_roots(kind), credential, set(auth_params(self._client.settings, credential).values()))
        while asked := discovery.next(MAX_SLOTS):
            outcome = await call_batch(self._client, [_item(listing, credential) for listing in asked])
            if outcome.refusal is not None:
                raise outcome.refusal
            usage = outcome.usage
            for listing, answer in zip(asked, outcome.items, strict=True):
                if isinstance(answer, ItemFailed) and isinstance(answer.error, AuthExpired | AuthRevoked):
                    raise answer.error
                for page in discovery.take(listing, answer, usage):
                    yield page
                    usage = ()
            for page in discovery.settle():
                yield page

    async def _own(self, host: GraphHost, credential: Credential) -> AssetPage:
        """Ask a login with a host of its own for the one account that its token is of."""
        instagram = host is GraphHost.INSTAGRAM
        fields = OF_AN_INSTAGRAM_LOGIN if instagram else OF_A_THREADS_LOGIN
        found = await self._client.read(OPERATION, "me", {"fields": fields}, credential=credential)
        read = read_instagram_login if instagram else read_threads_login
        asset: Asset | None = read(found.body)
        if asset is None:
            raise ContractBroken(PlatformName.META, OPERATION, "the answer tells of no account")
        return AssetPage("me", asset.ref.type, (asset,), last=True, usage=found.usage)


def _roots(kind: str) -> Iterable[Listing]:
    if kind in _PERSONS:
        return of_person()
    if kind == "page":
        return of_page()
    raise Rejected(PlatformName.META, OPERATION, f"a token of kind {kind!r} has no assets of its own")


def _item(listing: Listing, credential: Credential) -> Item:
    above = listing.above
    account_id = above.id.removeprefix("act_") if above is not None and above.type == "ad_account" else None
    return Item(
        listing.name,
        listing.path,
        listing.params,
        credential,
        is_list=listing.is_list,
        about=Subject(listing.path.partition("/")[0], account_id),
    )
