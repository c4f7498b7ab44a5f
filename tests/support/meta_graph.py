"""A stand-in for Meta's Graph host out of recorded pages: answers batches of listings, one answer per item."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx

from libs.platforms.meta.settings import MetaSettings
from tests.support.sandbox import SandboxProcess

ANSWERS: Final = Path(__file__).parents[1] / "libs" / "platforms" / "meta" / "answers"
DESCRIBED_TOKEN: Final[Mapping[str, Any]] = {
    "app_id": "4711",
    "type": "USER",
    "application": "Platformbus",
    "data_access_expires_at": 1771243511,
    "expires_at": 1768651511,
    "is_valid": True,
    "issued_at": 1763467511,
    "scopes": ["ads_read", "pages_show_list"],
    "granular_scopes": [{"scope": "ads_read"}, {"scope": "pages_show_list", "target_ids": ["153125381133"]}],
    "user_id": "9",
}
"""What `debug_token` says of a person's token: fields of its reference, values ours."""
Listings = Mapping[str, Sequence[Any]]
Change = Callable[[str, Any], Any]


def recorded_listings() -> dict[str, list[Any]]:
    """Give the recorded pages of each listing, by its name."""
    listings: dict[str, list[Any]] = json.loads((ANSWERS / "assets.json").read_text())["listings"]
    return listings


def refused(code: int, message: str, status: int = 400, **more: Any) -> dict[str, Any]:
    """Give the element of a batch answer that refuses an item."""
    error = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A1b2C3", **more}
    return {"code": status, "headers": [], "body": json.dumps({"error": error})}


def listing_name(relative_url: str) -> tuple[str, dict[str, str]]:
    """Give a batch item's listing and its parameters."""
    split = urlsplit(relative_url)
    params = dict(parse_qsl(split.query))
    path = split.path.partition("/")[2]
    return (f"{path}#instagram" if "instagram_business_account" in params["fields"] else path), params


def settings_for(sandbox: SandboxProcess, **more: Any) -> MetaSettings:
    """Give settings that reach every host of a sandbox, with the secrets of its apps."""
    secrets = {app["id"]: app["secret"] for app in sandbox.meta["apps"]}
    hosts = {
        "graph_url": "graph.facebook.com",
        "instagram_url": "graph.instagram.com",
        "instagram_login_url": "api.instagram.com",
        "threads_url": "graph.threads.net",
    }
    addresses = {name: f"{sandbox.url}/{host}" for name, host in hosts.items()}
    return MetaSettings.model_validate({**addresses, "app_secrets": secrets, "timeout_seconds": 10, **more})


class RecordedGraph:
    """Answers batches from pages. Whatever it was not told of it refuses as an unknown path, which no test expects."""

    def __init__(self, listings: Listings | None = None, change: Change | None = None) -> None:
        self.listings = listings if listings is not None else recorded_listings()
        self.asked: list[str] = []
        """Every listing's name, as often as a page of it was asked for."""
        self.limits: dict[str, list[int]] = {}
        self.http_calls = 0
        self._change = change

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.http_calls += 1
        form = parse_qs(request.content.decode())
        items = json.loads(form["batch"][0])
        assert len(items) <= 50
        return httpx.Response(200, json=[self._answer(item) for item in items])

    def _answer(self, item: Mapping[str, str]) -> Any:
        assert item["method"] == "GET"
        name, params = listing_name(item["relative_url"])
        self.asked.append(name)
        self.limits.setdefault(name, []).append(int(params.get("limit", 0)))
        answer = self._element(name, params)
        return self._change(name, answer) if self._change is not None else answer

    def _element(self, name: str, params: Mapping[str, str]) -> Any:
        pages = self.listings.get(name)
        if pages is None:
            return refused(2500, f"Unknown path components: /{name}")
        number = 0
        if "after" in params:
            number = 1 + next(index for index, page in enumerate(pages) if _after(page) == params["after"])
        return {"code": 200, "headers": [], "body": json.dumps(pages[number])}


def _after(page: Mapping[str, Any]) -> str | None:
    after: str | None = page.get("paging", {}).get("cursors", {}).get("after")
    return after
