"""Takes secrets out of text and values before they are logged, stored or published.

Every pattern is linear: quantifiers are bounded or possessive and alternatives start with different characters, so
no input makes a match take quadratic time. Input is cut to a bounded size first.
"""

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

MARK = "[redacted]"
MAX_TEXT_CHARS = 65_536
MAX_ERROR_CHARS = 2_000
MAX_DEPTH = 6
MAX_ITEMS = 100
MAX_KNOWN_SECRETS = 512
MIN_KNOWN_SECRET_CHARS = 8

_NAMES = (
    r"(?:token|secret|secret[_-]?key|appsecret[_-]?proof|password|passwd|passphrase|pwd|credentials?"
    r"|(?:api|access|private|signing|encryption)[_-]?key|authorization|cookie|session[_-]?id)"
)
# After the name: a closing quote or none (escaped when JSON lies inside JSON, encoded inside a form), then : or =.
_AFTER_NAME = r"(?:\\{0,7}[\"']|%22)?\s{0,4}(?::|=|%3a|%3d)\s{0,4}"
_SCHEME = r"(?:(?:bearer|basic|oauth|token)(?:\s|%20|\+){1,4})?"
# A platform's sentence goes on after "access token: ": a short word with more words behind it is no secret.
_PROSE = r"(?!(?<=access token: )(?!bearer|basic|oauth|token)[a-z]{1,7} [a-z\[])"
_VALUE = (
    r"(?:"
    r"(?P<escaped>\\{1,7}[\"'])(?:[^\"'\\]|\\{1,7}(?![\"'\\]))*+"
    r"|b?(?P<double>\")(?:[^\"\\]|\\.)*+"
    r"|b?(?P<single>')(?:[^'\\]|\\.)*+"
    r"|%22(?:(?!%22)[^\s&])*+"
    rf"|(?!\[redacted\]){_PROSE}{_SCHEME}[^\s\"'&,;)}}<>\\]++"
    r")"
)
_NAMED = re.compile(rf"(?P<name>{_NAMES}{_AFTER_NAME}){_VALUE}", re.IGNORECASE | re.DOTALL)
_COOKIE_LINE = re.compile(r"((?:set-)?cookie2?:\s{0,4})[^\r\n\"']++", re.IGNORECASE)
# Not the words of a platform that speaks of its tokens: "Invalid OAuth access token".
_SCHEMED = re.compile(
    r"\b(bearer|basic|oauth)((?:\s|%20){1,4})(?!\[redacted\]|access token\b)[A-Za-z0-9._~+/=|%-]{6,}+", re.IGNORECASE
)
_HEADER_PAIR = re.compile(
    r"(\b(?:authorization|cookie|set-cookie|x-api-key)[\"']\s{0,4},\s{0,4}b?)"
    r"(?:\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+')",
    re.IGNORECASE | re.DOTALL,
)
_DSN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,24}://[^\s/:@\"']{0,128}:)(?!\[redacted\]@)[^\s/\"']{1,512}(@)")
_SHAPES = (
    re.compile(r"pbk_[A-Za-z0-9_-]{8,}+"),
    re.compile(r"EAA[A-Za-z0-9]{10,}+"),  # Meta access tokens
    re.compile(r"\bIG[A-Z]{2}[A-Za-z0-9_-]{20,}+"),  # Instagram Login tokens
    re.compile(r"(?<![0-9])[0-9]{8,20}(?:\||%7[cC])[A-Za-z0-9_-]{16,}+"),  # Meta app tokens: app id | secret
    re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+"),  # JWT
    re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----END)[\s\S])*+(?:-----END [A-Z ]{0,40}-----)?"),
)
_NAME_ONLY = re.compile(rf"(?:^|[_.-]|(?<=[a-z])(?=[A-Z])|x-){_NAMES}$|^{_NAMES}$", re.IGNORECASE)

_known: set[str] = set()


def register_secret(value: str) -> None:
    """Hide this exact text wherever it turns up in this process; short values are left out, they would hide words.

    At most 512 values are kept, so only a process's own settings belong here, not every token that it opens.
    """
    if len(value) >= MIN_KNOWN_SECRET_CHARS and len(_known) < MAX_KNOWN_SECRETS:
        _known.add(value)


def redact_text(text: str, *, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Replace every secret in the text by a mark; longer text is cut. Safe to call on its own output."""
    cut = len(text) - max_chars
    if cut > 0:
        text = text[:max_chars]
    for secret in _known:
        if secret in text:
            text = text.replace(secret, MARK)
    text = _HEADER_PAIR.sub(rf"\1'{MARK}'", text)
    text = _COOKIE_LINE.sub(rf"\1{MARK}", text)
    text = _NAMED.sub(_mark_value, text)
    text = _SCHEMED.sub(rf"\1\2{MARK}", text)
    text = _DSN.sub(rf"\1{MARK}\2", text)
    for shape in _SHAPES:
        text = shape.sub(MARK, text)
    return f"{text}... [{cut} more characters]" if cut > 0 else text


def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name holds a secret, e.g. `access_token`, `x-api-key`, `clientSecret`."""
    return _NAME_ONLY.search(name) is not None


def redact(value: Any, *, max_chars: int = MAX_TEXT_CHARS) -> Any:
    """Give a JSON-like copy without secrets: fields of secret names, and secrets inside any text.

    Deeper than 6 levels and beyond 100 items per level it says how much was left out. Objects become redacted text.
    """
    return _redact(value, max_chars, MAX_DEPTH)


def safe_error(error: BaseException, *, max_chars: int = MAX_ERROR_CHARS) -> str:
    """Give `Type: message` without secrets, fit to be stored in a row or sent in an event."""
    message = str(error)
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return storable(redact_text(text, max_chars=max_chars))


def storable(text: str) -> str:
    """Replace what no text of Postgres and no UTF-8 holds: U+0000 and lone surrogates, which errors quote at times."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _mark_value(match: re.Match[str]) -> str:
    opening = match["escaped"] or match["double"] or match["single"] or ""
    return f"{match['name']}{opening}{MARK}"


def _redact(value: Any, max_chars: int, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value, max_chars=max_chars)
    if isinstance(value, bytes | bytearray | memoryview):
        return redact_text(bytes(value[:max_chars]).decode("utf-8", "replace"), max_chars=max_chars)
    if depth == 0:
        return f"[{type(value).__name__}, too deep]"
    if isinstance(value, Mapping):
        return _redact_mapping(value, max_chars, depth)
    if isinstance(value, Sequence | Set):
        kept = [_redact(item, max_chars, depth - 1) for _, item in zip(range(MAX_ITEMS), value, strict=False)]
        return [*kept, f"[{len(value) - MAX_ITEMS} more]"] if len(value) > MAX_ITEMS else kept
    if isinstance(value, BaseException):
        return safe_error(value)
    return redact_text(str(value), max_chars=max_chars)


def _redact_mapping(value: Mapping[Any, Any], max_chars: int, depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for count, (key, item) in enumerate(value.items()):
        if count == MAX_ITEMS:
            kept["..."] = f"[{len(value) - MAX_ITEMS} more]"
            break
        name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
        secret = is_secret_name(name) and item is not None and not isinstance(item, bool)
        kept[redact_text(name, max_chars=256)] = MARK if secret else _redact(item, max_chars, depth - 1)
    return kept
