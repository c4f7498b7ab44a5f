"""Webhooks as Meta would push them: a comment in a page's feed, some 2 kB, no two alike, truly signed."""

import hashlib
import hmac
import random
from urllib.parse import urlsplit

FIRST_PAGE = 1_000_000_000_000
NUMBER_OF_RAW = """substring(convert_from(raw, 'UTF8') FROM '"comment_id":"[0-9]+_([0-9]+)"')::bigint"""
"""SQL that reads the number of a stored delivery."""

_SIZE_BYTES = 2_000
_TEXT = (
    "spring collection moved forward by a week every store opens at nine on Thursday online orders placed before noon "
    "leave the warehouse that same day thank you for waiting with us is delivery to Graz possible what about returns "
    "my sister bought two of these last autumn and both still look like new can someone tell me which size fits tall "
    "people please answer soon since I travel tomorrow morning"
)


class Deliveries:
    """Makes requests by number; the digest of what all bodies share is worked out once."""

    def __init__(self, url: str, secret: bytes, *, pages: int = 1) -> None:
        parts = urlsplit(url)
        self._pages = pages
        self._shared = _beginning()
        self._digest = hmac.new(secret, self._shared, hashlib.sha256)
        self._head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\nContent-Type: application/json\r\n"
            f"User-Agent: facebookexternalua\r\nContent-Length: {len(self.body(0))}\r\nX-Hub-Signature-256: sha256="
        ).encode()

    def request(self, number: int) -> bytes:
        """Give head and body of one delivery."""
        end = self._end(number)
        digest = self._digest.copy()
        digest.update(end)
        return b"".join((self._head, digest.hexdigest().encode(), b"\r\n\r\n", self._shared, end))

    def wrongly_signed(self, number: int) -> bytes:
        """Give a delivery whose signature has the right form and is of no secret of ours."""
        return self._head + hashlib.sha256(b"of no secret").hexdigest().encode() + b"\r\n\r\n" + self.body(number)

    def headers(self, number: int) -> dict[str, str]:
        """Give the headers of a delivery by name, in lower case."""
        lines = self.request(number).partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def body(self, number: int) -> bytes:
        return self._shared + self._end(number)

    def _end(self, number: int) -> bytes:
        page = FIRST_PAGE + number % self._pages
        return b'"comment_id":"%d_%012d","post_id":"%d_17"}}],"id":"%d"}]}' % (page, number, page, page)


def _beginning() -> bytes:
    dice = random.Random(4)
    known, words = _TEXT.split(), list[str]()
    while len(" ".join(words)) < _SIZE_BYTES - 330:
        words.append(dice.choice(known))
    return (
        '{"object":"page","entry":[{"time":1763700000,"changes":[{"field":"feed","value":{"item":"comment","verb":"add",'
        '"from":{"id":"5512000000000001","name":"Ada Example"},"created_time":1763700000,'
        f'"message":"{" ".join(words)}",'
    ).encode()
