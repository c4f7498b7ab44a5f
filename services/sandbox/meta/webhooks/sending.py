"""From changes to deliveries: gathered, spelled as Meta spells them, signed, and tried again by Meta's rules."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.sandbox.clock import Clock
from services.sandbox.deliveries import Deliveries
from services.sandbox.meta.tokens import App
from services.sandbox.meta.webhooks.book import Subscription

MAX_CHANGES = 1000  # O: "up to 1000 updates" in one POST
GAPS = (0, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800, 43_200)
"""Seconds. "At once, then a few more times with decreasing frequency over the next 36 hours" (O); the steps are M."""
WHATSAPP_GAPS = (*GAPS, *(86_400,) * 5)
"""Up to seven days (O)."""
USER_AGENT = "facebookexternalua"  # T
_OLD_SAMPLE_DIGEST = hashlib.sha1


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to an account."""

    entry_id: str
    field: str
    value: Mapping[str, Any]


def spell(content: object) -> bytes:
    """JSON with letters beyond ASCII as lower-case `\\uXXXX` (T quoting O) and `/` as `\\/` (O samples)."""
    return json.dumps(content, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def sign(app: App, body: bytes) -> dict[str, str]:
    """Headers of a delivery: HMAC over these very bytes, in the new way (O) and in the old one (O samples)."""
    key = app.secret.encode()
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "X-Hub-Signature": f"sha1={hmac.new(key, body, _OLD_SAMPLE_DIGEST).hexdigest()}",
        "X-Hub-Signature-256": f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}",
    }


@dataclass(frozen=True, slots=True)
class _Where:
    """What one POST can carry together."""

    app: App
    object: str
    url: str
    include_values: bool
    subscription_id: str
    wait_seconds: float


class Sender:
    """Changes that come in one go leave in one POST for each subscriber, at most 1000 of them (O)."""

    def __init__(self, clock: Clock, deliveries: Deliveries) -> None:
        self._clock = clock
        self._deliveries = deliveries
        self._gathered: dict[_Where, list[Change]] = {}

    def send(
        self, subscription: Subscription, change: Change, *, url: str | None = None, wait_seconds: float = 0
    ) -> None:
        where = _Where(
            subscription.app,
            subscription.object,
            url or subscription.callback_url,
            subscription.include_values,
            subscription.id,
            wait_seconds,
        )
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        changes = self._gathered.setdefault(where, [])
        # An ad account's changes are hints: one for each object is enough, whatever way it was touched.
        if where.object != "ad_account" or change not in changes:
            changes.append(change)

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for where, changes in gathered.items():
            # Threads tells of one thing at a time (O samples).
            size = 1 if where.object == "threads" else MAX_CHANGES
            for start in range(0, len(changes), size):
                self._enqueue(where, changes[start : start + size])

    def _enqueue(self, where: _Where, changes: Sequence[Change]) -> None:
        app = where.app
        self._deliveries.enqueue(
            where.url,
            lambda body: sign(app, body),
            self._body(where, changes),
            WHATSAPP_GAPS if where.object == "whatsapp_business_account" else GAPS,
            platform="meta",
            operation=f"meta.webhook.{where.object}",
            wait_seconds=where.wait_seconds,
            accepts=_is_success,
        )

    def _body(self, where: _Where, changes: Sequence[Change]) -> Callable[[], bytes]:
        """Made when it is sent, because it says when that was (O via T); repeated as it was (M)."""

        def make() -> bytes:
            now = int(self._clock.unix())
            if where.object == "threads":
                return spell(_threads_envelope(where, changes[0], now))
            return spell({"object": where.object, "entry": _entries(where, changes, now)})

        return make


def _entries(where: _Where, changes: Sequence[Change], now: int) -> list[dict[str, Any]]:
    """One entry for each account, its changes in their order."""
    by_account: dict[str, list[Change]] = {}
    for change in changes:
        by_account.setdefault(change.entry_id, []).append(change)
    entries: list[dict[str, Any]] = []
    for entry_id, own in by_account.items():
        entry = {"id": entry_id, "time": now}
        if not where.include_values:
            entries.append({**entry, "changed_fields": list(dict.fromkeys(change.field for change in own))})  # O
        elif where.app.family == "instagram":
            # With Instagram Login the field stands in the entry itself (O samples): one entry for each change.
            entries += [{**entry, "field": change.field, "value": change.value} for change in own]
        else:
            entries.append({**entry, "changes": [{"field": change.field, "value": change.value} for change in own]})
    return entries


def _threads_envelope(where: _Where, change: Change, now: int) -> dict[str, Any]:
    """No `entry` (O, threads/webhooks). Which topic `publish` has is not readable there: as `delete` (M)."""
    is_mention = change.field == "mentions"
    return {
        "app_id": where.app.id,
        "topic": "interaction" if is_mention else "moderate",
        # Of the medium, or of the person who is mentioned.
        "target_id": change.entry_id if is_mention else str(change.value.get("id", change.entry_id)),
        "time": now,
        "subscription_id": where.subscription_id,
        "has_uid_field": False,
        "values": {"value": change.value, "field": change.field},
    }


def _is_success(status: int) -> bool:
    """200 and nothing else (O)."""
    return status == 200
