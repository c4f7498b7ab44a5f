"""From a method and a path to what is asked for; versions as the changelog lists them."""

import re
from dataclasses import dataclass

from services.sandbox.meta.catalog import KINDS
from services.sandbox.meta.params import Params
from services.sandbox.meta.tokens import Token
from services.sandbox.meta.world import World

CURRENT = "v26.0"
SUPPORTED = ("v25.0", "v26.0")
RETIRED_FOR_MARKETING = ("v22.0", "v23.0", "v24.0")
"""Still answered by Graph itself: ends 2027-05-20, 2027-10-08 and 2028-02-18 (O, changelog/versions)."""
_OLDEST = (22, 0)
_VERSION = re.compile(r"v(\d{1,3})\.(\d{1,2})")
_OBJECT_ID = re.compile(r"[A-Za-z0-9_.\-]{1,120}")


@dataclass(frozen=True, slots=True)
class Route:
    """What a call asks for. `operation` None: not covered."""

    operation: str | None
    verb: str = ""
    """object, edge, multi_get, permissions or debug_token."""
    node_id: str = ""
    edge: str = ""


def split_version(path: str) -> tuple[str | None, tuple[str, ...]]:
    """The version as asked for, and the parts behind it."""
    parts = tuple(part for part in path.split("/") if part)
    if parts and _VERSION.fullmatch(parts[0]):
        return parts[0], parts[1:]
    return None, parts


def serving_version(asked: str | None) -> str | None:
    """The version that answers: the app's own without one, the oldest usable for an expired one (O); None: unknown."""
    if asked is None:
        return CURRENT
    if asked in SUPPORTED or asked in RETIRED_FOR_MARKETING:
        return asked
    major, minor = (int(part) for part in asked[1:].split("."))
    return f"v{_OLDEST[0]}.{_OLDEST[1]}" if (major, minor) < _OLDEST else None


def find_route(method: str, parts: tuple[str, ...], params: Params, world: World, token: Token | None) -> Route:
    """Never fails: what cannot be found out has the operation `meta.object`."""
    if method != "GET" or len(parts) > 2:
        return Route(None)
    if not parts:
        return Route("meta.multi_get", "multi_get") if "ids" in params else Route("meta.root", "root")
    if parts == ("debug_token",):
        return Route("meta.debug_token", "debug_token")
    if parts[0] in {"oauth", "search"} or not _OBJECT_ID.fullmatch(parts[0]):
        return Route(None)
    node_id = _own_id(token) if parts[0] == "me" else parts[0]
    node = world.nodes.get(node_id)
    kind = node.kind if node else "object"
    if len(parts) == 1:
        if "ids" in params and node is None:
            return Route(f"meta.multi_get.{parts[0]}", "multi_get", edge=parts[0])
        return Route(f"meta.{kind}", "object", node_id)
    if parts[1] == "permissions" and kind in {"user", "object"}:
        return Route("meta.user.permissions", "permissions", node_id)
    return Route(f"meta.{kind}.{parts[1]}", "edge", node_id, parts[1])


def is_marketing(node_id: str, edge: str, world: World) -> bool:
    """Whether a call falls under the Marketing API's own life of versions."""
    node = world.nodes.get(node_id)
    return node_id.startswith("act_") or edge == "adaccounts" or (node is not None and KINDS[node.kind].marketing)


def _own_id(token: Token | None) -> str:
    return token.owner[1] if token else "me"
