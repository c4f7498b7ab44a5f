"""Media that Meta would fetch or take: the sandbox fetches nothing, it judges the address.

A host under `.invalid`, which never exists (RFC 2606), stands for one that does not answer.
"""

from urllib.parse import SplitResult, urlsplit

MAX_URL_CHARS = 4096
_EXTENSIONS = {"gif": "GIF", "bmp": "BMP", "tiff": "TIFF", "webp": "WEBP", "png": "PNG", "heic": "HEIC", "svg": "SVG"}


def split_address(url: str) -> SplitResult | None:
    """None for what is no public http address."""
    if len(url) > MAX_URL_CHARS or any(sign.isspace() for sign in url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and host and "." in host else None


def is_reachable(url: str) -> bool:
    parts = split_address(url)
    return parts is not None and not str(parts.hostname).endswith(".invalid")


def other_format(url: str) -> str | None:
    """The format that an image's address names if it is not JPEG; None for JPEG and for addresses that say nothing."""
    parts = split_address(url)
    extension = parts.path.rpartition(".")[2].lower() if parts and "." in parts.path.rpartition("/")[2] else ""
    return _EXTENSIONS.get(extension)
