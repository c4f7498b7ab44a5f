"""How Postgres would find rows: which tables a statement reads from end to end."""

import json
from typing import Any

from libs.postgres import Connection

LARGE_ROWS = 5_000
"""Tables with fewer rows than this may be read as a whole: an index would not be used for them."""


async def tables_read_whole(conn: Connection, statement: str, *arguments: Any) -> set[str]:
    """Give the tables that the plan of a statement scans sequentially; analyze the tables before."""
    text = await conn.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    found: set[str] = set()

    def walk(node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan":
            found.add(node["Relation Name"])
        for child in node.get("Plans", ()):
            walk(child)

    walk(json.loads(text)[0]["Plan"])
    return found
