"""Many calls in one HTTP request, as pure functions: `pack` writes the request, `unpack` reads what came back.

What a batch is, and what can come back. Source: "Batch requests" of the Graph API guides, read 2026-11, unless marked.
 - At most 50 slots. They run in parallel; the answer has the same length and order; each body is JSON text inside JSON.
 - The request has a token of its own; a slot can carry another one in its address or body, with its own proof (third
   party: arsduo/koala#507).
 - A slot that was not finished in time is `null`. None of ours has a name, so `null` never stands for an answer that
   was left out (`omit_response_on_success`, third party).
 - An aborted slot has code 500 and error code 960 (third party).
 - Usage headers come with each slot, so `include_headers` stays on (third party).
 - When the whole call fails the answer is an object, not an array; it can even have status 200 (third party).

Up to 50 items have a slot each, so that what is wrong with one is nobody else's matter. More share slots where that is
possible: first pages of edges of one object by field expansion, and, only where META_MULTI_GET says so, objects with
the same fields by `ids=` (at most 50; third party). A refusal of such a slot names no one of its items: then all are to
be asked again, each alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from libs.platforms.base import Credential
from libs.platforms.meta.auth import app_credential, auth_params
from libs.platforms.meta.quota import Subject
from libs.platforms.meta.settings import GraphHost, MetaSettings, host_of

MAX_SLOTS = 50
"""Source: "Batch requests", read 2026-11."""
MAX_IDS = 50
"""Of one `ids=` (third party: the words of the refusal)."""
MAX_ITEMS = MAX_SLOTS * MAX_IDS

Kind = Literal["alone", "ids", "expansion"]


@dataclass(frozen=True, slots=True)
class Item:
    """One call that can share a request."""

    operation: str
    path: str
    """An object's id, or an id and one of its edges."""
    params: Mapping[str, str]
    """Without credentials."""
    credential: Credential
    method: Literal["GET", "POST", "DELETE"] = "GET"
    is_list: bool = False
    """It answers with a page of a list; else with an object."""
    about: Subject = field(default_factory=Subject)

    @property
    def is_read(self) -> bool:
        """Whether doing it twice, or not knowing whether it was done, is no harm."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Slot:
    """One element of the batch, and the items that it asks for, by their index."""

    kind: Kind
    items: tuple[int, ...]
    credential: Credential
    about: Subject


@dataclass(frozen=True, slots=True)
class Packed:
    """A request, and which part of its answer belongs to which item. Its repr shows no credential."""

    items: tuple[Item, ...]
    slots: tuple[Slot, ...]
    credential: Credential
    """The request's own; slots with another one carry that."""
    form: Mapping[str, str] = field(repr=False)
    """To be posted to the root of the API version."""


def pack(items: Sequence[Item], settings: MetaSettings) -> Packed:
    """Put the items into one request; each is in exactly one slot, slots are in the order of their first items.

    Raises ValueError for none, for so many that they do not fit into 50 slots, and for tokens of other hosts: whether
    those take batches is not documented.
    """
    if not items:
        raise ValueError("a batch takes at least 1 item")
    if any(host_of(item.credential) is not GraphHost.FACEBOOK for item in items):
        raise ValueError("batches are for tokens of Facebook's own login")
    slots = _alone(items) if len(items) <= MAX_SLOTS else _shared(items, multi_get=settings.multi_get)
    if len(slots) > MAX_SLOTS:
        raise ValueError(f"{len(items)} items need {len(slots)} slots of a batch, which has {MAX_SLOTS}")
    outer = _outer(items, settings)
    batch = [_element(slot, items, outer, settings) for slot in slots]
    form = {**auth_params(settings, outer), "batch": json.dumps(batch, separators=(",", ":"))}
    return Packed(tuple(items), tuple(slots), outer, form)


def _outer(items: Sequence[Item], settings: MetaSettings) -> Credential:
    """Choose the request's own token: nobody's in particular where several people's items share the request.

    A dead token there fails the whole call; the app's own does not die, as long as its secret is right.
    """
    first = items[0].credential
    if all(item.credential == first for item in items):
        return first
    apps = {item.credential.app_id for item in items}
    own = app_credential(settings, apps.pop()) if len(apps) == 1 else None
    return own if own is not None else first


def _element(slot: Slot, items: Sequence[Item], outer: Credential, settings: MetaSettings) -> dict[str, str]:
    first = items[slot.items[0]]
    path, params = first.path, dict(first.params)
    if slot.kind == "ids":
        path, params["ids"] = "", ",".join(dict.fromkeys(items[index].path for index in slot.items))
    elif slot.kind == "expansion":
        edges = dict.fromkeys(_expanded(items[index]) for index in slot.items)
        path, params = _node(first.path), {"fields": ",".join(edges)}
    if slot.credential != outer:
        params |= auth_params(settings, slot.credential)
    address = f"{settings.api_version}/{path}"
    if first.method == "POST":
        return {"method": "POST", "relative_url": address, "body": urlencode(params)}
    return {"method": first.method, "relative_url": f"{address}?{urlencode(params)}"}


def _alone(items: Sequence[Item]) -> list[Slot]:
    return [_slot("alone", (index,), items) for index in range(len(items))]


def _shared(items: Sequence[Item], *, multi_get: bool) -> list[Slot]:
    """Let items share slots: objects by their fields, edges by their object; the rest have one each."""
    nodes: dict[tuple[Credential, str], list[int]] = {}
    edges: dict[tuple[Credential, str], list[int]] = {}
    slots: list[Slot] = []
    for index, item in enumerate(items):
        if multi_get and _is_plain_node(item):
            nodes.setdefault((item.credential, item.params["fields"]), []).append(index)
        elif _is_first_page(item):
            edges.setdefault((item.credential, _node(item.path)), []).append(index)
        else:
            slots.append(_slot("alone", (index,), items))
    for indices in nodes.values():
        slots += [_slot("ids", part, items) for part in _by_distinct_ids(indices, items)]
    for indices in edges.values():
        slots += [_slot("expansion", part, items) for part in _by_distinct_edges(indices, items)]
    return sorted(slots, key=lambda slot: slot.items[0])


def _slot(kind: Kind, indices: Iterable[int], items: Sequence[Item]) -> Slot:
    members = tuple(indices)
    first = items[members[0]]
    about = first.about if len(members) == 1 else Subject("", None, first.about.kind)
    return Slot(kind if len(members) > 1 else "alone", members, first.credential, about)


def _is_plain_node(item: Item) -> bool:
    """Tell whether `ids=` can ask for it. Usernames and `me` cannot be keys of its answer."""
    number = item.path.removeprefix("act_").replace("_", "")
    return item.is_read and not item.is_list and set(item.params) == {"fields"} and number.isdecimal()


def _is_first_page(item: Item) -> bool:
    """Tell whether field expansion can ask for it: an edge's first page. Other modifiers are not documented enough."""
    parts = item.path.split("/")
    return item.is_read and item.is_list and len(parts) == 2 and set(item.params) == {"fields", "limit"}


def _by_distinct_ids(indices: Sequence[int], items: Sequence[Item]) -> list[list[int]]:
    """Part the items so that none has more than the largest number of different ids."""
    by_id: dict[str, list[int]] = {}
    for index in indices:
        by_id.setdefault(items[index].path, []).append(index)
    ids = list(by_id)
    parts = (ids[start : start + MAX_IDS] for start in range(0, len(ids), MAX_IDS))
    return [sorted(index for each in part for index in by_id[each]) for part in parts]


def _by_distinct_edges(indices: Sequence[int], items: Sequence[Item]) -> list[list[int]]:
    """Part the items so that no edge is asked for in two ways at once: its answer has one place only."""
    parts: list[dict[str, Mapping[str, str]]] = []
    found: list[list[int]] = []
    for index in indices:
        item = items[index]
        for known, part in zip(parts, found, strict=True):
            if known.setdefault(_edge(item.path), item.params) == item.params:
                part.append(index)
                break
        else:
            parts.append({_edge(item.path): item.params})
            found.append([index])
    return found


def _expanded(item: Item) -> str:
    return f"{_edge(item.path)}.limit({item.params['limit']}){{{item.params['fields']}}}"


def _node(path: str) -> str:
    return path.partition("/")[0]


def _edge(path: str) -> str:
    return path.partition("/")[2]
