"""Containers: what an Instagram account or a Threads profile has made ready and not yet published.

IN_PROGRESS -> FINISHED or ERROR, FINISHED -> PUBLISHED, and EXPIRED after 24 hours unpublished (O, ig-container and
threads/troubleshooting). How long media take is not documented: short here, by the sandbox's clock.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.meta.operations import Context
from services.sandbox.meta.world import Node, World

LIFE = timedelta(hours=24)  # O
DAY = timedelta(hours=24)
PROCESSING = {"TEXT": timedelta(0), "IMAGE": timedelta(seconds=1), "VIDEO": timedelta(seconds=3)}
"""Not documented."""
IN_PROGRESS, FINISHED, PUBLISHED, ERROR, EXPIRED = "IN_PROGRESS", "FINISHED", "PUBLISHED", "ERROR", "EXPIRED"
_TEXTS = {
    IN_PROGRESS: "In Progress: Media is still being processed.",
    FINISHED: "Finished: Media has been uploaded and it is ready to be published.",
    PUBLISHED: "Published: Media has been published successfully.",
    EXPIRED: "Expired: Media has not been published within 24 hours.",
}
"""`status` of an Instagram container (T); of a failed one it holds the subcode (O)."""


def open_container(
    context: Context,
    owner: Node,
    kind: str,
    draft: Mapping[str, Any],
    takes: timedelta | None,
    problem: str | None = None,
) -> Node:
    """A new container. `takes` None: it waits for an upload; `problem`: what it fails with in the end."""
    world, now = context.world, context.around.clock.now()
    container_id = world.new_id("thread" if kind == "thread_container" else "media")
    values = {"id": container_id, **_state(kind, IN_PROGRESS), "draft": dict(draft), "problem": problem}
    container = world.create(Node(container_id, kind, owner.id, values, now, now, (owner.kind, owner.id)))
    world.agenda.at(now + LIFE, _expiry(world, container_id))
    if takes is not None:
        process(context, container, takes)
    return world.nodes[container_id]


def process(context: Context, container: Node, takes: timedelta) -> None:
    """It becomes ready, or fails, when its media have been worked through."""
    act = _readiness(context.world, container.id)
    if not takes:
        act(context.around.clock.now())
    else:
        context.world.agenda.at(context.around.clock.now() + takes, act)


def uploaded(context: Context, container: Node) -> None:
    """The bytes of a resumable upload are there."""
    process(context, container, PROCESSING["VIDEO"])


def state_of(container: Node) -> str:
    return str(container.values["status_code" if container.kind == "container" else "status"])


def set_state(world: World, container: Node, state: str) -> None:
    world.change(container, _state(container.kind, state, container.values.get("problem")))


def recent(owner: Node, counter: str, now: datetime) -> list[float]:
    """Moments within the last 24 hours at which something was counted against the owner's quota."""
    since = (now - DAY).timestamp()
    return [moment for moment in owner.values.get(counter) or () if moment > since]


def _state(kind: str, state: str, problem: object = None) -> dict[str, Any]:
    if kind == "container":
        text = _TEXTS.get(state, f"Error: Media upload has failed with error code {problem}")
        return {"status_code": state, "status": text}
    return {"status": state, "error_message": problem if state == ERROR else None}


def _readiness(world: World, container_id: str) -> Callable[[datetime], None]:
    def act(_: datetime) -> None:
        container = world.nodes.get(container_id)
        if container is not None and state_of(container) == IN_PROGRESS:
            set_state(world, container, ERROR if container.values["problem"] else FINISHED)

    return act


def _expiry(world: World, container_id: str) -> Callable[[datetime], None]:
    def act(_: datetime) -> None:
        container = world.nodes.get(container_id)
        if container is not None and state_of(container) != PUBLISHED:
            set_state(world, container, EXPIRED)

    return act
