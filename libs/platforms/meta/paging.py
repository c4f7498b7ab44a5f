"""One page of a list: what is on it, and how the next one is asked for.

Source: "Paginated results" of the Graph API guides, read 2026-11. The end is a page without `next`, nothing else: a
page may be short or empty and still have one, and the last page has cursors too. `next` is an address with the token in
it (from memory), so it is never followed, logged or given on: only the known parameters of its query are taken.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError

from libs.platforms.errors import ContractBroken
from libs.platforms.meta.wire import ListAnswer
from libs.vocabulary import PlatformName, UsageReading

CURSOR = re.compile(r"[A-Za-z0-9_=.%:|+/-]{1,2000}")
"""Meta does not document what cursors look like; seen are base64 letters. Nothing else is sent back."""
POSITIONS = ("after", "offset", "since", "until", "__paging_token", "page")
"""Parameters that say where the next page begins: cursors, offsets and times, by the kind of list."""
MAX_NEXT_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page, and what to ask for the next; `following` is None after the last one."""

    items: tuple[dict[str, Any], ...]
    following: Mapping[str, str] | None
    usage: tuple[UsageReading, ...] = ()


def read_page(operation: str, body: Any, usage: tuple[UsageReading, ...] = ()) -> Page:
    """Read a list's JSON. Raises ContractBroken when it is none, or when its next page cannot be asked for."""
    try:
        answer = ListAnswer.model_validate(body)
    except ValidationError:
        raise ContractBroken(PlatformName.META, operation, "the answer is no page of a list") from None
    paging = answer.paging
    if paging is None or paging.next is None:
        return Page(answer.data, None, usage)
    after = paging.cursors.after if paging.cursors is not None else None
    following = {"after": after} if after is not None else _positions(paging.next)
    if not following or not all(CURSOR.fullmatch(text) for text in following.values()):
        raise ContractBroken(PlatformName.META, operation, "there is a next page, but no way to ask for it")
    return Page(answer.data, following, usage)


def _positions(address: str) -> dict[str, str]:
    try:
        query = urlsplit(address[:MAX_NEXT_CHARS]).query
        given = dict(parse_qsl(query, max_num_fields=100))
    except ValueError:
        return {}
    return {name: given[name] for name in POSITIONS if name in given}
