"""The order of a list, where a call asks for another than its own."""

from collections.abc import Sequence

from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.node import Node
from services.sandbox.meta.params import Params

ORDERS = ("chronological", "reverse_chronological")
"""O (docs/graph-api/advanced, "ordering"), S for comments; other lists take the words too (M)."""
SORTS = {"phone_number": "last_onboarded_time"}
"""Kind -> the field that `sort=<field>.asc|desc` takes (O, business-messaging-api v23.0)."""
_SORT_BY = {"NAME": "name", "LAST_FIRED_TIME": "last_fired_time"}  # S, AdsPixel.SortBy


def asks_for_order(params: Params) -> bool:
    return any(name in params for name in ("order", "sort", "sort_by", "reverse"))


def ordered(nodes: Sequence[Node], kind: str, params: Params) -> Sequence[Node]:
    """Raises: GraphError 100 for an order that the list does not have."""
    order, sort, sort_by = params.get("order"), params.get("sort"), params.get("sort_by")
    if order is not None and order in ORDERS:
        nodes = sorted(nodes, key=lambda node: node.created_at, reverse=order == "reverse_chronological")
    elif order is not None and kind in {"comment", "post"}:
        raise bad_parameter(f"Param order must be one of {{{', '.join(ORDERS)}}}")  # M
    if "reverse" in params and kind == "threads_post":
        # O, docs/threads/retrieve-and-manage-replies: the newest first unless it is false.
        newest_first = params["reverse"].lower() not in {"false", "0"}
        nodes = sorted(nodes, key=lambda node: node.created_at, reverse=newest_first)
    if sort is not None and kind in SORTS:
        field, _, direction = sort.partition(".")
        if field != SORTS[kind] or direction not in {"asc", "desc"}:
            raise bad_parameter(f"Param sort must be one of {{{SORTS[kind]}.asc, {SORTS[kind]}.desc}}")  # M
        nodes = sorted(nodes, key=lambda node: str(node.values.get(field, "")), reverse=direction == "desc")
    if sort_by is not None and kind == "pixel":
        if sort_by not in _SORT_BY:
            raise bad_parameter(f"Param sort_by must be one of {{{', '.join(_SORT_BY)}}}")  # M
        field = _SORT_BY[sort_by]
        nodes = sorted(nodes, key=lambda node: str(node.values.get(field, "")), reverse=field != "name")
    return nodes
