"""Every app in memory, for the edge: those that operators keep, and of the others what the settings name."""

import logging
from collections.abc import Mapping, Sequence

from libs.platforms.base import Platform, Webhooks
from libs.postgres import Connection
from libs.security.sealing import KeyRing, SealedSecret, SealError
from libs.telemetry.redaction import register_secret
from libs.vocabulary import PlatformName
from services.webhook_receiver.models import App, SealedApp
from services.webhook_receiver.store import apps
from services.webhook_receiver.usecases.apps import secret_aad, token_aad

_log = logging.getLogger(__name__)


class AppDirectory:
    """Finds apps without asking anybody; while the database is away it gives what it knew last."""

    def __init__(
        self,
        ring: KeyRing,
        platforms: Mapping[PlatformName, Platform],
        *,
        secrets: Mapping[tuple[str, str], str],
        verify_tokens: Mapping[tuple[str, str], str],
    ) -> None:
        """`secrets` and `verify_tokens` are the settings', by platform and app.

        They count only for apps that no operator keeps: beside a kept one, a secret that was retired would live on in
        the settings.
        """
        self._ring = ring
        self._webhooks: dict[str, tuple[PlatformName, Webhooks]] = {
            name.value: (name, platform.webhooks) for name, platform in platforms.items() if platform.webhooks
        }
        self._secrets = secrets
        self._verify_tokens = verify_tokens
        self._opened: dict[str, bytes] = {}
        self._apps: dict[tuple[str, str], App] = {}
        self._build([])

    def find(self, platform: str, app: str) -> App | None:
        """Give an app, or None for one that nobody named."""
        return self._apps.get((platform, app))

    def in_settings(self, platform: str, app: str) -> bool:
        """Whether the settings name a secret or a token of it."""
        return (platform, app) in self._secrets or (platform, app) in self._verify_tokens

    async def refresh(self, conn: Connection) -> None:
        """Take over what is kept now, as worker."""
        self._build(await apps.list_sealed(conn))

    def _build(self, sealed: Sequence[SealedApp]) -> None:
        opened: dict[str, bytes] = {}
        secrets: dict[tuple[str, str], list[bytes]] = {}
        tokens: dict[tuple[str, str], list[bytes]] = {}
        for app in sealed:
            name = (app.platform, app.app)
            tokens.setdefault(name, []).extend(self._open(opened, app, app.verify_token, token_aad(app.id)))
            for secret_id, secret in app.secrets.items():
                found = self._open(opened, app, secret, secret_aad(app.id, secret_id))
                secrets.setdefault(name, []).extend(found)
        kept = set(tokens)
        for given, into in ((self._secrets, secrets), (self._verify_tokens, tokens)):
            into |= {name: [text.encode()] for name, text in given.items() if name not in kept}
        self._opened = opened
        self._apps = {
            (platform, app): App(
                platform=self._webhooks[platform][0],
                app=app,
                secrets=tuple(secrets.get((platform, app), ())),
                verify_tokens=tuple(tokens.get((platform, app), ())),
                webhooks=self._webhooks[platform][1],
            )
            for platform, app in {*secrets, *tokens}
            if platform in self._webhooks
        }

    def _open(self, opened: dict[str, bytes], app: SealedApp, sealed: SealedSecret, aad: bytes) -> list[bytes]:
        """Give what was sealed, or nothing when it does not open; what was opened before is not opened again."""
        known = self._opened.get(sealed.ciphertext)
        if known is None:
            try:
                text = self._ring.open(sealed, aad=aad)
            except SealError as error:
                _log.error("a webhook app's secret does not open: %s", error, extra={"app": app.app})
                return []
            register_secret(text)
            known = text.encode()
        opened[sealed.ciphertext] = known
        return [known]
