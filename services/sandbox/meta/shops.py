"""What catalogs and lead forms hold: products, feeds, leads (fields S, facebook-business 26)."""

from collections.abc import Callable

from services.sandbox.meta.dice import Dice
from services.sandbox.meta.families import ID_STEP, Family, whole
from services.sandbox.meta.node import Late, Moment, Node, Ref
from services.sandbox.meta.world import World

_GOODS = ("lamp", "chair", "table", "vase", "rug", "shelf", "mirror", "clock")
_PEOPLE = ("Mia Lindt", "Omar Said", "Jo Park", "Ana Prado", "Tom Weber", "Lea Roy", "Ken Ito", "Eva Novak")
LEAD_DAYS = 85
"""Leads can be read for 90 days (O)."""


def fill_catalog(world: World, catalog: Node, products: int, feeds: int) -> None:
    """Products come from the feeds in turn, all of them from the first one if there is but one."""
    made = [_feed(world, catalog, number) for number in range(feeds)]

    def make(index: int) -> Node:
        dice, created = Dice(family.seed, index), family.created_at(index)
        number, node_id = family.total - index, family.node_id(index)
        name = f"{dice.choice(_GOODS).capitalize()} {number}"
        values = {
            "id": node_id,
            "name": name,
            "retailer_id": f"sku-{number}",
            "description": f"{name}, made by hand",
            "brand": catalog.values["name"],
            "availability": "in stock",
            "condition": "new",
            "currency": "USD",
            "price": f"${dice.between(5, 400)}.00",
            "inventory": dice.between(1, 90),
            "url": f"https://shop.example/products/{number}",
            "image_url": f"https://shop.example/products/{number}.jpg",
            "review_status": "approved",
            "visibility": "published",
            "product_catalog": Ref(catalog.id),
        }
        if made:
            values["product_feed"] = Ref(made[index % len(made)].id)
        return Node(node_id, "product", catalog.id, values, created, family.updated_at(index), ("catalog", catalog.id))

    family = _family(world, "product", catalog, products, 300, make)
    catalog.runs["products"] = whole(family)
    for number, feed in enumerate(made):
        count = len(range(number, products, len(made)))
        feed.values["product_count"] = count


def _feed(world: World, catalog: Node, number: int) -> Node:
    created = world.past(310, 390)
    node_id = world.new_id("asset")
    values = {
        "id": node_id,
        "name": f"Feed {number + 1}",
        "file_name": f"feed{number + 1}.csv",
        "country": "US",
        "default_currency": "USD",
        "deletion_enabled": True,
        "encoding": "AUTODETECT",
        "delimiter": "AUTODETECT",
        "created_time": Moment.at(created),
    }
    node = Node(node_id, "product_feed", catalog.id, values, created, world.touched(created), ("catalog", catalog.id))
    return world.add(node, listed_in=(catalog,), edge="product_feeds")


def fill_lead_form(world: World, page: Node, number: int, leads: int) -> Node:
    """A form of the page with so many answers."""
    created = world.past(90, 200)
    form_id = world.new_id("asset")
    questions = [
        {"key": key, "label": label, "type": kind}
        for key, label, kind in (("full_name", "Full name", "FULL_NAME"), ("email", "Email", "EMAIL"))
    ]
    values = {
        "id": form_id,
        "name": f"Form {number + 1}",
        "status": "ACTIVE",
        "locale": "en_US",
        "created_time": Moment.at(created),
        "page": Ref(page.id),
        "page_id": page.id,
        "questions": questions,
        "privacy_policy_url": f"{page.values['website']}privacy",
        "follow_up_action_url": page.values["website"],
        "expired_leads_count": 0,
    }
    form = Node(form_id, "leadgen_form", page.id, values, created, world.touched(created), ("page", page.id))
    world.add(form, listed_in=(page,), edge="leadgen_forms")

    def make(index: int) -> Node:
        dice, at = Dice(family.seed, index), family.created_at(index)
        node_id = family.node_id(index)
        name = dice.choice(_PEOPLE)
        answers = {"full_name": name, "email": f"{name.split()[0].lower()}{family.total - index}@mail.example"}
        lead = {
            "id": node_id,
            "created_time": Moment.at(at),
            "form_id": form_id,
            "is_organic": True,
            "platform": "fb",
            "field_data": [{"name": key, "values": [answer]} for key, answer in answers.items()],
        }
        return Node(node_id, "lead", page.id, lead, at, at, ("leadgen_form", form_id))

    family = _family(world, "lead", form, leads, LEAD_DAYS, make)
    form.runs["leads"] = whole(family)
    for field in ("leads_count", "organic_leads_count"):
        form.values[field] = Late(lambda: len(world.shown(form, "leads")))
    return form


def _family(
    world: World, kind: str, owner: Node, shown: int, oldest_days: float, make: Callable[[int], Node]
) -> Family:
    family = Family(
        kind=kind,
        owner=owner.account,
        shown=shown,
        seed=world.random.getrandbits(63),
        start=world.start,
        newest_days=0.2,
        oldest_days=oldest_days,
        base=world.reserve("asset", shown * ID_STEP),
        make=make,
    )
    return world.nodes.found(family)
