"""Lists that come page by page: all of it, once, in order, and never further than the platform's own host."""

from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from libs.platforms.errors import AuthExpired, ContractBroken, PlatformError
from tests.libs.platforms.conformance.errors import TOKEN, ErrorsConformance, Handler

Ids = Sequence[str]


class PagingConformance(ErrorsConformance):
    """Inherited by whatever reads a list to its end."""

    def pages(self, handler: Handler) -> AsyncIterator[Ids]:
        """Read a list page by page over a stand-in for the platform's host; give the ids on each."""
        raise NotImplementedError

    def page(self, ids: Ids, following: str | None) -> httpx.Response:
        """Write a page; `following` is where the next one begins, None at the end."""
        raise NotImplementedError

    def asked_for(self, request: httpx.Request) -> str | None:
        """Give where the page that is asked for begins, None for the first."""
        raise NotImplementedError

    def page_that_leads_to(self, address: str) -> httpx.Response:
        """Write a page whose next one is said to be at this address, which the platform did not make."""
        raise NotImplementedError

    def odd_pages(self) -> Sequence[httpx.Response]:
        """Give answers with a good status that are no pages, or say that there is more and not where."""
        raise NotImplementedError

    async def ask(self, handler: Handler) -> list[Ids]:
        return [ids async for ids in self.pages(handler)]

    def book(self, pages: Sequence[Ids], asked: list[str | None] | None = None) -> Handler:
        """Serve these pages, one after the other."""

        def handler(request: httpx.Request) -> httpx.Response:
            begin = self.asked_for(request)
            if asked is not None:
                asked.append(begin)
            number = int(begin.removeprefix("page")) if begin is not None else 0
            return self.page(pages[number], f"page{number + 1}" if number + 1 < len(pages) else None)

        return handler

    async def test_all_pages_come_once_and_in_order(self) -> None:
        asked: list[str | None] = []
        pages = [["1", "2"], ["3"], ["4", "5"]]
        assert [list(ids) for ids in await self.ask(self.book(pages, asked))] == pages
        assert asked == [None, "page1", "page2"]

    async def test_an_empty_page_is_no_end(self) -> None:
        pages: list[list[str]] = [["1"], [], [], ["2"], []]
        assert [list(ids) for ids in await self.ask(self.book(pages))] == pages

    async def test_a_list_without_anything_has_one_page(self) -> None:
        assert [list(ids) for ids in await self.ask(self.book([[]]))] == [[]]

    async def test_no_more_is_asked_for_than_is_read(self) -> None:
        asked: list[str | None] = []
        async for _ in self.pages(self.book([["1"], ["2"], ["3"]], asked)):
            if len(asked) == 2:
                break
        assert asked == [None, "page1"]

    async def test_a_page_that_fails_comes_after_those_that_were_read(self) -> None:
        whole = self.book([["1"], ["2"]])

        def handler(request: httpx.Request) -> httpx.Response:
            return whole(request) if self.asked_for(request) is None else self.refusal(AuthExpired)

        read: list[Ids] = []
        with pytest.raises(AuthExpired):
            async for ids in self.pages(handler):
                read.append(ids)  # noqa: PERF401  what was read before the failure is what counts
        assert [list(ids) for ids in read] == [["1"]]

    async def test_a_list_that_leads_back_to_itself_is_broken_off(self) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            return self.page(["1"], "page1" if self.asked_for(request) != "page1" else "page2")

        asked: list[str | None] = []

        def circle(request: httpx.Request) -> httpx.Response:
            asked.append(self.asked_for(request))
            return handler(request) if asked[-1] != "page2" else self.page(["3"], "page1")

        assert isinstance(await self.failure(circle), ContractBroken)
        assert len(asked) <= 4, "not the length of the list tells it, but that the place is known"

    async def test_the_token_goes_to_no_other_host(self) -> None:
        hosts: list[str] = []

        def handler(request: httpx.Request) -> httpx.Response:
            hosts.append(request.url.host)
            assert TOKEN not in request.url.path
            elsewhere = "https://elsewhere.example/v1/list?after=page1&access_token=x"
            return self.page_that_leads_to(elsewhere) if len(hosts) == 1 else self.page(["2"], None)

        try:
            await self.ask(handler)
        except PlatformError as error:
            assert isinstance(error, ContractBroken)
        assert len(set(hosts)) == 1

    async def test_what_is_no_page_breaks_the_contract(self) -> None:
        for response in self.odd_pages():
            assert isinstance(await self.failure(lambda _, odd=response: odd), ContractBroken)  # type: ignore[misc]
