"""A multipart body cut at its boundary, byte for byte: what type a part says it has decides nothing.

The parser of the standard library reads a part that calls itself `multipart/form-data` as parts within a part; Meta's
own SDK gives that very type to the chunks of a video.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser

MAX_PARTS = 200
MAX_HEAD_BYTES = 16 * 1024
_CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One field of the form; `filename` None: a text."""

    name: str
    filename: str | None
    content_type: str
    content: bytes


def read_parts(body: bytes, boundary: bytes) -> list[Part]:
    """Parts in their order; those without a name are left out. Raises: ValueError for a body that is not whole."""
    parts: list[Part] = []
    for piece in _pieces(body, boundary):
        part = _part(piece)
        if part is not None:
            parts.append(part)
        if len(parts) > MAX_PARTS:
            raise ValueError("too many parts")
    return parts


def _pieces(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """What stands between two boundaries, each of which ends its line; a longer word that begins so is content."""
    delimiter = _CRLF + b"--" + boundary
    text = _CRLF + body
    begin = _next(text, delimiter, 0)
    while not text.startswith(b"--", begin):
        end = _next(text, delimiter, begin)
        yield text[text.index(_CRLF, begin) + len(_CRLF) : end - len(delimiter)]
        begin = end


def _next(text: bytes, delimiter: bytes, begin: int) -> int:
    """The place behind the next delimiter. Raises: ValueError when there is none."""
    while True:
        end = text.index(delimiter, begin) + len(delimiter)
        rest = text[end : end + 80].lstrip(b" \t")
        if rest.startswith((_CRLF, b"--")):
            return end
        begin = end


def _part(piece: bytes) -> Part | None:
    head, _, content = piece.partition(_CRLF + _CRLF) if not piece.startswith(_CRLF) else (b"", b"", piece[2:])
    if len(head) > MAX_HEAD_BYTES:
        raise ValueError("the head of a part is too long")
    headers = HeaderParser().parsestr(head.decode("utf-8", errors="replace"))
    name = headers.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        return None
    filename = headers.get_filename()
    # A file without a type has the one that says nothing (RFC 7578, 4.4).
    kind = headers.get_content_type() if "content-type" in headers else "application/octet-stream"
    return Part(name, filename, kind, content)
