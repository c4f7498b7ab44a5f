"""Objects as a token sees them: selected fields, expanded edges, pages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.sandbox.meta.catalog import KINDS, Kind, known_edges, known_fields
from services.sandbox.meta.errors import bad_parameter, missing_object, missing_permission, unknown_field, unknown_path
from services.sandbox.meta.fields import Field, parse_fields
from services.sandbox.meta.listing import NotCovered, choose, paging_of, take_page, wants_summary
from services.sandbox.meta.params import Params
from services.sandbox.meta.tokens import Token, Tokens
from services.sandbox.meta.world import Moment, Node, Ref, World

_LIST_ONLY = {"limit", "after", "before", "summary", "since", "until", "effective_status"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for one call: with its token, under its version and address."""

    world: World
    tokens: Tokens
    token: Token
    root: str
    """Absolute address including the version, for links to further pages."""
    expand: Callable[[Node, str, Params], object | None]
    """Gives an edge that has an operation of its own, for use inside `fields`; None: it has none."""

    def node(self, node_id: str, *, scopes: tuple[str, ...] | None = None, method: str = "GET") -> Node:
        """An object that the token may read. `scopes`: others than its kind's. Raises: GraphError 100/33, 10 or 200."""
        node = self.world.nodes.get(node_id)
        if node is None or node.account not in self.token.sees:
            raise missing_object(node_id, method.lower())
        kind = KINDS[node.kind]
        needed = kind.scopes if scopes is None else scopes
        if needed and not any(scope in self.token.scopes for scope in needed):
            raise missing_permission(kind.name, needed)
        return node

    def object(self, node: Node, params: Params) -> dict[str, Any]:
        """The object with the fields that were asked for."""
        text = params.get("fields", "").strip()
        return self._select(node, parse_fields(text) if text else None)

    def edge(self, node: Node, edge: str, params: Params) -> dict[str, Any]:
        """One page of an edge."""
        kind = self._listed_kind(node, edge)
        text = params.get("fields", "").strip()
        return self._page(node, edge, kind, params, parse_fields(text) if text else None, text)

    def _listed_kind(self, node: Node, edge: str) -> Kind:
        listed = KINDS[node.kind].edges.get(edge)
        if listed is None:
            if edge in known_edges()[node.kind]:
                raise NotCovered(f"edge {edge} of {node.kind}")
            raise unknown_path(f"/{node.id}/{edge}")
        kind = KINDS[listed]
        if not self.token.may(kind):
            raise missing_permission(kind.name, kind.scopes)
        return kind

    def _page(
        self, node: Node, edge: str, kind: Kind, params: Mapping[str, str], asked: list[Field] | None, text: str
    ) -> dict[str, Any]:
        listed = [found for found in self.world.listed(node, edge) if found.account in self.token.sees]
        chosen = choose(listed, params)
        page = take_page(chosen, params, posts=kind.name in {"post", "media"})
        answer: dict[str, Any] = {"data": [self._select(row, asked) for row in page.rows]}
        kept = {name: value for name, value in params.items() if name in _LIST_ONLY}
        # The link carries the token, as Meta's do (M): whoever logs it logs a secret.
        link = {"access_token": self.token.secret, **({"fields": text} if text else {}), **kept}
        paging = paging_of(page, f"{self.root}/{node.id}/{edge}", link)
        if paging:
            answer["paging"] = paging
        if wants_summary(params):
            answer["summary"] = {"total_count": page.total}
        return answer

    def _select(self, node: Node, asked: list[Field] | None) -> dict[str, Any]:
        kind = KINDS[node.kind]
        if asked is None:
            return {name: self._shown(node.values[name]) for name in kind.default_fields if name in node.values}
        answer: dict[str, Any] = {}
        for field in asked:
            value = self._value(node, kind, field)
            if value is not None:
                answer[field.alias] = value
        # Meta always adds the id (M).
        answer.setdefault("id", node.id)
        return answer

    def _value(self, node: Node, kind: Kind, field: Field) -> Any:
        """None leaves the key out: there is no value, or none for this token."""
        if field.name in kind.edges or field.name in known_edges()[kind.name] - known_fields()[kind.name]:
            return self._expanded(node, field)
        if field.name not in known_fields()[kind.name] and field.name not in node.values:
            raise unknown_field(field.name, kind.type_name)
        if kind.name == "page" and field.name == "access_token":
            return self._page_token(node)
        value = node.values.get(field.name)
        if isinstance(value, Ref) and field.children is not None:
            target = self.world.nodes[value]
            may = target.account in self.token.sees and self.token.may(KINDS[target.kind])
            return self._select(target, field.children) if may else None
        if field.children is not None and not isinstance(value, Ref | dict | list | None):
            raise bad_parameter(f"Subfields are not supported by {field.name}")  # M
        return self._shown(value)

    def _expanded(self, node: Node, field: Field) -> dict[str, Any] | None:
        """An edge inside its object; left out when it is empty (M)."""
        subfields = write_fields(field.children)
        own = self.expand(node, field.name, {**field.modifiers, **({"fields": subfields} if subfields else {})})
        if isinstance(own, dict):
            return own if own.get("data") or "summary" in own else None
        listed = self._listed_kind(node, field.name)
        unknown = sorted(field.modifiers.keys() - _LIST_ONLY)
        if unknown:
            raise NotCovered(f"modifier {unknown[0]}")
        page = self._page(node, field.name, listed, field.modifiers, field.children, subfields)
        return page if page["data"] or "summary" in page else None

    def _page_token(self, node: Node) -> str | None:
        token = self.tokens.page_token(self.token, node)
        return token.secret if token else None

    def _shown(self, value: Any) -> Any:
        if isinstance(value, Ref):
            target = self.world.nodes[value]
            names = KINDS[target.kind].default_fields
            return {name: self._shown(target.values[name]) for name in names if name in target.values}
        if isinstance(value, Moment):
            return value.strftime("%Y-%m-%dT%H:%M:%S%z")
        return value


def write_fields(asked: list[Field] | None) -> str:
    """Fields as text again, for links to further pages of an expanded edge."""
    written = []
    for field in asked or ():
        modifiers = "".join(f".{name}({value})" for name, value in field.modifiers.items())
        alias = f".as({field.alias})" if field.alias != field.name else ""
        nested = f"{{{write_fields(field.children)}}}" if field.children else ""
        written.append(f"{field.name}{modifiers}{alias}{nested}")
    return ",".join(written)
