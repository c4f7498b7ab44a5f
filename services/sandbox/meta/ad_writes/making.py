"""Ad objects made and changed: the parts that every kind shares.

A create answers the new id, an update and a delete `{"success": true}`; `fields` reads back in the same call, and
`execution_options=["validate_only"]` only checks (O, marketing-api/reference/ad-campaign-group).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from services.sandbox.meta.ad_writes import refusals, statuses
from services.sandbox.meta.ad_writes.labels import attach, read_labels
from services.sandbox.meta.ad_writes.parameters import read_parameters
from services.sandbox.meta.inputs import choice
from services.sandbox.meta.operations import Context
from services.sandbox.meta.read_back import changed
from services.sandbox.meta.world import Moment, Node, World

Given = Mapping[str, Any]
MONEY = frozenset(
    {
        "daily_budget", "lifetime_budget", "spend_cap", "daily_spend_cap", "lifetime_spend_cap",
        "daily_min_spend_target", "lifetime_min_spend_target",
    }
)  # fmt: skip
"""Taken as whole minor units (S), shown as text (M)."""
_NEVER_SHOWN = {"execution_options", "date_format", "include_demolink_hashes"}
EDGES = {"campaign": "campaigns", "adset": "adsets", "ad": "ads", "adcreative": "adcreatives", "pixel": "adspixels"}


def now_of(context: Context) -> datetime:
    return context.around.clock.now()


def given_for(context: Context, kind: str, verb: str) -> dict[str, Any]:
    """Raises: GraphError 100; a new object is active or paused (O)."""
    given = read_parameters(kind, verb, context.params, now_of(context))
    if verb == "create" and "status" in given:
        choice(context.params, "status", ("ACTIVE", "PAUSED"))
    return given


def only_validates(given: Given) -> bool:
    return "validate_only" in (given.get("execution_options") or ())


def moment_in(account: Node, at: datetime) -> Moment:
    """Meta writes ad objects' times in the account's zone (M)."""
    zone = timezone(timedelta(hours=account.values.get("timezone_offset_hours_utc", 0)))
    return Moment.fromtimestamp(int(at.timestamp()), zone)


def shown_values(account: Node, given: Given) -> dict[str, Any]:
    """Parameters as the fields of the same name show them."""
    return {name: _shown(account, name, value) for name, value in given.items() if name not in _NEVER_SHOWN}


def referenced(context: Context, name: str, node_id: object, kind: str, account: str) -> Node:
    """An object that a parameter names. Raises: GraphError 100 when it is not one of the account's, or gone."""
    node = context.world.nodes.get(str(node_id))
    if node is None or node.kind != kind or node.account != account:
        raise refusals.unknown_parent(name, str(node_id))
    if node.values.get("effective_status", node.status) in statuses.GONE:
        raise refusals.parent_is_gone(name)
    return node


def make(context: Context, kind: str, values: Mapping[str, Any], account: Node, above: Node) -> Node:
    """A new object below `above`, first in the lists of everything over it. Raises: GraphError 100 for its labels."""
    world, now = context.world, now_of(context)
    labels = read_labels(context, account, values["adlabels"]) if values.get("adlabels") else []
    node_id = world.new_id("ad")
    moment = moment_in(account, now)
    status = str(values.get("status", "ACTIVE"))
    shared: dict[str, Any] = {"id": node_id, "account_id": account.values["account_id"]}
    if kind in {"campaign", "adset", "ad"}:
        parent = None if kind == "campaign" else above.values["effective_status"]
        reviewing = kind == "ad" and status == "ACTIVE"
        effective = statuses.effective_status(kind, status, parent, reviewing=reviewing)
        shared |= {
            "status": status,
            "configured_status": status,
            "effective_status": effective,
            "created_time": moment,
            "updated_time": moment,
        }
    node = Node(
        id=node_id,
        kind=kind,
        account=account.id,
        values={**shared, **values, "adlabels": None},
        created_at=now,
        updated_at=now,
        parent=(above.kind, above.id),
        status=status,
    )
    listed_in = {over.id: over for over in (account, above, *_over(context, above))}
    world.create(node, listed_in=tuple(listed_in.values()), edge=EDGES[kind])
    if labels:
        attach(context, node, labels)
    return node


def change(context: Context, node: Node, values: Mapping[str, Any]) -> None:
    """Give an object new values; a new status goes down to what hangs below. Raises: GraphError 100 for its labels."""
    world = context.world
    account = world.nodes[node.account]
    changed = {name: value for name, value in values.items() if name != "adlabels"}
    if "adlabels" in values:
        attach(context, node, read_labels(context, account, values["adlabels"]))
    if node.kind != "adcreative":
        changed["updated_time"] = moment_in(account, now_of(context))
    status = values.get("status")
    if status is None:
        world.change(node, changed)
        return
    if node.kind == "adcreative":
        world.change(node, changed, status=status, hidden=status in statuses.GONE)
        return
    above = world.nodes[node.parent[1]].values.get("effective_status") if node.parent else None
    reviewing = node.kind == "ad" and status == "ACTIVE" and node.values["effective_status"] == statuses.REVIEWING
    effective = statuses.effective_status(node.kind, status, above, reviewing=reviewing)
    changed |= {"configured_status": status, "effective_status": effective}
    world.change(node, changed, status=status, hidden=effective in statuses.GONE)
    statuses.spread(world, node)
    if node.kind == "ad":
        show_creatives(world, world.nodes[node.id])


def show_creatives(world: World, ad: Node) -> None:
    """Let an ad list its creative, and the ad set above it those of its ads (S, `get_ad_creatives` of both)."""
    world.link(ad, "adcreatives", [str(ad.values["creative"])])
    adset = world.nodes[str(ad.values["adset_id"])]
    shown = dict.fromkeys(str(each.values["creative"]) for each in world.shown(adset, "ads"))
    world.link(adset, "adcreatives", list(shown))


def check_changeable(node: Node, given: Given) -> None:
    """Raises: GraphError 100 for what is deleted, or archived and not only renamed or deleted."""
    if node.status == "DELETED":
        raise refusals.is_deleted(node.kind)
    harmless = {"name", "execution_options"}
    if node.status == "ARCHIVED" and given.get("status") != "DELETED" and given.keys() - harmless:
        raise refusals.is_archived(node.kind)


def updater(check: Callable[[Context, Node, Given], None]) -> Callable[[Context], object]:
    """An operation that changes the named object after these checks of its kind."""

    def run(context: Context) -> object:
        node = context.named
        given = given_for(context, node.kind, "update")
        check_changeable(node, given)
        check(context, node, given)
        if not only_validates(given):
            values = shown_values(context.world.nodes[node.account], given)
            change(context, node, {**values, **_left_of_budget(node, given)})
        return changed(context, node)

    return run


def delete(context: Context) -> object:
    """What is deleted keeps its id and stays readable, but no list shows it by itself (O). Twice is as once (M)."""
    if context.named.status != "DELETED":
        change(context, context.named, {"status": "DELETED"})
    return {"success": True}


def _left_of_budget(node: Node, given: Given) -> dict[str, str]:
    """What was spent of the old budget is spent of the new one too."""
    for name in ("daily_budget", "lifetime_budget"):
        if given.get(name):
            spent = int(node.values.get(name) or 0) - int(node.values.get("budget_remaining") or 0)
            return {"budget_remaining": str(max(0, given[name] - max(0, spent)))}
    return {}


def _over(context: Context, above: Node) -> tuple[Node, ...]:
    """What lies over the object directly above, below the account: an ad is listed in its campaign too (S)."""
    parent = context.world.nodes.get(above.parent[1]) if above.kind == "adset" and above.parent else None
    return (parent,) if parent else ()


def _shown(account: Node, name: str, value: Any) -> Any:
    if name in MONEY:
        return str(value)
    if isinstance(value, datetime):
        return moment_in(account, value)
    if name == "special_ad_categories":
        return [] if value == ["NONE"] else value
    return value
