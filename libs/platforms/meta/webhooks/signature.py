"""Is a delivery Meta's? HMAC-SHA256 of the body's bytes under the app's secret, and the handshake's token.

Source: "Webhooks: getting started", read 2026-11. Hex digits are documented in lower case and taken in either, as they
name the same bytes. The older `X-Hub-Signature` (SHA-1) comes beside it and proves nothing here.
"""

import hmac
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from libs.platforms.base import Headers, SignatureVerdict

_HEADER: Final = b"x-hub-signature-256"
_OLD_HEADER: Final = b"x-hub-signature"
_DIGEST: Final = re.compile(rb"sha256=([0-9a-fA-F]{64})")
_OTHER_KIND: Final = re.compile(rb"sha(?!256=)[0-9]{1,3}=[0-9a-fA-F]+")
_KEPT_LETTERS: Final = 200
_CHALLENGE: Final = re.compile(rb"[A-Za-z0-9_.~-]{1,256}")
"""Documented as a number; anything that could be markup in somebody's browser is not sent back."""
_MAX_QUERY_BYTES: Final = 4096


def needs_body(headers: Headers) -> SignatureVerdict | None:
    """Give the refusal that the headers alone tell; None: the body must be read."""
    return _read(headers)[0]


def check_signature(headers: Headers, body: bytes, secrets: Sequence[bytes]) -> tuple[SignatureVerdict, str | None]:
    """Check the header against the body under every secret, all of them whatever the others gave."""
    refusal, given, text = _read(headers)
    if refusal is not None:
        return refusal, text
    genuine = False
    for secret in secrets:
        # An empty secret is one that anybody knows.
        genuine |= hmac.compare_digest(hmac.digest(secret, body, "sha256"), given) and bool(secret)
    return "valid" if genuine else "wrong", text


def answer_handshake(query: bytes, verify_tokens: Sequence[bytes]) -> bytes | None:
    """Give the challenge when the query is a subscription with a token of ours; each parameter exactly once."""
    if len(query) > _MAX_QUERY_BYTES:
        return None
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=20, encoding="latin-1")
    except ValueError:
        return None
    asked = dict(pairs)
    if len(asked) != len(pairs) or asked.get("hub.mode") != "subscribe":
        return None
    # Latin-1 both ways gives the bytes that were sent, in whatever letters the token is.
    given, challenge = (asked.get(name, "").encode("latin-1") for name in ("hub.verify_token", "hub.challenge"))
    known = False
    for token in verify_tokens:
        known |= hmac.compare_digest(token, given) and bool(token)
    return challenge if known and _CHALLENGE.fullmatch(challenge) else None


def _read(headers: Headers) -> tuple[SignatureVerdict | None, bytes, str | None]:
    """Give a refusal or None, the digest that the header claims, and the header's text."""
    found, old = None, False
    for name, value in headers:
        if name == _HEADER:
            if found is not None:
                return "malformed", b"", _text(found)
            found = value
        elif name == _OLD_HEADER:
            old = True
    if found is None:
        return ("wrong_kind" if old else "missing"), b"", None
    digest = _DIGEST.fullmatch(found)
    if digest is not None:
        return None, bytes.fromhex(digest[1].decode("ascii")), _text(found)
    return ("wrong_kind" if _OTHER_KIND.fullmatch(found) else "malformed"), b"", _text(found)


def _text(value: bytes) -> str:
    return value[:_KEPT_LETTERS].decode("latin-1").replace("\x00", "\ufffd")
