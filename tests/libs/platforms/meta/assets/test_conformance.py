import json
from typing import Any
from urllib.parse import parse_qs

import httpx

from libs.platforms.base import Platform
from libs.platforms.errors import AuthExpired, AuthRevoked, PlatformError, RateLimited, Unavailable
from libs.platforms.meta import build_platform
from libs.platforms.meta.settings import MetaSettings
from tests.libs.platforms.conformance.assets import ASSET_TOKEN, AssetsConformance
from tests.libs.platforms.conformance.errors import APP_SECRET, TOKEN, Handler
from tests.support.meta_graph import RecordedGraph, refused

REFUSED = "104000000000001/owned_pixels"


class TestMetaKeepsWhatAllAssetsMustKeep(AssetsConformance):
    def build(self, handler: Handler) -> Platform:
        return build_platform(httpx.AsyncClient(transport=httpx.MockTransport(handler)), MetaSettings())

    def everything(self) -> Handler:
        return RecordedGraph()

    def everything_but_one_listing(self) -> tuple[Handler, str]:
        def change(name: str, answer: Any) -> Any:
            return refused(200, f"(#200) {ASSET_TOKEN} may not", 403) if name == REFUSED else answer

        return RecordedGraph(change=change), REFUSED

    def refusal(self, error: type[PlatformError]) -> httpx.Response:
        codes = {RateLimited: (17, None), AuthExpired: (190, 463), AuthRevoked: (190, 458), Unavailable: (2, None)}
        code, subcode = codes[error]
        message = f"refused {TOKEN} {APP_SECRET}"
        said: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
        return httpx.Response(400, json={"error": said if subcode is None else {**said, "error_subcode": subcode}})

    def only_reads(self, request: httpx.Request) -> bool:
        items = json.loads(parse_qs(request.content.decode())["batch"][0])
        return request.method == "GET" or all(item["method"] == "GET" for item in items)
