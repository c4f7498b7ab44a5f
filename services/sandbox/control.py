"""`/_sandbox/`: the sandbox's own interface. No token, no quota, no row in the log of calls."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote

import orjson

from services.sandbox import coverage
from services.sandbox.calls import MAX_PAGE
from services.sandbox.clock import ClockRefused, rfc3339
from services.sandbox.deliveries import MAX_ROWS
from services.sandbox.exchange import NotServed, Platform, Query
from services.sandbox.faults import FaultRefused
from services.sandbox.settings import SIZES
from services.sandbox.state import Sandbox

MAX_CONTROL_BYTES = 256 * 1024
MAX_METRIC_DAYS = 1000
MAX_METRIC_ROWS = 500_000
"""A large world has tens of millions of them; so many are written in some ten seconds."""
Reply = tuple[int, object]
"""Status and JSON content; bytes are sent as they are, as PEM."""


@dataclass(frozen=True, slots=True)
class ControlCall:
    """One call to the sandbox itself."""

    method: str
    parts: tuple[str, ...]
    """Parts of the path below `/_sandbox/`, percent-decoded."""
    query: Query
    body: bytes


class Refused(Exception):  # noqa: N818  reads as the fact it reports
    """The call cannot be served; status and words for the caller."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def split_path(raw_path: str) -> tuple[str, ...]:
    return tuple(unquote(part) for part in raw_path.removeprefix("/_sandbox").strip("/").split("/"))


async def answer_control(sandbox: Sandbox, call: ControlCall) -> Reply:
    """Status and JSON content."""
    noun = call.parts[0]
    served = _NOUNS.get(noun)
    if served is None:
        return 404, {"error": f"there is no /_sandbox/{noun}; there are: {', '.join(sorted(_NOUNS))}"}
    verb = served.get(call.method)
    if verb is None:
        return 405, {"error": f"/_sandbox/{noun} takes {', '.join(sorted(served))}"}
    try:
        return await verb(sandbox, call)
    except Refused as refused:
        return refused.status, {"error": refused.reason}
    except (FaultRefused, ClockRefused) as error:
        return 400, {"error": str(error)}


async def get_world(sandbox: Sandbox, call: ControlCall) -> Reply:
    if len(call.parts) == 1:
        return 200, sandbox.world()
    if len(call.parts) != 5:
        raise Refused(404, "use /_sandbox/world or /_sandbox/world/{platform}/{type}/{id}/{child}")
    _, name, kind, node_id, child = call.parts
    platform = sandbox.state.platforms.get(name)
    if platform is None:
        raise Refused(404, f"platform {name!r} is not served")
    if child == "metrics":
        return 200, await _metrics(platform, kind, node_id, call.query)
    everything = call.query.get("all", ["false"])[-1].lower() == "true"
    items = await platform.children(kind, node_id, child, everything=everything)
    if items is None:
        raise Refused(404, f"{name} has no {kind} {node_id!r} with {child!r} in this world")
    return 200, {"count": len(items), "items": items}


async def _metrics(platform: Platform, kind: str, node_id: str, query: Query) -> object:
    since, until = _day(query, "since"), _day(query, "until")
    if since > until:
        raise Refused(400, "since must not lie behind until")
    if (until - since).days >= MAX_METRIC_DAYS:
        raise Refused(400, f"at most {MAX_METRIC_DAYS} days are shown at once")
    by = query.get("by", [None])[-1]
    if by and _counted(platform, kind, node_id, by) * ((until - since).days + 1) > MAX_METRIC_ROWS:
        raise Refused(413, f"that is more than {MAX_METRIC_ROWS} rows: ask for fewer days")
    try:
        rows = await platform.metrics(kind, node_id, since, until, by)
    except NotServed as gap:
        raise Refused(501, str(gap)) from gap
    if rows is None:
        below = f" with {by!r}" if by else ""
        raise Refused(404, f"{platform.name} has no {kind} {node_id!r}{below} with daily numbers in this world")
    return {"count": len(rows), "rows": rows}


def _counted(platform: Platform, kind: str, node_id: str, child: str) -> int:
    accounts = platform.describe()["accounts"]
    return next((row["children"].get(child, 0) for row in accounts if (row["type"], row["id"]) == (kind, node_id)), 0)


async def get_calls(sandbox: Sandbox, call: ControlCall) -> Reply:
    since = _whole_number(call.query, "since", 0)
    limit = min(_whole_number(call.query, "limit", MAX_PAGE), MAX_PAGE)
    platform = call.query.get("platform", [None])[-1]
    return 200, sandbox.state.calls.read(since=since, platform=platform, limit=limit)


async def get_deliveries(sandbox: Sandbox, call: ControlCall) -> Reply:
    since = _whole_number(call.query, "since", 0)
    limit = _whole_number(call.query, "limit", MAX_ROWS)
    platform = call.query.get("platform", [None])[-1]
    return 200, sandbox.state.deliveries.read(since=since, platform=platform, limit=limit)


async def get_faults(sandbox: Sandbox, call: ControlCall) -> Reply:
    return 200, {"faults": sandbox.state.faults.list()}


async def post_faults(sandbox: Sandbox, call: ControlCall) -> Reply:
    state = sandbox.state
    return 201, state.faults.add(_json(call), state.check_fault).as_json()


async def delete_faults(sandbox: Sandbox, call: ControlCall) -> Reply:
    faults = sandbox.state.faults
    if len(call.parts) == 1:
        faults.clear()
    elif not faults.delete(call.parts[1]):
        raise Refused(404, f"there is no fault {call.parts[1]!r}")
    return 200, {"faults": faults.list()}


async def get_clock(sandbox: Sandbox, call: ControlCall) -> Reply:
    clock = sandbox.state.clock
    return 200, {"now": rfc3339(clock.now()), "rate": clock.rate}


async def post_clock(sandbox: Sandbox, call: ControlCall) -> Reply:
    given = _json_object(call, {"now", "advance_seconds", "rate"})
    if len(given) != 1:
        raise Refused(400, "give exactly one of now, advance_seconds, rate")
    clock = sandbox.state.clock
    if "now" in given:
        clock.move_to(_moment(given["now"]))
    elif "advance_seconds" in given:
        clock.advance(_number(given, "advance_seconds"))
    else:
        clock.set_rate(_number(given, "rate"))
    return await get_clock(sandbox, call)


async def post_reset(sandbox: Sandbox, call: ControlCall) -> Reply:
    given = _json_object(call, {"seed", "size"})
    seed, size = given.get("seed"), given.get("size")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise Refused(400, "seed must be a whole number")
    if size is not None and size not in SIZES:
        raise Refused(400, f"size must be one of {', '.join(SIZES)}")
    sandbox.reset(seed, size)
    return 200, sandbox.world()


async def post_limits(sandbox: Sandbox, call: ControlCall) -> Reply:
    given = _json_object(call, {"platform", "enforced"})
    if not isinstance(given.get("enforced"), bool):
        raise Refused(400, "enforced must be true or false")
    platforms = sandbox.state.platforms
    name = given.get("platform")
    if name is not None and name not in platforms:
        raise Refused(400, f"platform must be one of {', '.join(platforms)}")
    for chosen in [name] if name else list(platforms):
        platforms[chosen].limits_enforced = given["enforced"]
    return 200, {"platforms": {key: {"enforced": value.limits_enforced} for key, value in platforms.items()}}


async def get_ca(sandbox: Sandbox, call: ControlCall) -> Reply:
    return 200, sandbox.ca_pem


async def get_coverage(sandbox: Sandbox, call: ControlCall) -> Reply:
    return 200, coverage.as_json()


async def get_refused(sandbox: Sandbox, call: ControlCall) -> Reply:
    return 200, sandbox.state.refusals.as_json()


def _json(call: ControlCall) -> Any:
    if len(call.body) > MAX_CONTROL_BYTES:
        raise Refused(413, f"the body is over {MAX_CONTROL_BYTES} bytes")
    try:
        return orjson.loads(call.body or b"{}")
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error


def _json_object(call: ControlCall, known: set[str]) -> dict[str, Any]:
    given = _json(call)
    if not isinstance(given, dict):
        raise Refused(400, "the body must be a JSON object")
    if unknown := sorted(given.keys() - known):
        raise Refused(400, f"unknown key {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return given


def _number(given: dict[str, Any], key: str) -> float:
    value = given[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(400, f"{key} must be a number")
    return float(value)


def _moment(value: object) -> datetime:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError as error:
        raise Refused(400, "now must be RFC 3339, e.g. 2026-11-21T10:00:00Z") from error


def _whole_number(query: Query, key: str, default: int) -> int:
    text = query.get(key, [str(default)])[-1]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(400, f"{key} must be a whole number")
    return int(text)


def _day(query: Query, key: str) -> date:
    text = query.get(key, [""])[-1]
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  a day of the account's zone
    except ValueError as error:
        raise Refused(400, f"{key} must be a day, e.g. 2026-11-21") from error


_Verb = Callable[[Sandbox, ControlCall], Awaitable[Reply]]
_NOUNS: dict[str, dict[str, _Verb]] = {
    "world": {"GET": get_world},
    "calls": {"GET": get_calls},
    "coverage": {"GET": get_coverage},
    "deliveries": {"GET": get_deliveries},
    "faults": {"GET": get_faults, "POST": post_faults, "DELETE": delete_faults},
    "clock": {"GET": get_clock, "POST": post_clock},
    "reset": {"POST": post_reset},
    "limits": {"POST": post_limits},
    "refused": {"GET": get_refused},
    "ca.pem": {"GET": get_ca},
}
