"""How a call says who asks: the token, and the proof that it comes from our servers."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from libs.platforms.base import Credential
from libs.platforms.meta.settings import MetaSettings

SECRET_PARAMS = frozenset(
    {"access_token", "appsecret_proof", "client_secret", "code", "fb_exchange_token", "input_token", "set_token"}
)
"""Parameters whose values Meta repeats in error messages and that no text of ours may hold."""


def auth_params(settings: MetaSettings, credential: Credential) -> dict[str, str]:
    """Give the parameters that authenticate a call: the token and, where the app's secret is known, its proof.

    Source: "Securing Graph API requests" and the Python business SDK's `session.py`, read 2026-11; that Instagram's own
    login and Threads take a proof too is from memory.
    """
    params = {"access_token": credential.access_token}
    secret = settings.app_secret(credential)
    if secret is not None:
        params["appsecret_proof"] = appsecret_proof(secret, credential.access_token)
    return params


def appsecret_proof(app_secret: str, access_token: str) -> str:
    """Give the lower-case hex HMAC-SHA256 of the token under the app's secret."""
    return hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()


def app_credential(settings: MetaSettings, app_id: str | None) -> Credential | None:
    """Give the app's own token, which is literally its id and secret; None when the secret is not known here.

    Source: "Access tokens" of the Graph API guides, read 2026-11.
    """
    if app_id is None:
        return None
    secret = settings.app_secret(Credential("", app_id))
    return Credential(f"{app_id}|{secret}", app_id, secret) if secret is not None else None


def secrets_of(settings: MetaSettings, credentials: Iterable[Credential], params: Mapping[str, Any]) -> list[str]:
    """Give every text of a call that no error may hold, as it is and as an address would write it; longest first."""
    told = {str(value) for name, value in params.items() if name in SECRET_PARAMS}
    for credential in credentials:
        told |= {*auth_params(settings, credential).values(), settings.app_secret(credential) or ""}
    told |= {text.rpartition("|")[2] for text in told if "|" in text}  # the secret in an app's own token
    told |= {quote(text, safe="") for text in told}
    return sorted((text for text in told if text), key=len, reverse=True)
