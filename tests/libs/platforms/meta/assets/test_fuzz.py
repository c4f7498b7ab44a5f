"""Whatever Meta answers to a discovery: an end, no exception but those of the tree, nothing found that was not told."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.base import AssetPage, Credential
from libs.platforms.errors import PlatformError
from libs.platforms.meta import build_platform
from libs.platforms.meta.assets import TYPES
from libs.platforms.meta.assets.reading import public
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.meta.webhooks import ACCOUNT_TYPES
from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.meta_graph import RecordedGraph, recorded_listings, refused
from tests.support.meta_told import JSON

FUZZ = settings(max_examples=FUZZ_EXAMPLES, suppress_health_check=[HealthCheck.too_slow], deadline=None)
CREDENTIAL = Credential("our-own-token-that-is-secret", "4711", "our-app-secret-that-is-secret")
NAMES = sorted(recorded_listings())
MOST_CALLS = 200
"""A discovery of the recorded listings needs five; more is one that does not end."""

FATES: Mapping[str, Any] = {
    "null": None,
    "aborted": refused(960, "aborted", 500),
    "throttled": refused(4, "limit"),
    "forbidden": refused(200, "permission", 403),
    "missing": refused(100, "missing", error_subcode=33),
    "heavy": refused(1, "Please reduce the amount of data you're asking for", 500),
    "broken": {"code": 502, "body": "<html>"},
    "no text": {"code": 200, "headers": [], "body": "[]{"},
    "odd": "text",
    "empty": {"code": 200, "headers": [], "body": '{"data":[]}'},
}


async def discover(handler: Any) -> list[AssetPage]:
    calls = 0

    def counted(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        assert calls <= MOST_CALLS, "the discovery does not end"
        found: httpx.Response = handler(request)
        return found

    client = httpx.AsyncClient(transport=httpx.MockTransport(counted))
    assets = build_platform(client, MetaSettings()).assets
    assert assets is not None
    pages: list[AssetPage] = []
    try:
        async for page in assets.discover(CREDENTIAL):
            pages.append(page)  # noqa: PERF401  what came before an error counts
    except PlatformError as error:
        assert str(error)
    check(pages)
    return pages


def check(pages: list[AssetPage]) -> None:
    """Whatever came is what it says it is, and shows no secret."""
    for page in pages:
        assert page.type in TYPES
        for asset in page.assets:
            assert asset.ref.type in TYPES
            assert re.fullmatch(ACCOUNT_TYPES[asset.ref.type].id_pattern, asset.ref.id)
            text = json.dumps(dict(asset.data))
            assert '"access_token"' not in text
            assert CREDENTIAL.access_token not in text
            assert not any(each.access_token in text for each in page.credentials if len(each.access_token) > 8)
        for each in page.credentials:
            assert each.asset.type == "page"
            assert each.access_token not in repr(page)
    ended = [page.listing for page in pages if page.last]
    assert len(ended) == len(set(ended))


@FUZZ
@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(FATES)), max_size=8))
async def test_any_mix_of_fates_is_told_listing_by_listing(fates: Mapping[str, str]) -> None:
    graph = RecordedGraph(change=lambda name, answer: FATES[fates[name]] if name in fates else answer)
    pages = await discover(graph)
    failed = {page.listing for page in pages if page.error is not None}
    asked = set(graph.asked)
    assert failed == {name for name, fate in fates.items() if fate != "empty"} & asked
    assert {page.listing for page in pages if page.last} == asked


@st.composite
def mutated_listings(draw: Any) -> dict[str, Any]:
    """The recorded pages with one to four places replaced by anything, doubled or taken out."""
    listings: dict[str, Any] = recorded_listings()
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(NAMES))
        listings[name] = [_mutated(draw, page) for page in listings[name]]
    return listings


def _mutated(draw: Any, node: Any) -> Any:
    if isinstance(node, dict) and node and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(node)))
        if not draw(st.integers(0, 5)):
            return {name: value for name, value in node.items() if name != key}
        return node | {key: _mutated(draw, node[key])}
    if isinstance(node, list) and node and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(node) - 1))
        return [*node[:place], _mutated(draw, node[place]), *node[place + 1 :]]
    return draw(st.one_of(JSON, st.just([node]), st.just([node, node]), st.just({"data": node})))


class _Loose(RecordedGraph):
    """Gives the pages of a listing one after the other, whatever the cursor says."""

    def _element(self, name: str, params: Mapping[str, str]) -> Any:
        pages = self.listings.get(name)
        if pages is None:
            return refused(100, "missing", error_subcode=33)
        page = pages[min(self.asked.count(name), len(pages)) - 1]
        return {"code": 200, "headers": [], "body": json.dumps(page)}


@FUZZ
@given(mutated_listings())
async def test_a_changed_answer_is_read_or_told(listings: dict[str, Any]) -> None:
    pages = await discover(_Loose(listings))
    told = {json.dumps(name) for name in _ids_in(listings)}
    for page in pages:
        for asset in page.assets:
            assert json.dumps(asset.ref.id) in told, "only what was told is found"


def _ids_in(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {str(value) for name, value in node.items() if name in ("id", "threads_user_id")}
        return own.union(*(_ids_in(part) for part in node.values())) if node else own
    return set().union(*(_ids_in(part) for part in node)) if isinstance(node, list) and node else set()


@FUZZ
@given(JSON, st.sampled_from([200, 400, 500]))
async def test_any_whole_answer_is_an_error_of_the_tree_or_no_news(answer: Any, status: int) -> None:
    text = json.dumps(answer).encode("utf-8", "surrogatepass")
    assert await discover(lambda _: httpx.Response(status, content=text)) == []


@FUZZ
@given(JSON)
def test_what_is_public_has_no_field_of_a_credentials_name(value: Any) -> None:
    dirty = {"a": [value, {"access_token": value, "kept": value}], "page_token": value}
    assert public(dirty) == {"a": [public(value), {"kept": public(value)}]}
