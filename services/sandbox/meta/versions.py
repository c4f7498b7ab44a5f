"""Versions as the changelog lists them, and which calls fall under the Marketing API's shorter life of versions."""

from services.sandbox.meta.catalog import KINDS
from services.sandbox.meta.world import World

CURRENT = "v26.0"
SUPPORTED = ("v25.0", "v26.0")
RETIRED_FOR_MARKETING = ("v22.0", "v23.0", "v24.0")
"""Still answered by Graph itself: ends 2027-05-20, 2027-10-08 and 2028-02-18 (O, changelog/versions)."""
_OLDEST = (22, 0)
THREADS_HOST, THREADS_VERSION = "graph.threads.net", "v1.0"
"""Threads has one version; its own sample calls it without one as well (O, github.com/fbsamples/threads_api)."""


def serving_version(asked: str | None, host: str = "") -> str | None:
    """The version that answers: the app's own without one, the oldest usable for an expired one (O); None: unknown."""
    if host == THREADS_HOST:
        return THREADS_VERSION if asked in {None, THREADS_VERSION} else None
    if asked is None:
        return CURRENT
    if asked in SUPPORTED or asked in RETIRED_FOR_MARKETING:
        return asked
    major, minor = (int(part) for part in asked[1:].split("."))
    return f"v{_OLDEST[0]}.{_OLDEST[1]}" if (major, minor) < _OLDEST else None


def is_marketing(node_id: str, edge: str, world: World) -> bool:
    """Whether a call falls under the Marketing API's own life of versions."""
    node = world.nodes.get(node_id)
    return node_id.startswith("act_") or edge == "adaccounts" or (node is not None and KINDS[node.kind].marketing)
