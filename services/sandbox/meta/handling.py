"""One call, alone or as an item of a batch: routed, met by faults, authenticated, paid for, answered."""

import inspect
import re
from dataclasses import dataclass, field

import orjson

from services.sandbox.calls import CallRow
from services.sandbox.exchange import Answer, Query, Surroundings
from services.sandbox.faults import Fault, Target
from services.sandbox.meta import faulting, inputs
from services.sandbox.meta.budgets import Budgets
from services.sandbox.meta.errors import (
    OAUTH,
    GraphError,
    bad_parameter,
    no_token,
    retired_version,
    too_many_ids,
    unknown_path,
)
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.operations import Context, Request, Route, Table, split_version
from services.sandbox.meta.params import Params
from services.sandbox.meta.quota import Bucket, Quotas, refusal
from services.sandbox.meta.reading import Reader
from services.sandbox.meta.tokens import Token, Tokens
from services.sandbox.meta.versions import CURRENT, RETIRED_FOR_MARKETING, is_marketing, serving_version
from services.sandbox.meta.webhooks.hub import Webhooks
from services.sandbox.meta.world import Node, World

MAX_IDS = 50  # T: "(#100) Too many IDs. Maximum: 50."
_SECRET_KEYS = {
    "access_token", "appsecret_proof", "input_token", "client_secret", "fb_exchange_token", "code", "batch",
    "revoke_token", "verify_token",
}  # fmt: skip
_CHALLENGES = {
    190: "invalid_token", 104: "invalid_request", 2500: "invalid_request", 10: "insufficient_scope",
    200: "insufficient_scope",
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SECRET_TEXT = re.compile(r"(?:EAA|IGAA|THAA)[A-Za-z0-9]{20,}|\d{10,}(?:\||%7[Cc])[0-9a-f]{32}")


@dataclass(slots=True)
class Prepared:
    """A call that is routed and met by its fault, and not yet done."""

    request: Request
    row: CallRow
    route: Route
    token: Token | None
    version: str | None
    parts: tuple[str, ...]
    fault: Fault | None
    spent: tuple[Bucket, ...] = field(default=())
    said: list[tuple[str, str]] = field(default_factory=list)
    """Headers of the operation's own."""


def redact(query: Query) -> Query:
    """The query with `<name>` for every secret in it; keys stay."""
    return {
        name: [f"<{name}>" if name in _SECRET_KEYS else redact_text(value) for value in values]
        for name, values in query.items()
    }


def redact_text(text: str) -> str:
    return _SECRET_TEXT.sub("<access_token>", text)


class Handler:
    """Answers calls from one world."""

    def __init__(self, around: Surroundings, world: World, tokens: Tokens, quotas: Quotas, table: Table) -> None:
        self.around = around
        self.table = table
        self.world = world
        self.tokens = tokens
        self.quotas = quotas
        self.budgets = Budgets(world, around.clock)
        self.webhooks = Webhooks(around, world, tokens)

    def prepare(self, request: Request, row: CallRow) -> Prepared:
        """Find out what is asked, by whom, and whether a fault hits it."""
        asked, parts = split_version(request.path)
        token = self.tokens.find(request.secret) if request.secret else None
        route = self.table.find(request, parts, self.world, token)
        row.operation, row.token = route.name, token.id if token else None
        names = tuple(name for name in (request.item_name, route.node_id, parts[0] if parts else None) if name)
        target = Target(
            platform=row.platform,
            method=request.method,
            host=row.host,
            path=row.path,
            operation=route.name,
            token=row.token,
            item_index=request.item_index,
            item_names=(*names, str(request.item_index)),
        )
        fault = self.around.faults.find(target)
        row.fault = fault.id if fault else None
        return Prepared(request, row, route, token, asked or request.version, parts, fault)

    async def perform(self, call: Prepared) -> Answer:
        """Do it, and let the fault spoil what comes of it."""
        if call.fault and call.fault.kind == "cut_before":
            return Answer(status=0, body=b"", cut=True)
        try:
            content = self._checked(call)
            if inspect.isawaitable(content):
                content = await content
            answer = content if isinstance(content, Answer) else self.render(200, content, call)
        except GraphError as error:
            self.quotas.note_error(call.spent)
            answer = self.render_error(error, call)
        except NotCovered as gap:
            call.row.operation = None
            answer = self.render_gap(call, str(gap))
        return faulting.spoil(answer, call.fault)

    def render(self, status: int, content: object, call: Prepared | None) -> Answer:
        return Answer(status, orjson.dumps(content), self._headers(call))

    def render_error(self, error: GraphError, call: Prepared | None) -> Answer:
        content = error.as_json(self.trace_id(), host=call.request.host if call else "")
        answer = self.render(error.status, content, call)
        answer.headers += error.headers
        if error.type == OAUTH and error.code in _CHALLENGES:
            # Form T (issue 30 of facebook-events-by-location-core); on refused permissions O (batch-requests); words M.
            words = error.message.replace('"', '\\"').encode("ascii", "replace").decode()
            challenge = f'OAuth "Facebook Platform" "{_CHALLENGES[error.code]}" "{words}"'
            answer.headers.append(("WWW-Authenticate", _CONTROL.sub("?", challenge)))
        return answer

    def render_gap(self, call: Prepared, what: str) -> Answer:
        """501 in the sandbox's own words: nobody may take it for Meta's answer."""
        where = f"{call.request.method} {call.row.host}{call.row.path}"
        text = f"the sandbox does not cover {what} yet ({where})"
        return Answer(501, orjson.dumps({"sandbox": {"covered": False, "what": what, "message": text}}))

    def trace_id(self) -> str:
        signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
        return "A" + "".join(self.world.random.choices(signs, k=22))

    def _checked(self, call: Prepared) -> object:
        operation = call.route.operation
        if operation is None:
            raise NotCovered("this call")
        version = serving_version(call.version, call.request.host)
        if version is None:
            raise unknown_path("/".join(("", *call.parts)))
        if call.fault:
            faulting.refuse(call.fault, call.token, self._buckets(call, call.route.node_id), self.quotas)
        token = self._authenticate(call) if operation.needs_token else None
        if version in RETIRED_FOR_MARKETING and (operation.marketing or self._touches_marketing(call)):
            raise retired_version(CURRENT)
        ids = self._ids(call) if call.route.for_ids else [call.route.node_id]
        self._charge(call, ids)
        context = self._context(call, token)
        if call.route.for_ids:
            # One bad id fails the whole call (M); others report that missing ids are left out (T).
            return {node_id: self._run_for(context, node_id, call.route.edge) for node_id in ids}
        if call.route.node_id:
            node = context.reader.node(call.route.node_id, scopes=operation.scopes, method=call.request.method)
            context = context.at(node, call.route.edge, call.request.params)
        return operation.run(context)

    def _context(self, call: Prepared, token: Token | None) -> Context:
        host, now = call.request.host, self.around.clock.now()
        root = f"{call.request.base_url}/{serving_version(call.version, host)}"

        def expand(node: Node, edge: str, params: Params) -> object | None:
            return self._expand(context, node, edge, params)

        as_of = faulting.as_of(call.fault, now)
        reading = Reader(self.world, self.tokens, token, host, root, now, expand, as_of) if token else None
        context = Context(
            self.around,
            self.world,
            self.tokens,
            self.quotas,
            call.request,
            token,
            reading,
            root,
            self.webhooks,
            fault=call.fault,
            headers=call.said,
        )
        return context

    def _run_for(self, context: Context, node_id: str, edge: str) -> object:
        """Read one object, or one of its edges, for an id of `ids=`."""
        node = context.reader.node(context.token.owner[1] if node_id == "me" else node_id)
        parts = (node.id, edge) if edge else (node.id,)
        operation = self.table.find_for(context.request.host, "GET", parts, node).operation
        if operation is None:
            raise NotCovered(f"edge {edge} of {node.kind}")
        context.reader.node(node.id, scopes=operation.scopes)
        return operation.run(context.at(node, edge, context.params))

    def _expand(self, context: Context, node: Node, edge: str, params: Params) -> object | None:
        """What an edge with an operation of its own gives inside `fields`; None: it is listed as every other edge."""
        operation = self.table.find_for(context.request.host, "GET", (node.id, edge), node).operation
        if operation is None or operation.path.endswith("{edge}"):
            return None
        context.reader.node(node.id, scopes=operation.scopes)
        inherited = {name: context.params[name] for name in operation.inherits if name in context.params}
        return operation.run(context.at(node, edge, {**inherited, **params}, nested=True))

    def _authenticate(self, call: Prepared) -> Token:
        about_me = bool(call.parts) and call.parts[0] == "me"
        request = call.request
        token = self.tokens.authenticate(request.secret, request.params, host=request.host, about_me=about_me)
        if about_me and token.kind == "app":
            raise no_token(about_me=True)
        return token

    def _ids(self, call: Prepared) -> list[str]:
        # With commas (O), or as a JSON list (T, restfb's fetchObjects).
        ids = list(dict.fromkeys(inputs.texts(call.request.params, "ids") or ()))
        if not ids:
            raise bad_parameter("param ids must be non-empty")
        if len(ids) > MAX_IDS:
            raise too_many_ids(len(ids), MAX_IDS)
        return ids

    def _charge(self, call: Prepared, ids: list[str]) -> None:
        """One call per id. Raises: GraphError of the quota that is used up."""
        spent: dict[Bucket, None] = {}
        full: Bucket | None = None
        for node_id in ids:
            buckets = self._buckets(call, node_id)
            full = self.quotas.charge(buckets, 1) or full
            for bucket in buckets:
                spent[bucket] = None
                if not bucket.is_shown:
                    continue
                call.row.cost[bucket.key] = call.row.cost.get(bucket.key, 0) + 1
        call.spent = tuple(spent)
        if full:
            raise refusal(full)

    def _buckets(self, call: Prepared, node_id: str) -> tuple[Bucket, ...]:
        operation, node = call.route.operation, self.world.nodes.get(node_id)
        if call.route.for_ids and node is not None and call.route.edge:
            # An edge of many objects is paid for as that of one.
            parts = (node_id, call.route.edge)
            operation = self.table.find_for(call.request.host, "GET", parts, node).operation
        return self.budgets.of(call.token, operation, node_id, call.request.method)

    def _headers(self, call: Prepared | None) -> list[tuple[str, str]]:
        version = serving_version(call.version, call.request.host) if call else None
        version = version or CURRENT
        shown = [
            ("facebook-api-version", version),
            ("x-fb-request-id", self.trace_id()),
            ("x-fb-trace-id", self.trace_id()[:11]),
            ("x-fb-rev", "1030000000"),
            ("x-fb-debug", self.trace_id()),
            ("Cache-Control", "private, no-cache, no-store, must-revalidate"),
        ]
        return shown + self.quotas.headers(call.spent) + call.said if call else shown

    def _touches_marketing(self, call: Prepared) -> bool:
        ids = self._ids(call) if call.route.for_ids else [call.route.node_id]
        return any(is_marketing(node_id, call.route.edge, self.world) for node_id in ids)
