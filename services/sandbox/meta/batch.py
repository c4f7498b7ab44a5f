"""Batches: many calls in one POST (O, batch-requests).

Answers stand in the order of the requests; independent items run side by side, dependent ones one after another;
nothing is rolled back. `null` means "not done" after a time-out (O), or "done, answer omitted" for a named item whose
result another one used (M; Android SDK for the option itself).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.sandbox.calls import CallRow
from services.sandbox.exchange import Answer, Call, Surroundings
from services.sandbox.meta import faulting
from services.sandbox.meta.errors import GraphError, aborted_item, bad_parameter, too_many_items
from services.sandbox.meta.handling import Handler, Prepared, redact, redact_text
from services.sandbox.meta.incoming import METHODS, header_token
from services.sandbox.meta.loose import read_value
from services.sandbox.meta.operations import Request
from services.sandbox.meta.params import Files, Params, from_text
from services.sandbox.meta.references import referred_names, substitute
from services.sandbox.wire import parse_query

MAX_ITEMS = 50  # O
MAX_SECONDS = 30.0
"""What is not done by then comes back as null (O); how long Meta waits is not documented (M)."""
_SECRETS = ("access_token", "appsecret_proof", "appsecret_time")


@dataclass(slots=True)
class Item:
    """One request of a batch; `problem` says why it cannot even be tried."""

    index: int
    method: str = "GET"
    relative_url: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    attached: Mapping[str, str] = field(default_factory=dict)
    """Parts of the batch's multipart body -> the names under which the item sends them."""
    name: str | None = None
    omit: bool | None = None
    needs: set[str] = field(default_factory=set)
    problem: GraphError | None = None
    answer: Answer | None = None
    """Done; None after the run means not done."""

    @property
    def succeeded(self) -> bool:
        return self.answer is not None and self.answer.status < 300


@dataclass(frozen=True, slots=True)
class Outer:
    """What the items share."""

    call: Call
    row: CallRow
    params: Params
    secret: str | None
    version: str | None
    files: Files = field(default_factory=dict)


def read_items(text: str) -> list[Item]:
    """Raises: GraphError for a batch that is no array or too long."""
    try:
        given = _read_json(text)
    except ValueError as error:
        raise bad_parameter("param batch must be an array.") from error
    if not isinstance(given, list):
        raise bad_parameter("param batch must be an array.")
    if len(given) > MAX_ITEMS:
        raise too_many_items(MAX_ITEMS)
    return [_read_item(index, item) for index, item in enumerate(given)]


def _read_json(text: str) -> Any:
    """Meta's own samples end their arrays with a comma (O, batch-requests). Raises: ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return read_value(text)


async def run_batch(
    handler: Handler, around: Surroundings, outer: Outer, items: Sequence[Item], *, max_seconds: float = MAX_SECONDS
) -> list[Any]:
    """Do every item; the array that becomes the body of the answer."""
    by_name = {item.name: item for item in items if item.name}
    waiting = list(items)
    left = max_seconds
    while waiting:
        ready = [item for item in waiting if _is_ready(item, by_name, waiting)]
        # A ring of dependencies never becomes ready: Meta's answer to that is not documented.
        stuck = not ready
        left -= await _run_side_by_side(handler, around, outer, ready or waiting, by_name, stuck=stuck, seconds=left)
        waiting = [item for item in waiting if item not in ready] if ready else []
    used = {name for item in items for name in item.needs}
    shown = outer.params.get("include_headers", "true").lower() not in {"false", "0"}
    return [_shown(item, item.name in used, with_headers=shown) for item in items]


async def _run_side_by_side(
    handler: Handler,
    around: Surroundings,
    outer: Outer,
    items: Sequence[Item],
    by_name: Mapping[str, Item],
    *,
    stuck: bool,
    seconds: float,
) -> float:
    """Gives how long it took. What a fault holds up for longer than `seconds` is not done."""
    prepared: list[tuple[Item, Prepared]] = []
    for item in items:
        call = _prepare(handler, around, outer, item, by_name, stuck=stuck)
        if call:
            prepared.append((item, call))
    delay = min(max((faulting.delay_seconds(call.fault) for _, call in prepared), default=0.0), max(seconds, 0.0))
    if delay:
        await asyncio.sleep(delay)
    for item, call in prepared:
        if faulting.delay_seconds(call.fault) > seconds:
            continue
        answer = await handler.perform(call)
        if answer.cut or _is_null(call):
            continue
        item.answer = answer
        call.row.status = answer.status
    return delay


def _prepare(
    handler: Handler,
    around: Surroundings,
    outer: Outer,
    item: Item,
    by_name: Mapping[str, Item],
    *,
    stuck: bool,
) -> Prepared | None:
    """None when the item has its answer already: it is malformed, or what it depends on failed."""
    problem = item.problem or _dependency_problem(item, by_name, stuck=stuck)
    relative_url, body = item.relative_url, item.body
    if problem is None:
        results = {name: orjson.loads(by_name[name].answer.body) for name in item.needs}  # type: ignore[union-attr]
        try:
            relative_url, body = substitute(relative_url, results), substitute(body, results)
            params = {**from_text(relative_url.partition("?")[2]), **from_text(body)}
            if "batch" in params:
                raise bad_parameter("A batch cannot be a request of another batch")  # M
            files = _files(item, outer)
        except GraphError as error:
            problem = error
    path, _, query_text = relative_url.partition("#")[0].partition("?")
    query = _query(query_text)
    row = around.calls.begin(
        via=outer.row.via,
        platform=outer.row.platform,
        method=item.method,
        host=outer.row.host,
        path="/" + redact_text(path.lstrip("/")),
        query=redact(query),
        parent=outer.row.seq,
    )
    if problem is not None:
        item.answer = handler.render_error(problem, None)
        row.status = item.answer.status
        return None
    own = params.get("access_token") or header_token(item.headers.get("authorization", ""))
    if own is None:
        # The outer token is the fall-back; its proof was checked with it.
        params.update({name: outer.params[name] for name in _SECRETS[1:] if name in outer.params})
    request = Request(
        method=item.method,
        path="/" + path.lstrip("/"),
        params=params,
        query=query,
        secret=own or outer.secret,
        base_url=outer.call.base_url,
        host=outer.call.host,
        version=outer.version,
        item_index=item.index,
        item_name=item.name,
        headers=item.headers or None,
        body=body.encode(),
        files=files,
    )
    return handler.prepare(request, row)


def _files(item: Item, outer: Outer) -> Files:
    """Raises: GraphError 100 for a part that the batch does not have (M)."""
    for name in item.attached:
        if name not in outer.files:
            raise bad_parameter(f"File {name} has not been attached")
    return {sent_as: outer.files[name] for name, sent_as in item.attached.items()}


def _dependency_problem(item: Item, by_name: Mapping[str, Item], *, stuck: bool) -> GraphError | None:
    for name in sorted(item.needs):
        if name not in by_name:
            return bad_parameter(f"No request named '{name}' in this batch")
        if stuck:
            return bad_parameter("The requests of this batch depend on each other in a ring")
        # 960 "a dependent request failed" (T); that it comes for every failed dependency is inferred.
        if not by_name[name].succeeded:
            return aborted_item()
    return None


def _is_ready(item: Item, by_name: Mapping[str, Item], waiting: Sequence[Item]) -> bool:
    return not any(by_name[name] in waiting for name in item.needs if name in by_name)


def _is_null(call: Prepared) -> bool:
    return call.fault is not None and call.fault.kind == "item_error" and bool(call.fault.args.get("null"))


def _shown(item: Item, is_used: bool, *, with_headers: bool) -> dict[str, Any] | None:
    answer = item.answer
    if answer is None:
        return None
    omitted = item.name is not None and (is_used if item.omit is None else item.omit)
    if omitted and item.succeeded:
        return None
    shown: dict[str, Any] = {"code": answer.status}
    if with_headers:
        headers = [("Content-Type", answer.content_type), *answer.headers]
        shown["headers"] = [{"name": name, "value": value} for name, value in headers]
    body = answer.body.decode("utf-8", errors="replace")
    shown["body"] = body + " " * max(0, answer.pad_to_bytes - len(answer.body))
    return shown


def _query(text: str) -> dict[str, list[str]]:
    try:
        return parse_query(text)
    except ValueError:
        return {}


def _read_item(index: int, given: object) -> Item:
    """Texts and statuses of these refusals are M."""
    if not isinstance(given, dict):
        return Item(index, problem=bad_parameter("Each request of a batch must be an object"))
    method, url, body = given.get("method", "GET"), given.get("relative_url"), given.get("body") or ""
    if not isinstance(method, str) or method.upper() not in METHODS:
        return Item(index, problem=bad_parameter("method must be one of GET, POST, PUT, DELETE"))
    item = Item(index, method=method.upper())
    if not isinstance(url, str) or "://" in url.partition("?")[0]:
        item.problem = bad_parameter("relative_url must be a path without a host")
        return item
    item.relative_url = url
    if not isinstance(body, str):
        item.problem = bad_parameter("body must be a form-encoded string")
        return item
    item.body = body
    item.attached = _read_attached(given.get("attached_files"))
    item.headers = _read_headers(given.get("headers"))
    name, depends, omit = given.get("name"), given.get("depends_on"), given.get("omit_response_on_success")
    item.name = name if isinstance(name, str) and name else None
    item.omit = omit if isinstance(omit, bool) else None
    item.needs = {*referred_names(url), *referred_names(body)}
    if isinstance(depends, str) and depends:
        item.needs.add(depends)
    return item


def _read_attached(given: object) -> dict[str, str]:
    """Names with commas between them (O), or an object of part and parameter, as Meta's Java SDK sends it (S)."""
    if isinstance(given, dict):
        return {name: value for name, value in given.items() if isinstance(value, str)}
    names = given.split(",") if isinstance(given, str) else ()
    return {name.strip(): name.strip() for name in names if name.strip()}


def _read_headers(given: object) -> dict[str, str]:
    """A list of `{"name", "value"}` (S) or of "Name: value"; what is neither is overlooked (M)."""
    found: dict[str, str] = {}
    for header in given if isinstance(given, list) else ():
        if isinstance(header, dict):
            name, value = header.get("name"), header.get("value")
        else:
            name, _, value = header.partition(":") if isinstance(header, str) else (None, "", None)
        if isinstance(name, str) and isinstance(value, str):
            found[name.strip().lower()] = value.strip()
    return found
