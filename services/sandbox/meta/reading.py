"""Objects as a token sees them: selected fields, expanded edges, pages."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from services.sandbox.meta.catalog import ACCOUNT_CHILDREN, KINDS, Kind, edges_of, fields_of, known_edges
from services.sandbox.meta.computed import COMPUTED
from services.sandbox.meta.counts import kept_count
from services.sandbox.meta.edges import edge_of
from services.sandbox.meta.errors import (
    bad_parameter,
    missing_object,
    missing_permission,
    too_much_data,
    unknown_alias,
    unknown_field,
    unknown_path,
    unknown_username,
)
from services.sandbox.meta.fields import Field, parse_fields, write_fields
from services.sandbox.meta.filters import by_time, check_days, parent_ids, read_choice
from services.sandbox.meta.listing import NotCovered, Selection, paging_of, summary_of, take_page
from services.sandbox.meta.listings import Listing, written_listing
from services.sandbox.meta.ordering import asks_for_order, ordered
from services.sandbox.meta.params import Params
from services.sandbox.meta.tokens import Token, Tokens
from services.sandbox.meta.world import Moment, Node, Ref, World

MAX_ROWS = 20_000
"""Of all lists that one call expands. Meta refuses what is too heavy (T), how it weighs is not documented (M)."""
NOT_KEPT = frozenset({"access_token", "appsecret_proof", "appsecret_time", "fields", "ids", "debug", "metadata"})
"""Parameters of a list that the links to its other pages do not repeat, or write anew."""
UNALIASED = frozenset({"user"})
"""Objects whose plain fields take no other name; their edges and pictures do (O, guides/field-expansion)."""
DISCOVERED = (
    "biography", "followers_count", "follows_count", "id", "ig_id", "media", "media_count", "name",
    "profile_picture_url", "username", "website",
)  # fmt: skip
"""What `business_discovery` tells (O)."""
NEWEST_FIRST = frozenset({"post", "media", "threads_post", "comment", "ig_comment", "lead"})
"""What lists show in the order of creation: a list that is read from a moment on ends there."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for one call: with its token, at its host, under its version and address."""

    world: World
    tokens: Tokens
    token: Token
    host: str
    root: str
    """Absolute address including the version, for links to further pages."""
    now: datetime
    expand: Callable[[Node, str, Params], object | None]
    """Gives an edge that has an operation of its own, for use inside `fields`; None: it has none."""
    as_of: datetime | None = None
    """Shows the world as it was at that moment; None: as it is."""
    notes: list[dict[str, str]] = field(default_factory=list)
    """What `debug=all` tells: `message`, `type`, sometimes `link`."""
    shown: Counter[str] = field(default_factory=Counter)
    """Rows so far by kind, of all lists of the call."""

    def node(self, node_id: str, *, scopes: tuple[str, ...] | None = None, method: str = "GET") -> Node:
        """An object that the token may read. `scopes`: others than its kind's. Raises: GraphError 100/33, 10 or 200."""
        node = self.world.find(node_id, self.as_of)
        if node is None or node.account not in self.token.sees:
            raise missing_object(node_id, method.lower())
        kind = KINDS[node.kind]
        needed = kind.scopes if scopes is None else scopes
        if needed and not any(scope in self.token.scopes for scope in needed):
            raise missing_permission(kind.name, needed)
        return node

    def object(self, node: Node, params: Params) -> dict[str, Any]:
        """The object with the fields that were asked for."""
        return self._select(node, self._asked(params), KINDS[node.kind].default_fields)

    def edge(self, node: Node, edge: str, params: Params) -> dict[str, Any]:
        """One page of an edge."""
        return self._page(node, edge, self._listed_kind(node, edge), params, self._asked(params))

    def rows(self, node: Node, edge: str, kind: str, rows: Iterable[Node], params: Params) -> dict[str, Any]:
        """One page of an edge whose rows its operation has chosen itself."""
        chosen = Selection(written_listing(rows))
        return self._shown_page(node, edge, KINDS[kind], params, self._asked(params), chosen)

    def _asked(self, params: Params) -> list[Field] | None:
        text = params.get("fields", "").strip()
        return parse_fields(text) if text else None

    def _listed_kind(self, node: Node, edge: str) -> Kind:
        listed = KINDS[node.kind].edges.get(edge)
        if listed is None:
            if edge in edges_of(node.kind, self.host):
                raise NotCovered(f"edge {edge} of {node.kind}")
            # What other objects have is a field that this one lacks, what nobody has is no path at all (T: page tokens
            # at me/accounts, issue 163 of spring-social-facebook; `me/boguspath`, tests of spring-social-facebook).
            if any(edge in edges for edges in known_edges().values()):
                raise unknown_field(edge, KINDS[node.kind].type_name)
            raise unknown_path(f"/{edge}")
        kind = KINDS[listed]
        if not self.token.may(kind):
            raise missing_permission(kind.name, kind.scopes)
        return kind

    def _page(self, node: Node, edge: str, kind: Kind, params: Params, asked: list[Field] | None) -> dict[str, Any]:
        check_days(params)
        return self._shown_page(node, edge, kind, params, asked, self._chosen(node, edge, kind, params))

    def _shown_page(
        self, node: Node, edge: str, kind: Kind, params: Params, asked: list[Field] | None, chosen: Selection
    ) -> dict[str, Any]:
        page = take_page(chosen, kind.name, params)
        self.shown[kind.name] += len(page.rows)
        if self.shown.total() > MAX_ROWS:
            raise too_much_data()
        defaults = edge_of(node.kind, edge).default_fields or kind.default_fields
        answer: dict[str, Any] = {"data": [self._select(row, asked, defaults) for row in page.rows]}
        # The link carries the token, as Meta's do (M): whoever logs it logs a secret.
        link = {"access_token": self.token.secret, **({"fields": write_fields(asked)} if asked else {})}
        link |= {name: value for name, value in params.items() if name not in NOT_KEPT}
        paging = paging_of(page, f"{self.root}/{node.id}/{edge}", link)
        if paging:
            answer["paging"] = paging
        summary = summary_of(kind.name, lambda: self._count(node, edge, kind, params, chosen), params)
        if summary is not None:
            answer["summary"] = summary
        return answer

    def _count(self, node: Node, edge: str, kind: Kind, params: Params, chosen: Selection) -> int:
        if chosen.is_whole or self.as_of is not None or kind.name in ACCOUNT_CHILDREN:
            # Cheap already, true for this call alone, or for this token alone.
            return len(chosen)
        return kept_count(self.world, node, edge, params, chosen.__len__)

    def _chosen(self, node: Node, edge: str, kind: Kind, params: Params) -> Selection:
        """What the call asks for. A list is made as a whole only where its order must be made anew."""
        rule, choice = edge_of(node.kind, edge), read_choice(self.world, kind.name, params, self.now, self.as_of)
        sources = rule.sources or (edge,)
        deep = rule.deep or params.get("filter") == "stream"
        lists = self.world.listed if choice.shows_hidden else self.world.shown
        rows = lists(node, sources[0], as_of=self.as_of)
        parents = parent_ids(kind.name, params) if node.kind == "ad_account" else None
        if parents is not None:
            rows = self._below(node, parents, edge, lists, rows)
        anew = deep or len(sources) > 1 or asks_for_order(params)
        if anew:
            every: Iterator[Node] = chain.from_iterable(lists(node, source, as_of=self.as_of) for source in sources)
            if deep:
                every = self._with_replies(every, sources[0])
            rows = written_listing(ordered(list(every), kind.name, params))
        if kind.name not in ACCOUNT_CHILDREN:
            if kind.name not in NEWEST_FIRST or anew:
                return Selection(rows, choice.keeps if choice.tests else None)
            return by_time(rows, choice)
        return Selection(rows, lambda row: row.account in self.token.sees and choice.keeps(row))

    def _below(
        self, account: Node, parents: Sequence[str], edge: str, lists: Callable[..., Listing], rows: Listing
    ) -> Listing:
        """The rows below some campaigns or ad sets of an account, in the order of the account's list."""
        found = (self.world.find(node_id, self.as_of) for node_id in parents)
        above = [each for each in found if each is not None and each.account == account.id]
        below = {row.id: row for each in above for row in lists(each, edge, as_of=self.as_of)}
        places = {node_id: place for node_id in below if (place := rows.position(node_id)) is not None}
        return written_listing(below[node_id] for node_id in sorted(places, key=places.__getitem__))

    def _with_replies(self, rows: Iterator[Node], edge: str) -> Iterator[Node]:
        """Comments of all levels (S, Comment.Filter): each is followed by its own."""
        for row in rows:
            yield row
            if edge in KINDS[row.kind].edges:
                yield from self._with_replies(iter(self.world.shown(row, edge, as_of=self.as_of)), edge)

    def _select(self, node: Node, asked: list[Field] | None, defaults: tuple[str, ...]) -> dict[str, Any]:
        kind = KINDS[node.kind]
        if asked is None:
            asked = [Field(name, name) for name in defaults]
        answer: dict[str, Any] = {}
        for each in asked:
            value = self._value(node, kind, each)
            if value is not None:
                answer[each.alias] = value
        # Meta always adds the id (M).
        answer.setdefault("id", node.id)
        return answer

    def _value(self, node: Node, kind: Kind, asked: Field) -> Any:
        """None leaves the key out: there is no value, or none for this token."""
        known = fields_of(kind.name, self.host)
        if asked.name in kind.edges or (asked.name in edges_of(kind.name, self.host) and asked.name not in known):
            return self._expanded(node, asked)
        if asked.name not in known and asked.name not in node.values:
            raise unknown_field(asked.name, kind.type_name)
        if asked.alias != asked.name and kind.name in UNALIASED:
            raise unknown_alias(asked.alias)
        if (kind.name, asked.name) == ("instagram", "business_discovery"):
            return self._discovered(asked)
        computed = COMPUTED.get((kind.name, asked.name))
        value = computed(self.tokens, self.token, node) if computed else node.values.get(asked.name)
        if asked.children is None:
            return self._shown(value)
        if isinstance(value, Ref):
            return self._referred(value, asked)
        if not isinstance(value, dict | list | None):
            raise bad_parameter(f"Subfields are not supported by {asked.name}")  # M
        return _only(self._shown(value), asked.children)

    def _discovered(self, asked: Field) -> dict[str, Any] | None:
        """Another professional account by its name: what everybody may know (O, ig-user/business_discovery)."""
        username = asked.modifiers.get("username")
        if username is None:
            raise bad_parameter("The parameter username is required.")  # M
        nodes = (self.world.nodes[node_id] for node_id in self.world.accounts)
        found = next((n for n in nodes if n.kind == "instagram" and n.values["username"] == username), None)
        if found is None:
            raise unknown_username(username)
        for each in asked.children or ():
            if each.name not in DISCOVERED:
                raise unknown_field(each.name, "ShadowIGUser")
        shown = self._select(found, asked.children, ("id",))
        for value in shown.values():
            if isinstance(value, dict) and "paging" in value:
                # Nobody may ask for the edge itself: its next page is `media.after(cursor)` (O).
                value["paging"] = {"cursors": value["paging"]["cursors"]}
        return shown

    def _referred(self, ref: Ref, asked: Field) -> dict[str, Any] | None:
        """An object inside another. Of one that the token does not see, no more is told than without braces (M)."""
        target = self._target(ref)
        if target is None:
            return None
        kind = KINDS[target.kind]
        if target.account in self.token.sees and self.token.may(kind):
            return self._select(target, asked.children, kind.default_fields)
        shown = [each for each in asked.children or () if each.name in kind.default_fields]
        if len(shown) < len(asked.children or ()):
            wanted = "' or '".join(kind.scopes)
            text = (
                f"Field {asked.name} is only accessible on {kind.type_name} object, if {wanted} permission is granted"
            )
            self.notes.append({"message": text, "type": "warning"})
        return self._select(target, shown, ()) if shown else None

    def _expanded(self, node: Node, asked: Field) -> dict[str, Any] | None:
        """An edge inside its object; left out when it is empty (M)."""
        params = dict(asked.modifiers)
        if asked.children:
            params["fields"] = write_fields(asked.children)
        own = self.expand(node, asked.name, params)
        if isinstance(own, dict):
            return own if own.get("data") or "summary" in own else None
        page = self._page(node, asked.name, self._listed_kind(node, asked.name), params, asked.children)
        return page if page["data"] or "summary" in page else None

    def _target(self, ref: Ref) -> Node | None:
        return self.world.find(ref, self.as_of)

    def _shown(self, value: Any) -> Any:
        if isinstance(value, Ref):
            target = self._target(value)
            if target is None:
                return None
            return self._select(target, None, KINDS[target.kind].default_fields)
        if isinstance(value, Moment):
            return value.strftime("%Y-%m-%dT%H:%M:%S%z")
        if isinstance(value, dict):
            return {name: self._shown(below) for name, below in value.items()}
        if isinstance(value, list):
            return [self._shown(below) for below in value]
        return value


def _only(value: Any, children: Sequence[Field]) -> Any:
    """The asked parts of a plain structure, or of each in a list."""
    if isinstance(value, list):
        return [_only(below, children) for below in value]
    if not isinstance(value, Mapping):
        return value
    found = ((each, value[each.name]) for each in children if each.name in value)
    return {each.alias: _only(below, each.children) if each.children else below for each, below in found}
