"""Many reads in one Graph batch call: planned, packed (`packing`), sent, read (`unpacking`), freed of credentials."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from libs.platforms.base import BatchOutcome, Credential, ItemDone, OwnedCall, PlannedCall
from libs.platforms.errors import PlatformError
from libs.platforms.meta.auth import auth_params
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.packing import MAX_SLOTS, Item, pack
from libs.platforms.meta.reads import READS, item_of, plan_read, subject_of
from libs.platforms.meta.unpacking import OPERATION, One, unanswered, unpack
from libs.telemetry.redaction import MARK
from libs.vocabulary import QuotaUse

MAX_ITEMS = MAX_SLOTS

# `paging.next` and `paging.previous` repeat the credential (from memory, unverified).
_TOKEN_IN_URL = re.compile(r"(access_token|appsecret_proof)=[^&#\s]*")
_SECRET_KEYS = frozenset({"access_token", "page_token", "appsecret_proof"})


class MetaBatching:
    """Packs reads into one POST; see `libs.platforms.base.Batching`."""

    max_items = MAX_ITEMS

    def __init__(self, client: GraphClient) -> None:
        self._client = client
        self.flush_interval_seconds = client.settings.flush_interval_seconds
        self.request_types: Sequence[str] = tuple(sorted(READS))

    def plan(self, request_type: str, params: Mapping[str, Any]) -> PlannedCall:
        """Check and canonicalize one read. Raises InvalidParams."""
        return plan_read(request_type, params)

    def quota_uses(self, credential: Credential, calls: Sequence[PlannedCall]) -> Sequence[QuotaUse]:
        """Add up one unit per call in the budget that it costs, and name the app's, which a throttle can close."""
        return self._client.budgets.uses(credential, map(subject_of, calls))

    async def execute(self, credential: Credential, calls: Sequence[PlannedCall]) -> BatchOutcome:
        """Send 1 to 50 reads as one call; an outcome per read, in order.

        Safe to call again: reads only. Raises a PlatformError when the whole call failed.
        """
        if not 1 <= len(calls) <= MAX_ITEMS:
            raise ValueError(f"a batch takes 1 to {MAX_ITEMS} reads, not {len(calls)}")
        outcome = await self.execute_each([OwnedCall(credential, call) for call in calls])
        if outcome.refusal is not None:
            raise outcome.refusal
        return outcome

    async def execute_each(self, calls: Sequence[OwnedCall]) -> BatchOutcome:
        """Send reads of several connections as one call; an outcome per read, in order, each with its own credential.

        More than 50 fit where they can share a slot, see `packing`. Safe to call again: reads only. Raises ValueError
        when they do not fit.
        """
        outcome = await call_batch(self._client, [item_of(each.call, each.credential) for each in calls])
        secrets = {text for each in calls for text in auth_params(self._client.settings, each.credential).values()}
        return replace(outcome, items=tuple(_published(item, secrets) for item in outcome.items))


async def call_batch(client: GraphClient, items: Sequence[Item]) -> BatchOutcome:
    """Send the items as one HTTP call and give each its outcome; bodies are not freed of credentials.

    Reads are safe to send again. A write whose outcome is `unknown` must be looked up first. Raises ValueError for
    none, or for so many that they do not fit.
    """
    packed = pack(items, client.settings)
    try:
        answer = await client.send(OPERATION, "POST", "", packed.form)
    except PlatformError as error:
        return unanswered(packed, error)
    return unpack(packed, answer, client.settings, client.budgets)


def without_secrets(value: Any, secrets: set[str]) -> Any:
    """Copy JSON without credentials: paging addresses repeat ours, and an asset's answer may hold its own."""
    if isinstance(value, str):
        for secret in secrets:
            if secret in value:
                value = value.replace(secret, MARK)
        return _TOKEN_IN_URL.sub(rf"\1={MARK}", value) if "=" in value else value
    if isinstance(value, list):
        return [without_secrets(item, secrets) for item in value]
    if isinstance(value, dict):
        return {
            without_secrets(key, secrets): MARK if key in _SECRET_KEYS else without_secrets(item, secrets)
            for key, item in value.items()
        }
    return value


def _published(item: One, secrets: set[str]) -> One:
    return replace(item, body=without_secrets(item.body, secrets)) if isinstance(item, ItemDone) else item
