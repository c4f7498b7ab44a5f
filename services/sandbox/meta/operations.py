"""One row per thing that Meta's API can do here, and the way from a path to its row.

Every area of the API (`reading.py`, ...) lists its own rows as OPERATIONS; `table.py` puts them together.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from services.sandbox.exchange import Query, Surroundings
from services.sandbox.faults import Fault
from services.sandbox.meta.params import Files, Params
from services.sandbox.meta.tokens import Token, Tokens
from services.sandbox.meta.world import Node, World

if TYPE_CHECKING:
    from services.sandbox.meta.quota import Quotas
    from services.sandbox.meta.reading import Reader
    from services.sandbox.meta.webhooks.hub import Webhooks

GRAPH = "graph.facebook.com"
GRAPH_INSTAGRAM = "graph.instagram.com"
GRAPH_THREADS = "graph.threads.net"
_VERSION = re.compile(r"v(\d{1,3})\.(\d{1,2})")
_WORDS = (
    "ads_archive", "device", "ig_audio", "ig_hashtag_search", "instagram_oembed", "keyword_search", "location_search",
    "music", "oauth", "oembed", "oembed_page", "oembed_post", "oembed_video", "pages", "profile_lookup",
    "profile_posts", "search",
)  # fmt: skip
"""What the API has beside objects, by documents (O): calls of these are covered by rows of their own, or not at all."""
_OBJECT_ID = re.compile(rf"(?!(?:{'|'.join(_WORDS)})$)[A-Za-z0-9_.:\-]{{1,200}}")


@dataclass(frozen=True, slots=True)
class Request:
    """What both a single call and an item of a batch come down to."""

    method: str
    path: str
    params: Params
    query: Query
    secret: str | None
    base_url: str
    host: str = GRAPH
    version: str | None = None
    """Of the batch around it, for items without their own."""
    item_index: int | None = None
    item_name: str | None = None
    headers: Mapping[str, str] | None = None
    """Names in lower case; None for an item of a batch without its own."""
    body: bytes = b""
    files: Files = field(default_factory=dict)
    """Attached to the call, or to the batch and named by the item's `attached_files`."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation works with."""

    around: Surroundings
    world: World
    tokens: Tokens
    quotas: "Quotas"
    request: Request
    signed_in: Token | None
    """The valid token of the call; None only where the operation needs none."""
    reading: "Reader | None"
    root: str
    """Absolute address including the version, for links inside answers."""
    webhooks: "Webhooks"
    node: Node | None = None
    """The object that the path names, which the token may see."""
    edge: str = ""
    """The part of the path behind the object."""
    nested: bool = False
    """For an edge inside `fields`: the answer becomes a part of another one."""
    fault: Fault | None = None
    """The fault that hits the call, for operations that know of more ways to fail."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """What an operation has to say beside its answer: goes into the headers of a good one."""

    @property
    def params(self) -> Params:
        return self.request.params

    @property
    def token(self) -> Token:
        assert self.signed_in is not None, "this operation is declared without a token"
        return self.signed_in

    @property
    def reader(self) -> "Reader":
        """Reads for the token of the call."""
        assert self.reading is not None, "this operation is declared without a token"
        return self.reading

    @property
    def named(self) -> Node:
        """The object that the path names, where the operation's path has one."""
        assert self.node is not None, "this operation's path names no object"
        return self.node

    def at(self, node: Node, edge: str, params: Params, *, nested: bool = False) -> "Context":
        """The same call for another object: an id of `ids=`, an edge inside `fields`."""
        return replace(self, node=node, edge=edge, request=replace(self.request, params=params), nested=nested)


Run = Callable[[Context], object]
"""Gives the JSON of a 200, or an `exchange.Answer` where it is something else; an awaitable of one where it has to ask
others first, which no edge inside `fields` may. Raises GraphError, NotCovered."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked for."""

    name: str
    """As the log of calls shows it. `meta.{kind}.{edge}`: filled in from the path."""
    method: str
    path: str
    """Behind the version: words, `{kind}` for an object of that kind, `{any}` for any, `{edge}` for any other word,
    `{word}` for any word behind an edge."""
    run: Run
    hosts: tuple[str, ...] = (GRAPH,)
    needs_token: bool = True
    scopes: tuple[str, ...] | None = None
    """One of these is needed for the named object; None: what its kind says."""
    bucket: str | None = None
    """The use case whose budget pays; None: what the object's kind says."""
    marketing: bool = False
    """Falls under the Marketing API's shorter life of versions, whatever object it names."""
    inherits: tuple[str, ...] = ()
    """Parameters of the whole call that reach it where it is an edge inside `fields`, unless its own say otherwise."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a call asks for. `operation` None: nothing that is covered."""

    operation: Operation | None
    name: str | None = None
    node_id: str = ""
    edge: str = ""
    for_ids: bool = False
    """Each id of `ids=` is asked for the same."""


class Table:
    """Rows by host, method and path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._rows: dict[tuple[str, str, str], Operation] = {}
        for operation in operations:
            for host in operation.hosts:
                key = (host, operation.method, operation.path)
                if key in self._rows:
                    raise ValueError(f"two operations for {key}")
                self._rows[key] = operation

    def __iter__(self) -> Iterator[Operation]:
        return iter(dict.fromkeys(self._rows.values()))

    def find(self, request: Request, parts: tuple[str, ...], world: World, token: Token | None) -> Route:
        """Never fails: what is not covered has no operation."""
        if parts and parts[0] == "me" and token is not None:
            parts = (token.owner[1], *parts[1:])
        node = world.known(parts[0]) if parts else None
        if request.method == "GET" and node is None and "ids" in request.params and len(parts) <= 1:
            edge = parts[0] if parts else ""
            return Route(_MULTI_GET, f"meta.multi_get.{edge}" if edge else "meta.multi_get", edge=edge, for_ids=True)
        return self.find_for(request.host, request.method, parts, node)

    def find_for(self, host: str, method: str, parts: tuple[str, ...], node: Node | None) -> Route:
        kind = node.kind if node else "object"
        for first in (parts[0], f"{{{kind}}}", "{any}") if parts else ("",):
            for rest in _rests(parts[1:]):
                path = f"{first}/{rest}" if rest else first
                operation = self._rows.get((host, method, path))
                if operation is None:
                    continue
                if first.startswith("{") and not _OBJECT_ID.fullmatch(parts[0]):
                    continue
                node_id = parts[0] if first.startswith("{") else ""
                edge = "/".join(parts[1:])
                return Route(operation, operation.name.format(kind=kind, edge=edge), node_id, edge)
        return Route(None)


def _rests(parts: tuple[str, ...]) -> tuple[str, ...]:
    """What a row may say behind the first part of a path."""
    if len(parts) == 1:
        return parts[0], "{edge}"
    if len(parts) == 2:
        return "/".join(parts), f"{parts[0]}/{{word}}"
    return ("/".join(parts),)


def _run_no_ids(context: Context) -> object:
    raise AssertionError("each id of a multi-get is run on its own")


_MULTI_GET = Operation("meta.multi_get", "GET", "{ids}", _run_no_ids)


_UPLOADS = {"video-upload", "ig-api-upload"}
"""First words of the upload host, where the version stands behind them (O)."""


def split_version(path: str) -> tuple[str | None, tuple[str, ...]]:
    """The version as asked for, and the parts behind it; an upload's address gives its object, then its word.

    Parts are percent-decoded.
    """
    parts = tuple(unquote(part) for part in path.split("/") if part)
    if len(parts) == 3 and parts[0] in _UPLOADS and _VERSION.fullmatch(parts[1]):
        return parts[1], (parts[2], parts[0])
    if parts and _VERSION.fullmatch(parts[0]):
        return parts[0], parts[1:]
    return None, parts
