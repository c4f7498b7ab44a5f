"""What Meta says of a token."""

from pydantic import ValidationError

from libs.platforms.base import Credential, TokenFacts
from libs.platforms.errors import ContractBroken, Rejected, Unavailable
from libs.platforms.meta.client import GraphClient, platform_error, read_graph_error
from libs.platforms.meta.wire import DebugTokenAnswer
from libs.vocabulary import PlatformName

OPERATION = "debug_token"


class MetaTokens:
    """Looks at a token with the app's own token; see `libs.platforms.base.Tokens`."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def inspect(self, credential: Credential) -> TokenFacts:
        """Ask what the token is. A dead token gives `valid=False`; an error means that nothing was learned.

        Raises a PlatformError; Rejected when the credential's app or its secret is not configured here.
        Source: `GET /debug_token` (official collection of requests), its shape third party, read 2026-11.
        """
        settings = self._client.settings
        secret = settings.app_secret(credential)
        if credential.app_id is None or secret is None:
            words = f"no secret of app {credential.app_id} is configured; set META_APP_SECRETS"
            raise Rejected(PlatformName.META, OPERATION, words)
        app_token = f"{credential.app_id}|{secret}"
        params = {"input_token": credential.access_token, "access_token": app_token}
        answer = await self._client.get(OPERATION, "/debug_token", params)
        error = read_graph_error(answer.text)
        if error is not None or answer.status != 200:
            raise platform_error(
                OPERATION,
                answer.status,
                error,
                wait_seconds=settings.throttle_wait_seconds,
                hide=[app_token, secret, credential.access_token],
            )
        if not answer.text.lstrip().startswith("{"):
            raise Unavailable(PlatformName.META, OPERATION, "status 200 with a body that is not JSON")
        try:
            data = DebugTokenAnswer.model_validate_json(answer.text).data
        except ValidationError:
            words = "the answer has no readable `data`"
            raise ContractBroken(PlatformName.META, OPERATION, words) from None
        return TokenFacts(
            valid=data.is_valid,
            kind=(data.type or "unknown").lower(),
            app_id=data.app_id,
            scopes=data.scopes,
            expires_at_unix=data.expires_at or None,  # 0 means never
            owner_id=data.user_id or data.profile_id,
        )
