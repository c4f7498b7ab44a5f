"""Envelope sealing: AES-256-GCM under a data key of its own, that key under a key-encryption key (KEK).

Both layers are bound to the secret's owner by AAD, so that a sealed secret moved to another row, field or organization
does not open; the wrapped key is bound to its KEK's id too. A data key seals once; nonces are random, which is safe for
2**32 wraps per KEK. Source: NIST SP 800-38D, section 8.3, read 2026-11-21.
"""

import logging
import os
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.events.assets_connections import SealedSecret
from libs.security.key_file import KEY_BYTES, KeyFileBroken, Keys, read_keys
from libs.telemetry.redaction import register_secret

__all__ = ["KeyRing", "SealError", "SealedSecret", "Tampered", "UnknownKek", "connection_aad"]

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
LOOK_SECONDS: Final = 1.0
"""How often a ring looks whether its file has changed."""
MAX_SEALED_CHARS: Final = 262_144

_log = logging.getLogger(__name__)


class SealError(Exception):
    """A sealed secret cannot be opened; the text never holds a part of it."""


class UnknownKek(SealError):  # noqa: N818  reads as the fact it reports
    """It was sealed under a key that this process does not have (yet, or any more)."""

    def __init__(self, kek_id: str) -> None:
        super().__init__(f"no key-encryption key {kek_id[:64]!r} here; look at SECRETS_KEK_FILE")
        self.kek_id = kek_id


class Tampered(SealError):  # noqa: N818
    """It was changed, or belongs to another owner than the one it is opened for."""

    def __init__(self) -> None:
        super().__init__("the sealed secret was changed or belongs to another owner")


class KeyRing:
    """The key-encryption keys of a file, read again when the file changes. Its repr shows ids only."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked_at = clock()
        self._stamp = _stamp(path)  # before the read: a change in between is seen at the next look
        self._keys = _read_hidden(path)

    @classmethod
    def from_file(cls, path: Path, *, clock: Callable[[], float] = time.monotonic) -> "KeyRing":
        """Read the keys. Raises KeyFileBroken."""
        return cls(path, clock=clock)

    def __repr__(self) -> str:
        return f"KeyRing({self._keys!r})"

    @property
    def active_id(self) -> str:
        """The id of the key that seals now."""
        return self._current().active

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all keys that can open."""
        return frozenset(self._current().by_id)

    def seal(self, secret: str, *, aad: bytes) -> SealedSecret:
        """Seal a secret under the active key, for the owner that `aad` names."""
        data_key = AESGCM.generate_key(bit_length=KEY_BYTES * 8)
        ciphertext = _encrypt(data_key, secret.encode(), _data_aad(aad))
        return _wrapped(self._current(), data_key, ciphertext, aad)

    def open(self, sealed: SealedSecret, *, aad: bytes) -> str:
        """Open a secret for the owner that `aad` names. Raises UnknownKek, Tampered."""
        data_key = self._unwrap(sealed, aad)
        try:
            return _decrypt(data_key, sealed.ciphertext, _data_aad(aad)).decode()
        except UnicodeDecodeError:
            raise Tampered from None

    def rewrap(self, sealed: SealedSecret, *, aad: bytes) -> SealedSecret | None:
        """Put the data key under the active key, without opening the secret; None when it already is.

        Raises UnknownKek, Tampered.
        """
        keys = self._current()
        if sealed.kek_id == keys.active:
            return None
        return _wrapped(keys, self._unwrap(sealed, aad), sealed.ciphertext, aad)

    def _unwrap(self, sealed: SealedSecret, aad: bytes) -> bytes:
        kek = self._current().by_id.get(sealed.kek_id) or self._current(look_now=True).by_id.get(sealed.kek_id)
        if kek is None:
            raise UnknownKek(sealed.kek_id)
        data_key = _decrypt(kek, sealed.wrapped_key, _key_aad(sealed.kek_id, aad))
        if len(data_key) != KEY_BYTES:
            raise Tampered
        return data_key

    def _current(self, *, look_now: bool = False) -> Keys:
        """Give the keys, of the changed file if it changed; a file that is not usable leaves those that work."""
        at = self._clock()
        if not look_now and at - self._looked_at < LOOK_SECONDS:
            return self._keys
        self._looked_at = at
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return self._keys
        self._stamp = stamp
        try:
            self._keys = _read_hidden(self._path)
        except KeyFileBroken as error:
            _log.error("the changed key file is not usable, the keys read before stay: %s", error)
        else:
            _log.info("key file read again", extra={"active": self._keys.active, "ids": sorted(self._keys.by_id)})
        return self._keys


def connection_aad(org_id: UUID, connection_id: UUID, field: str) -> bytes:
    """Name the owner of a connection's secret: the same bytes in every service that seals or opens it."""
    return f"platformbus|connections|{field}|{org_id}|{connection_id}".encode()


def _wrapped(keys: Keys, data_key: bytes, ciphertext: str, aad: bytes) -> SealedSecret:
    wrapped_key = _encrypt(keys.by_id[keys.active], data_key, _key_aad(keys.active, aad))
    return SealedSecret(kek_id=keys.active, wrapped_key=wrapped_key, ciphertext=ciphertext)


def _data_aad(aad: bytes) -> bytes:
    return b"secret/1|" + aad


def _key_aad(kek_id: str, aad: bytes) -> bytes:
    return b"data-key/1|" + kek_id.encode() + b"|" + aad


def _encrypt(key: bytes, plain: bytes, aad: bytes) -> str:
    nonce = os.urandom(NONCE_BYTES)
    return b64encode(nonce + AESGCM(key).encrypt(nonce, plain, aad)).decode()


def _decrypt(key: bytes, text: str, aad: bytes) -> bytes:
    try:
        sealed = b64decode(text, validate=True) if len(text) <= MAX_SEALED_CHARS else b""
    except (Base64Error, ValueError):
        raise Tampered from None
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise Tampered
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag:
        raise Tampered from None


def _read_hidden(path: Path) -> Keys:
    """Read the keys and keep them out of logs and errors, whatever would put them there."""
    keys = read_keys(path)
    for key in keys.by_id.values():
        register_secret(b64encode(key).decode())
        register_secret(key.hex())
    return keys


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
