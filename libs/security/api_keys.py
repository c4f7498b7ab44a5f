"""API keys: 256 random bits with a prefix and a checksum, so that a scanner can find a leaked one and a typo is seen.

    pbk_<43 characters, base64url of 32 bytes>_<6 characters, CRC-32 of what stands before, base 62>

Only the SHA-256 is kept. A slow hash would gain nothing: there are too many keys to guess.
"""

import hashlib
import secrets
import zlib
from base64 import urlsafe_b64encode
from typing import Final, NamedTuple

PREFIX: Final = "pbk_"
RANDOM_BYTES: Final = 32
RANDOM_CHARS: Final = 43
CHECKSUM_CHARS: Final = 6
KEY_CHARS: Final = len(PREFIX) + RANDOM_CHARS + 1 + CHECKSUM_CHARS
HINT_CHARS: Final = 4
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE64URL: Final = frozenset(_DIGITS + "-_")


class NewApiKey(NamedTuple):
    """A key that was just made. `text` is shown once and kept nowhere; the repr does not show it."""

    text: str
    key_hash: str
    hint: str

    def __repr__(self) -> str:
        return f"NewApiKey(hint={self.hint!r})"


def new_api_key() -> NewApiKey:
    """Make a key: its text, its hash (lower-case hex) and its last four characters."""
    body = PREFIX + urlsafe_b64encode(secrets.token_bytes(RANDOM_BYTES)).rstrip(b"=").decode()
    text = f"{body}_{_checksum(body)}"
    return NewApiKey(text, hash_key(text), hint_of(text))


def hash_key(text: str) -> str:
    """Give the SHA-256 of a key, lower-case hex: what is stored and looked up."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hint_of(text: str) -> str:
    """Give the last four characters, for people to tell keys apart."""
    return text[-HINT_CHARS:]


def looks_like_key(text: str) -> bool:
    """Tell whether a text has a key's form and its checksum fits; says nothing of whether the key exists."""
    if len(text) != KEY_CHARS or not text.startswith(PREFIX) or text[-CHECKSUM_CHARS - 1] != "_":
        return False
    body = text[: -CHECKSUM_CHARS - 1]
    if not _BASE64URL.issuperset(body):
        return False
    return secrets.compare_digest(_checksum(body).encode(), text[-CHECKSUM_CHARS:].encode("utf-8", "surrogatepass"))


def same_hash(left: str, right: str) -> bool:
    """Compare two hashes in a time that does not tell where they differ."""
    return secrets.compare_digest(left.encode(), right.encode())


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
