"""How many people liked a post or reacted to it: counts without names.

Who they are is told only where they let the app see them (O, reference/object/reactions): here nobody does, so `data`
stays empty and the summary counts. Kinds of reactions S (Comment, PagePost); all of the world's are likes.
"""

from collections.abc import Iterable
from typing import Any

from services.sandbox.meta.inputs import choice
from services.sandbox.meta.listing import summary_of
from services.sandbox.meta.operations import Context, Operation

REACTIONS = ("NONE", "LIKE", "LOVE", "WOW", "HAHA", "SAD", "ANGRY", "THANKFUL", "PRIDE", "CARE", "FIRE", "HUNDRED")  # S


def _likes(context: Context) -> object:
    return _counted(context, "like", _total(context))


def _reactions(context: Context) -> object:
    kind = choice(context.params, "type", REACTIONS)
    return _counted(context, "reaction", _total(context) if kind in {None, "NONE", "LIKE"} else 0)


def _total(context: Context) -> int:
    node = context.named
    counted: Iterable[object] = ((node.totals or {}).get("likes"), node.values.get("like_count"))
    return next((number for number in counted if isinstance(number, int)), 0)


def _counted(context: Context, kind: str, total: int) -> dict[str, Any]:
    summary = summary_of(kind, lambda: total, context.params)
    if summary and "has_liked" in summary:
        summary["has_liked"] = context.token.owner[1] in context.named.edges.get("likes", ())
    return {"data": []} | ({} if summary is None else {"summary": summary})


OPERATIONS = tuple(
    Operation(f"meta.{kind}.{edge}", "GET", f"{{{kind}}}/{edge}", run)
    for kind in ("post", "comment")
    for edge, run in (("likes", _likes), ("reactions", _reactions))
)
