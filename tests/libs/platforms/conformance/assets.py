"""What a token reaches: found whole, in our words, each listing by itself, credentials apart."""

import json
import re
from collections import Counter

import httpx

from libs.platforms.base import AssetPage, Assets, Platform
from libs.platforms.errors import PlatformError
from tests.libs.platforms.conformance.errors import TOKEN, ErrorsConformance, Handler

ASSET_TOKEN = "conformance-asset-token-that-must-stay-secret"


class AssetsConformance(ErrorsConformance):
    """Inherited by what discovers a platform's assets."""

    def build(self, handler: Handler) -> Platform:
        """Give the platform over a stand-in for its host."""
        raise NotImplementedError

    def everything(self) -> Handler:
        """Answer a discovery with at least one asset of every type, some on a second page; one has ASSET_TOKEN."""
        raise NotImplementedError

    def everything_but_one_listing(self) -> tuple[Handler, str]:
        """Answer like `everything`, but refuse one listing; give its name too."""
        raise NotImplementedError

    def assets(self, handler: Handler) -> Assets:
        assets = self.build(handler).assets
        assert assets is not None
        return assets

    async def ask(self, handler: Handler) -> list[AssetPage]:
        return [page async for page in self.assets(handler).discover(self.credential())]

    async def test_every_type_is_found_in_our_words_with_ids_in_their_form(self) -> None:
        types = self.build(self.everything()).account_types
        found = [asset for page in await self.ask(self.everything()) for asset in page.assets]
        assert {asset.ref.type for asset in found} == set(self.assets(self.everything()).types) <= set(types)
        for asset in found:
            assert re.fullmatch(types[asset.ref.type].id_pattern, asset.ref.id)
            if asset.parent is not None:
                assert re.fullmatch(types[asset.parent.type].id_pattern, asset.parent.id)

    async def test_every_listing_ends_once_and_says_so(self) -> None:
        pages = await self.ask(self.everything())
        ends = Counter(page.listing for page in pages if page.last)
        assert ends == Counter({page.listing for page in pages})
        after_end: set[str] = set()
        for page in pages:
            assert page.listing not in after_end
            after_end |= {page.listing} if page.last else set()

    async def test_a_listing_that_is_refused_hides_no_other(self) -> None:
        handler, refused = self.everything_but_one_listing()
        pages = await self.ask(handler)
        failed = [page for page in pages if page.error is not None]
        assert {page.listing for page in failed} == {refused}
        assert all(isinstance(page.error, PlatformError) for page in failed)
        whole = {page.listing for page in await self.ask(self.everything()) if page.last}
        assert {page.listing for page in pages if page.last} >= whole - {refused}

    async def test_credentials_are_apart_from_what_is_public(self) -> None:
        pages = await self.ask(self.everything())
        tokens = [credential for page in pages for credential in page.credentials]
        assert ASSET_TOKEN in {credential.access_token for credential in tokens}
        assert all(ASSET_TOKEN not in repr(page) for page in pages)
        for asset in (asset for page in pages for asset in page.assets):
            public = json.dumps(dict(asset.data), default=str)
            assert ASSET_TOKEN not in public
            assert TOKEN not in public

    async def test_discovery_only_reads(self) -> None:
        answer = self.everything()
        asked: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return answer(request)

        assert await self.ask(handler)
        assert all(self.only_reads(request) for request in asked)

    def only_reads(self, request: httpx.Request) -> bool:
        """Tell whether the request changes nothing."""
        return request.method == "GET"
