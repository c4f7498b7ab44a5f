"""Copies of campaigns, ad sets and ads, alone or with what hangs below them.

Parameters S; answers `copied_..._id` and `ad_object_ids` T (several clients read both); that a synchronous deep copy
holds few objects O (marketing-api/reference/ad-campaign-group/copies), the number below M.
"""

from collections.abc import Mapping
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.ad_writes import refusals
from services.sandbox.meta.ad_writes.making import check_changeable, make, referenced, show_creatives
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.world import Node, Ref

MOST_COPIED = 51  # M
STATUS_OPTIONS = ("ACTIVE", "INHERITED_FROM_SOURCE", "PAUSED")  # S
RENAMES = ("DEEP_RENAME", "ONLY_TOP_LEVEL_RENAME", "NO_RENAME")  # O
_BELOW = {"campaign": "adsets", "adset": "ads"}
_TOP_PARENT = {"adset": ("campaign_id", "campaign"), "ad": ("adset_id", "adset")}
_NOT_COPIED = {
    "id", "status", "configured_status", "effective_status", "created_time", "updated_time", "issues_info", "name",
    "source_campaign_id", "source_adset_id", "source_ad_id",
}  # fmt: skip


def _copy(context: Context) -> object:
    source = context.named
    check_changeable(source, {})
    option = inputs.choice(context.params, "status_option", STATUS_OPTIONS) or "PAUSED"
    deep = bool(inputs.flag(context.params, "deep_copy"))
    renames = inputs.structure(context.params, "rename_options")
    above = _above(context, source)
    sources = _with_below(context, source) if deep else [source]
    if len(sources) > MOST_COPIED:
        raise refusals.too_many_copies(MOST_COPIED)
    copies: dict[str, Node] = {}
    for node in sources:
        over = above if node is source else copies[node.parent[1]] if node.parent else above
        name = _renamed(str(node.values["name"]), renames if isinstance(renames, dict) else {}, top=node is source)
        copies[node.id] = _copy_one(context, node, over, option, name)
    made = [{"ad_object_type": node.kind, "source_id": node.id, "copied_id": copies[node.id].id} for node in sources]
    return {f"copied_{source.kind}_id": copies[source.id].id, "ad_object_ids": made}


def _above(context: Context, source: Node) -> Node:
    """Where the copy goes: beside its source, or to another campaign or ad set of the same account."""
    world = context.world
    wanted, kind = _TOP_PARENT.get(source.kind, ("", ""))
    named = inputs.text(context.params, wanted) if wanted else None
    if named:
        return referenced(context, wanted, named, kind, source.account)
    return world.nodes[source.parent[1] if source.parent else source.account]


def _with_below(context: Context, source: Node) -> list[Node]:
    found = [source]
    edge = _BELOW.get(source.kind)
    for child in context.world.listed(source, edge) if edge else ():
        if not child.hidden:
            found += _with_below(context, child)
        if len(found) > MOST_COPIED:
            break
    return found


def _copy_one(context: Context, source: Node, above: Node, option: str, name: str) -> Node:
    account = context.world.nodes[source.account]
    kept = {key: value for key, value in source.values.items() if key not in _NOT_COPIED}
    status = str(source.values["status"]) if option == "INHERITED_FROM_SOURCE" else option
    values: dict[str, Any] = {**kept, "name": name, "status": status, f"source_{source.kind}_id": source.id}
    if above.kind == "campaign":
        values |= {"campaign_id": above.id, "campaign": Ref(above.id)}
    elif above.kind == "adset":
        campaign_id = str(above.values["campaign_id"])
        values |= {"adset_id": above.id, "adset": Ref(above.id), "campaign_id": campaign_id}
        values["campaign"] = Ref(campaign_id)
    made = make(context, source.kind, values, account, above)
    if source.kind == "ad":
        show_creatives(context.world, made)
    return made


def _renamed(name: str, options: Mapping[str, Any], *, top: bool) -> str:
    strategy = options.get("rename_strategy") or "ONLY_TOP_LEVEL_RENAME"
    if strategy == "NO_RENAME" or (strategy == "ONLY_TOP_LEVEL_RENAME" and not top):
        return name
    prefix, suffix = options.get("rename_prefix") or "", options.get("rename_suffix", " - Copy")
    return f"{prefix}{name}{suffix or ''}"


OPERATIONS = tuple(
    Operation(f"meta.{kind}.copy", "POST", f"{{{kind}}}/copies", _copy, scopes=("ads_management",))
    for kind in ("campaign", "adset", "ad")
)
