"""What parked records and dead letters have in common when they are shown and changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from libs.events.problem import ProblemError, problem
from libs.messaging.operator_actions import Action, CannotChange
from libs.runtime.admin.frame import Answer
from libs.telemetry.redaction import redact_text


class ActionOut(Answer):
    """What an operator did to a record."""

    at: datetime
    actor: str
    action: str
    note: str | None


def actions_out(actions: Sequence[Action]) -> list[ActionOut]:
    """Show what was done, oldest first."""
    return [ActionOut(at=each.done_at, actor=each.actor, action=each.action, note=each.note) for each in actions]


@contextmanager
def refusing(code: str, title: str) -> Iterator[None]:
    """Answer a change that is refused with 409 and why; the record is as it was."""
    try:
        yield
    except CannotChange as error:
        raise ProblemError(problem(code, 409, title, redact_text(str(error), max_chars=1_000))) from None
