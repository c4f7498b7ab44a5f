"""Pixels of an ad account: made and changed (parameters S)."""

from services.sandbox.meta.ad_writes.making import given_for, moment_in, now_of, shown_values
from services.sandbox.meta.inputs import missing
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.read_back import answer, changed
from services.sandbox.meta.world import Node, Ref

SCOPES = ("ads_management",)


def _create(context: Context) -> object:
    """It is seen by whoever sees the ad account, and belongs to the account's business (M)."""
    account, now, world = context.named, now_of(context), context.world
    given = given_for(context, "pixel", "create")
    if not given.get("name"):
        raise missing("name")
    pixel_id = world.new_id("asset")
    values = {
        "id": pixel_id,
        **shown_values(account, given),
        "creation_time": moment_in(account, now),
        "is_unavailable": False,
        "owner_ad_account": Ref(account.id),
    }
    business = account.values.get("business")
    if isinstance(business, Ref):
        values["owner_business"] = business
    parent = (account.kind, account.id)
    pixel = Node(pixel_id, "pixel", account.id, values, now, now, parent)
    return answer(context, world.create(pixel, listed_in=(account,), edge="adspixels"))


def _update(context: Context) -> object:
    pixel = context.named
    given = given_for(context, "pixel", "update")
    context.world.change(pixel, shown_values(context.world.nodes[pixel.account], given))
    return changed(context, pixel)


OPERATIONS = (
    Operation("meta.ad_account.create_pixel", "POST", "{ad_account}/adspixels", _create, scopes=SCOPES),
    Operation("meta.pixel.update", "POST", "{pixel}", _update, scopes=SCOPES),
)
