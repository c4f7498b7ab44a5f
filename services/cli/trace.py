"""`platformbus trace show`: from any id the chain of what caused what, out of the records of all services."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from services.cli.bus import Bus, bus_of
from services.cli.errors import AskedWrongly, Failed
from services.cli.options import AsJson
from services.cli.settings import SERVICES, ServiceName

commands = typer.Typer(no_args_is_help=True, help="Traces: from any id, what caused what.")

MOST_ROUNDS: Final = 8
MOST_IDS: Final = 500
IDS_AT_ONCE: Final = 50
"""What one question to a service may name."""

_COLUMNS = (
    ("at", "AT"),
    ("after", "AFTER"),
    ("service", "SERVICE"),
    ("drawn", "WHAT"),
    ("id", "ID"),
    ("words", "DETAIL"),
)

Step = dict[str, Any]


@dataclass(slots=True)
class Found:
    """What the services told."""

    steps: list[Step] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    """Service -> why it said nothing."""
    cut_off: bool = False
    """Whether there was more to follow than is followed."""


@commands.command("show")
def show(
    ctx: typer.Context,
    id: Annotated[
        str,
        typer.Argument(help="Of a request, event, webhook, call or connection; or an idempotency key or correlation."),
    ],
    as_json: AsJson = False,
) -> None:
    """Show the chain that an id belongs to, from its cause to its last effect. Ends with 1 if no service knows it."""
    bus = bus_of(ctx, as_json)
    wanted = id.strip()
    if not wanted:
        raise AskedWrongly("give an id, a text that is not empty")
    found = _search(bus, wanted)
    if not found.steps and found.unanswered:
        raise Failed("; ".join(f"{service}: {why}" for service, why in found.unanswered.items()))
    if not found.steps:
        raise Failed(
            f"no service knows {wanted}: its records may be older than what is kept, or it is an id of somebody else"
        )
    chain = in_order(found.steps)
    if bus.out.as_json:
        bus.out.json(
            {"id": wanted, "steps": chain, "unanswered": found.unanswered, "cut_off": found.cut_off},
        )
    else:
        bus.out.table(with_words(chain), _COLUMNS)
    if found.cut_off:
        bus.out.remark("there is more than is shown: ask for one of the ids above")
    for service, why in found.unanswered.items():
        bus.out.remark(f"{service} did not answer, so the chain may lack steps: {why}")
    if found.unanswered:
        raise typer.Exit(1)


def _search(bus: Bus, wanted: str) -> Found:
    """Ask every service for the id, then for what the answers say to follow, until nothing new is named."""
    found, asked, ask_next = Found(), {wanted}, [wanted]
    for _ in range(MOST_ROUNDS):
        steps = [step for service in SERVICES for step in _ask(bus, service, ask_next, found)]
        found.steps += steps
        named = dict.fromkeys(other for step in steps for other in step["follow"] if other not in asked)
        ask_next = list(named)[: MOST_IDS - len(asked)]
        found.cut_off = found.cut_off or len(ask_next) < len(named)
        asked.update(ask_next)
        if not ask_next:
            return found
    found.cut_off = True
    return found


def _ask(bus: Bus, service: ServiceName, ids: Sequence[str], found: Found) -> Iterable[Step]:
    if service in found.unanswered:
        return
    if bus.settings.url(service) is None:
        found.unanswered[service] = f"{service.upper()}_URL is not set"
        return
    for start in range(0, len(ids), IDS_AT_ONCE):
        try:
            answer = bus.ask(
                service, "GET", "/admin/trace", params={"id": ids[start : start + IDS_AT_ONCE]}, for_all=True
            )
        except Failed as error:
            found.unanswered[service] = str(error)
            return
        yield from ({"service": service, **step} for step in answer["steps"])


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Give the steps as a tree in the order of reading: each after its cause, with its `depth`; what is the same, once.

    A step stands below the latest of its causes that came before it; causes that nobody told of are passed over.
    """
    single = _merged(steps)
    places: dict[str, list[int]] = {}
    for place, step in enumerate(single):
        for name in (f"{step['kind']}:{step['id']}", f":{step['id']}"):
            places.setdefault(name, []).append(place)
    children: dict[int | None, list[int]] = {}
    for place, step in enumerate(single):
        children.setdefault(_cause(place, step, places), []).append(place)
    ordered: list[Step] = []

    def walk(parent: int | None, depth: int) -> None:
        for place in children.get(parent, ()):
            ordered.append(single[place] | {"depth": depth})
            walk(place, depth + 1)

    walk(None, 0)
    return ordered


def _cause(place: int, step: Step, places: dict[str, list[int]]) -> int | None:
    """The step's cause; else an earlier step of the same thing, e.g. an event's making before its reading."""
    causes = [other for name in step["caused_by"] for other in places.get(name, ()) if other < place]
    if causes:
        return max(causes)
    own = [other for other in places[f"{step['kind']}:{step['id']}"] if other < place]
    return own[0] if own else None


def _merged(steps: Sequence[Step]) -> list[Step]:
    """By time, causes before what they caused at the same moment; what a service told twice is put together."""
    by_name: dict[tuple[str, str, str, str], Step] = {}
    for step in steps:
        name = (step["service"], step["kind"], step["id"], step["what"])
        known = by_name.get(name)
        if known is None:
            by_name[name] = dict(step)
            continue
        known["at"] = min(known["at"], step["at"], key=_time)
        for links in ("caused_by", "follow"):
            known[links] = list(dict.fromkeys([*known[links], *step[links]]))
        known["detail"] = step["detail"] | known["detail"]
    # In one transaction an event is read before anything is done with it.
    return _causes_first(sorted(by_name.values(), key=lambda step: (_time(step["at"]), step["kind"] != "event")))


def _causes_first(steps: Sequence[Step]) -> list[Step]:
    """Clocks of services differ by moments, and one transaction has one time: a cause still comes first."""
    waiting = list(steps)
    ordered: list[Step] = []
    told: set[str] = set()
    names = {f"{step['kind']}:{step['id']}" for step in waiting}
    while waiting:
        ready = next((step for step in waiting if _untold(step, names, told) == 0), waiting[0])
        waiting.remove(ready)
        ordered.append(ready)
        told.add(f"{ready['kind']}:{ready['id']}")
    return ordered


def _untold(step: Step, names: set[str], told: set[str]) -> int:
    own = f"{step['kind']}:{step['id']}"
    return sum(name in names and name not in told and name != own for name in step["caused_by"])


def with_words(chain: Sequence[Step]) -> list[Step]:
    """Add what the table shows: the tree, the time since the first step, the details as words."""
    first = min(_time(step["at"]) for step in chain)
    return [
        step
        | {
            "drawn": f"{'  ' * step['depth']}{'└ ' if step['depth'] else ''}{step['what']}",
            "after": f"+{(_time(step['at']) - first).total_seconds():.3f} s",
            "words": ", ".join(f"{name} {value}" for name, value in step["detail"].items() if value is not None),
        }
        for step in chain
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
