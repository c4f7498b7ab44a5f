"""Meta's tokens keep what all platforms' must."""

from typing import Any

import httpx

from libs.platforms.base import CodeGrant, Platform
from libs.platforms.errors import AuthExpired, AuthRevoked, PlatformError, RateLimited, Unavailable
from libs.platforms.meta import build_platform
from libs.platforms.meta.settings import MetaSettings
from libs.vocabulary import AccountRef
from tests.libs.platforms.conformance.errors import APP_SECRET, TOKEN, Handler
from tests.libs.platforms.conformance.tokens import CODE, TokensConformance
from tests.support.meta_graph import DESCRIBED_TOKEN as DESCRIBED

REDIRECT = "https://bus.example/callback?of=meta"


class TestMetaKeepsWhatAllTokensMustKeep(TokensConformance):
    def build(self, handler: Handler) -> Platform:
        return build_platform(httpx.AsyncClient(transport=httpx.MockTransport(handler)), self.settings())

    def settings(self) -> MetaSettings:
        return MetaSettings.model_validate({"app_secrets": {"4711": APP_SECRET}})

    def refusal(self, error: type[PlatformError]) -> httpx.Response:
        codes = {RateLimited: (4, None), AuthExpired: (190, 463), AuthRevoked: (190, 458), Unavailable: (2, None)}
        code, subcode = codes[error]
        message = f"refused {TOKEN} {APP_SECRET} 4711|{APP_SECRET}"
        said: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
        return httpx.Response(400, json={"error": said if subcode is None else {**said, "error_subcode": subcode}})

    def living(self) -> httpx.Response:
        return httpx.Response(200, json={"data": DESCRIBED})

    def dead(self) -> httpx.Response:
        problem = {"code": 190, "subcode": 463, "message": f"Session of {TOKEN} has expired"}
        return httpx.Response(200, json={"data": {**DESCRIBED, "is_valid": False, "error": problem}})

    def issuing(self, token: str) -> Handler:
        def handler(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/access_token"):
                return httpx.Response(200, json={"access_token": token, "token_type": "bearer", "expires_in": 5183944})
            return httpx.Response(200, json={"access_token": token, "id": request.url.path.rpartition("/")[2]})

        return handler

    def issuing_nothing(self) -> httpx.Response:
        return httpx.Response(200, json={"token_type": "bearer", "expires_in": 5183944})

    def grant(self) -> CodeGrant:
        return CodeGrant("4711", CODE, REDIRECT)

    def asset_with_a_token(self) -> AccountRef:
        return AccountRef("page", "153125381133")

    def asset_without_a_token(self) -> AccountRef:
        return AccountRef("ad_account", "act_4711")
