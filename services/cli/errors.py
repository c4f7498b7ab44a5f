"""The two ways in which a command does not do what it was asked."""

from typing import Any


class Failed(Exception):  # noqa: N818  reads as the fact it reports
    """Refused, or it went wrong: exit code 1. `document` is the problem document when a service gave one."""

    def __init__(self, words: str, document: dict[str, Any] | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.document = document or {"title": "Failed", "detail": words}


class AskedWrongly(Exception):  # noqa: N818
    """An argument is wrong or a variable is missing: exit code 2."""


def words_of(document: dict[str, Any]) -> str:
    """A problem document (RFC 9457) in lines for people: what, where and how to mend it."""
    lines = [
        f"{document.get('title', 'Refused')} ({document.get('status', '?')}): {document.get('detail', '')}".rstrip()
    ]
    items = document.get("errors") or ()
    lines += [f"  {item.get('where') or 'body'}: {item.get('what')}; {item.get('how')}" for item in items]
    return "\n".join(lines)
