"""The file of key-encryption keys, and the changes an operator makes to it.

    {"active": "kek-20261121-9f31c2", "keys": {"kek-20261121-9f31c2": "<base64 of 32 bytes>", ...}}

Rotation, without downtime: add a key (`activate=False`), let every process see the file (each looks once a second),
activate it, reseal every secret (`connections:reseal`), remove the old key when no table or topic names it. With one
machine and one file the first two steps may be one.
"""

import fcntl
import json
import os
import re
import secrets
import tempfile
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class KeyFileBroken(Exception):  # noqa: N818  reads as the fact it reports
    """The file is missing or not what this module writes; the text never holds a key."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a key file says. Its repr shows ids only."""

    active: str
    by_id: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Keys(active={self.active!r}, ids={sorted(self.by_id)})"


def read_keys(path: Path) -> Keys:
    """Read and check a key file. Raises KeyFileBroken."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise KeyFileBroken(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise KeyFileBroken(f"{path} is not JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("keys"), dict):
        raise KeyFileBroken(f'{path} must be an object with "active" and "keys"')
    by_id = {key_id: _key(path, key_id, text) for key_id, text in content["keys"].items()}
    active = content.get("active")
    if not isinstance(active, str) or active not in by_id:
        raise KeyFileBroken(f'{path}: "active" must name one of the keys')
    return Keys(active, by_id)


def new_key(path: Path, *, activate: bool = True, key_id: str | None = None) -> str:
    """Add a random key, in a new file if there is none, and give its id; the first key is always active.

    The file is replaced as a whole, so that a reader sees the old or the new one, and is readable to its owner only.
    Raises KeyFileBroken, also when the id is taken.
    """
    chosen = key_id or f"kek-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(3)}"
    with _locked(path):
        old = read_keys(path) if path.exists() else None
        by_id = dict(old.by_id) if old else {}
        if chosen in by_id or not _KEY_ID.fullmatch(chosen):
            raise KeyFileBroken(f"{path}: the id {chosen!r} is taken or not made of letters, digits and ._-")
        by_id[chosen] = secrets.token_bytes(KEY_BYTES)
        _write(path, Keys(chosen if activate or old is None else old.active, by_id))
    return chosen


def activate_key(path: Path, key_id: str) -> None:
    """Seal with this key from now on. Raises KeyFileBroken when the file does not have it."""
    with _locked(path):
        keys = read_keys(path)
        if key_id not in keys.by_id:
            raise KeyFileBroken(f"{path} has no key {key_id!r}")
        _write(path, Keys(key_id, keys.by_id))


def remove_key(path: Path, key_id: str) -> None:
    """Forget a key for ever: whatever is still sealed under it is lost. Raises KeyFileBroken for the active key."""
    with _locked(path):
        keys = read_keys(path)
        if key_id == keys.active or key_id not in keys.by_id:
            raise KeyFileBroken(f"{path}: {key_id!r} is the active key or not there")
        _write(path, Keys(keys.active, {name: key for name, key in keys.by_id.items() if name != key_id}))


def _key(path: Path, key_id: str, text: object) -> bytes:
    try:
        key = b64decode(text, validate=True) if isinstance(text, str) else b""
    except (Base64Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES or not _KEY_ID.fullmatch(key_id):
        raise KeyFileBroken(f"{path}: key {key_id[:64]!r} is not base64 of {KEY_BYTES} bytes under a plain id")
    return key


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one change happen at a time; the lock is its own file, because the key file is replaced."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, keys: Keys) -> None:
    by_id = {key_id: b64encode(key).decode() for key_id, key in keys.by_id.items()}
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({"active": keys.active, "keys": by_id}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
