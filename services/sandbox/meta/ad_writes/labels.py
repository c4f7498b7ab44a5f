"""Labels of ad objects, by which a client finds again what it made (T: an own key survives a lost answer).

Calls and parameters S (AdLabel, `adlabels` of each object, `...bylabels` of the account); that a new name makes a
label is O (marketing-api/reference/ad-label).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.read_back import answer, changed
from services.sandbox.meta.world import Moment, Node, Ref

SCOPES = ("ads_management",)
LISTED: Mapping[str, str] = {"campaign": "campaigns", "adset": "adsets", "ad": "ads", "adcreative": "adcreatives"}
MAX_LABELS = 50  # M


def read_labels(context: Context, account: Node, given: Sequence[Any]) -> list[Node]:
    """Labels by id or by name; a name that the account does not have yet makes one. Raises: GraphError 100."""
    if len(given) > MAX_LABELS:
        raise bad_parameter(f"Param adlabels may hold {MAX_LABELS} labels")
    return [_label(context, account, item) for item in given]


def attach(context: Context, node: Node, labels: Sequence[Node]) -> None:
    """Let the object have these labels and no others."""
    world, edge = context.world, LISTED[node.kind]
    for shown in node.values.get("adlabels") or ():
        old = world.nodes.get(str(shown.get("id"))) if isinstance(shown, dict) else None
        if old is not None:
            world.delist(node, old, edge)
    for label in labels:
        world.enlist(node, label, edge)
    world.change(node, {"adlabels": [_shown(label) for label in labels]})


def _label(context: Context, account: Node, item: object) -> Node:
    label_id, name = (item.get("id"), item.get("name")) if isinstance(item, dict) else (item, None)
    if label_id:
        label = context.world.nodes.get(str(label_id))
        if label is None or label.kind != "adlabel" or label.account != account.id:
            raise bad_parameter(f"Param adlabels: {str(label_id)[:60]} is not a label of this ad account")
        return label
    if not isinstance(name, str) or not name:
        raise bad_parameter("Param adlabels: each label needs an id or a name")
    same = (label for label in context.world.listed(account, "adlabels") if label.values["name"] == name)
    return next(same, None) or _make(context, account, name)


def _make(context: Context, account: Node, name: str) -> Node:
    world, now = context.world, context.around.clock.now()
    moment = Moment.fromtimestamp(int(now.timestamp()), now.tzinfo)
    label_id = world.new_id("ad")
    times = {"created_time": moment, "updated_time": moment}
    values = {"id": label_id, "name": name, "account": Ref(account.id), **times}
    label = Node(label_id, "adlabel", account.id, values, now, now, (account.kind, account.id))
    return world.create(label, listed_in=(account,), edge="adlabels")


def _shown(label: Node) -> dict[str, Any]:
    """Inside the objects that have it."""
    times = {name: f"{label.values[name]:%Y-%m-%dT%H:%M:%S%z}" for name in ("created_time", "updated_time")}
    return {"id": label.id, "name": label.values["name"], **times}


def _create(context: Context) -> object:
    return answer(context, _make(context, context.named, inputs.required(context.params, "name")))


def _rename(context: Context) -> object:
    label = context.world.change(context.named, {"name": inputs.required(context.params, "name")})
    return changed(context, label)


def _delete(context: Context) -> object:
    """The objects that had it lose it (M)."""
    label, world = context.named, context.world
    for edge in LISTED.values():
        for node in list(world.listed(label, edge)):
            world.delist(node, label, edge)
            kept = [shown for shown in node.values["adlabels"] if shown["id"] != label.id]
            world.change(node, {"adlabels": kept})
    world.remove(label)
    return {"success": True}


def _add(context: Context) -> object:
    """More labels for one object; those that it has stay (S)."""
    node = context.named
    account = context.world.nodes[node.account]
    given = inputs.items(context.params, "adlabels")
    if given is None:
        raise inputs.missing("adlabels")
    more = read_labels(context, account, given)
    has = [context.world.nodes[shown["id"]] for shown in node.values.get("adlabels") or ()]
    attach(context, node, list({label.id: label for label in (*has, *more)}.values()))
    return {"success": True}


def _by_labels(context: Context) -> object:
    """Objects that have one of the labels, or with `operator=ALL` all of them."""
    account, params = context.named, context.params
    wanted = inputs.texts(params, "ad_label_ids")
    if not wanted:
        raise inputs.missing("ad_label_ids")
    every = inputs.choice(params, "operator", ("ALL", "ANY")) == "ALL"
    kind = next(kind for kind, edge in LISTED.items() if context.edge == f"{edge}bylabels")
    labels = [context.world.nodes.get(label_id) for label_id in wanted]
    listed = [
        {node.id: node for node in context.world.shown(label, LISTED[kind])}
        if label and label.kind == "adlabel"
        else {}
        for label in labels
    ]
    found = {node_id: node for rows in listed for node_id, node in rows.items()}
    rows = [
        node
        for node_id, node in found.items()
        if node.account == account.id and not node.hidden and (not every or all(node_id in rows for rows in listed))
    ]
    return context.reader.rows(account, context.edge, kind, rows, params)


OPERATIONS = (
    Operation("meta.ad_account.create_adlabel", "POST", "{ad_account}/adlabels", _create, scopes=SCOPES),
    Operation("meta.adlabel.update", "POST", "{adlabel}", _rename, scopes=SCOPES),
    Operation("meta.adlabel.delete", "DELETE", "{adlabel}", _delete, scopes=SCOPES),
    *(Operation(f"meta.{kind}.add_adlabels", "POST", f"{{{kind}}}/adlabels", _add, scopes=SCOPES) for kind in LISTED),
    *(
        Operation(f"meta.ad_account.{edge}bylabels", "GET", f"{{ad_account}}/{edge}bylabels", _by_labels)
        for edge in LISTED.values()
    ),
)
