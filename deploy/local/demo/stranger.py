"""Webhooks that go to nobody: of an account that nobody has connected yet, and with a signature of somebody else's."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from deploy.local.demo.internal_system import Api, DemoFailed
from deploy.local.demo.pushing import FORGED, Platform, Pushed, delivery

LOOKS: Final = 400
PAUSE_SECONDS: Final = 0.05


async def push_to_nobody(platform: Platform, receiver: Api, pushed: Pushed) -> str:
    """Push one change of the stranger's; give the delivery's id once it is known that it belongs to nobody."""
    since = datetime.now(UTC)
    mark = f"{pushed.stranger.id}1000"
    answer = await platform.push(delivery(pushed.stranger, mark, at=int(mark[:10])))
    if answer.status_code != 200:
        raise DemoFailed(f"a delivery that belongs to nobody was answered {answer.status_code}: {answer.text[:300]}")
    found = await _listed(receiver, {"status": "ignored", "signature_valid": "true"}, since, 1)
    if len(found) != 1:
        raise DemoFailed(f"a delivery that belongs to nobody is not listed as ignored: {found}")
    return str(found[0]["id"])


async def push_forged(platform: Platform, receiver: Api, pushed: Pushed) -> None:
    """Push what somebody else has signed, and count what is kept of it."""
    since = datetime.now(UTC)
    await platform.push_forged(pushed)
    pushed.forged_kept = len(await _listed(receiver, {"signature_valid": "false"}, since, FORGED))


async def _listed(receiver: Api, wanted: dict[str, str], since: datetime, count: int) -> list[dict[str, Any]]:
    """The deliveries that came since then, once there are so many; after some time those that there are."""
    found: list[dict[str, Any]] = []
    for _ in range(LOOKS):
        found = (await receiver.ask("GET", "/v1/webhooks", params=wanted | {"since": since.isoformat()}))["webhooks"]
        if len(found) >= count:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return found


async def replay_for_somebody(receiver: Api, webhook_id: str, pushed: Pushed) -> int:
    """Replay it now that it belongs to somebody, and expect its change to be published; give how many were replayed."""
    answer = await receiver.ask("POST", "/v1/webhooks:replay", json={"ids": [webhook_id]})
    pushed.marks[f"{pushed.stranger.id}1000"] = pushed.stranger
    return int(answer["replayed"])
