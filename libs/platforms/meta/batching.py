"""Many reads in one Graph batch call.

What a batch is, and what can come back. Source: "Batch requests" of the Graph API guides, read 2026-11, unless marked.
 - At most 50 items. They run in parallel; the answer has the same length and order; each body is JSON text inside JSON.
 - An item that was not finished in time is `null`, and may be sent again. None of ours has a name, so `null` never
   stands for an answer that was left out (`omit_response_on_success`, third party).
 - An aborted item has code 500 and error code 960 (third party); it may be sent again.
 - Usage headers come with each item, so `include_headers` stays on (third party).
 - When the whole call fails the answer is an object, not an array; it can even have status 200 (third party).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from libs.platforms.base import BatchOutcome, Credential, ItemDone, ItemFailed, PlannedCall
from libs.platforms.errors import ContractBroken, OutcomeUnknown, PlatformError, Unavailable
from libs.platforms.meta.client import Answer, GraphClient, platform_error, read_graph_error
from libs.platforms.meta.quota import Budgets, highest_per_scope, wait_told
from libs.platforms.meta.reads import READS, plan_read, relative_url
from libs.platforms.meta.wire import BATCH_ITEM, BatchItem, GraphError
from libs.telemetry.redaction import MARK
from libs.vocabulary import PlatformName, QuotaUse, UsageReading

MAX_ITEMS = 50
"""Most items of one batch. Source: "Batch requests", read 2026-11."""
OPERATION = "batch"

# `paging.next` and `paging.previous` repeat the credential (from memory, unverified).
_TOKEN_IN_URL = re.compile(r"(access_token|appsecret_proof)=[^&#\s]*")


class MetaBatching:
    """Packs reads of one connection into one POST; see `libs.platforms.base.Batching`."""

    max_items = MAX_ITEMS

    def __init__(self, client: GraphClient) -> None:
        self._client = client
        self._settings = client.settings
        self._budgets = Budgets(client.settings)
        self.flush_interval_seconds = client.settings.flush_interval_seconds
        self.request_types: Sequence[str] = tuple(sorted(READS))

    def plan(self, request_type: str, params: Mapping[str, Any]) -> PlannedCall:
        """Check and canonicalize one read. Raises InvalidParams."""
        return plan_read(request_type, params)

    def quota_uses(self, credential: Credential, calls: Sequence[PlannedCall]) -> Sequence[QuotaUse]:
        """Add up one unit per call in the budget that it costs, and name the app's, which a throttle can close."""
        return self._budgets.uses(credential, calls)

    async def execute(self, credential: Credential, calls: Sequence[PlannedCall]) -> BatchOutcome:
        """Send 1 to 50 reads as one call; an outcome per read, in order.

        Safe to call again: reads only. Raises a PlatformError when the whole call failed.
        """
        if not 1 <= len(calls) <= MAX_ITEMS:
            raise ValueError(f"a batch takes 1 to {MAX_ITEMS} reads, not {len(calls)}")
        version = self._settings.api_version
        items = [{"method": "GET", "relative_url": relative_url(call, version)} for call in calls]
        form = {**self._client.auth_params(credential), "batch": json.dumps(items, separators=(",", ":"))}
        answer = await self._client.post_reads(OPERATION, "/", form)
        return self._outcome(credential, calls, answer)

    def _outcome(self, credential: Credential, calls: Sequence[PlannedCall], answer: Answer) -> BatchOutcome:
        outer = self._budgets.readings(answer.headers, credential, None)
        items = self._items(credential, calls, answer, outer)
        outcomes: list[ItemDone | ItemFailed] = []
        readings = outer
        for call, raw in zip(calls, items, strict=True):
            try:
                item = BATCH_ITEM.validate_python(raw)
            except ValidationError:
                words = "its element of the answer is no batch item"
                outcomes.append(ItemFailed(ContractBroken(PlatformName.META, call.request_type, words)))
                continue
            usage = self._budgets.readings(_headers(item), credential, call)
            outcomes.append(self._item_outcome(credential, call, item, usage))
            readings.extend(usage)
        return BatchOutcome(items=tuple(outcomes), http_calls=1, usage=highest_per_scope(readings))

    def _items(
        self, credential: Credential, calls: Sequence[PlannedCall], answer: Answer, usage: Sequence[UsageReading]
    ) -> list[Any]:
        """Take the answer apart. Raises a PlatformError when it is not the array that was asked for."""
        error = read_graph_error(answer.text)
        if error is not None or answer.status != 200:
            raise self._error(credential, OPERATION, answer.status, error, usage, None)
        try:
            items = from_json(answer.text)
        except ValueError:
            # Also plain words such as "Service Unavailable" with status 200 (seen by the Python business SDK).
            raise Unavailable(PlatformName.META, OPERATION, "status 200 with a body that is not JSON") from None
        if not isinstance(items, list):
            raise ContractBroken(PlatformName.META, OPERATION, "the answer is not an array of batch items")
        if len(items) != len(calls):
            # Which answer belongs to which read cannot be known any more; reading again is harmless.
            words = f"{len(calls)} items were asked and {len(items)} answered"
            raise OutcomeUnknown(PlatformName.META, OPERATION, words)
        return items

    def _item_outcome(
        self, credential: Credential, call: PlannedCall, item: BatchItem | None, usage: Sequence[UsageReading]
    ) -> ItemDone | ItemFailed:
        operation = call.request_type
        if item is None:
            words = "not finished before the batch timed out"
            return ItemFailed(Unavailable(PlatformName.META, operation, words, platform_code="null"))
        error = read_graph_error(item.body or "") if item.code >= 400 or _is_error(item.body) else None
        if error is not None or item.code != 200:
            return ItemFailed(self._error(credential, operation, item.code, error, usage, call))
        if item.body is None:
            return ItemFailed(ContractBroken(PlatformName.META, operation, "an item with code 200 has no body"))
        try:
            body = from_json(item.body, allow_inf_nan=False)
        except ValueError:
            words = "an item with code 200 has a body that is not JSON"
            return ItemFailed(Unavailable(PlatformName.META, operation, words))
        return ItemDone(http_status=item.code, body=without_token(body, credential.access_token))

    def _error(
        self,
        credential: Credential,
        operation: str,
        status: int,
        error: GraphError | None,
        usage: Sequence[UsageReading],
        call: PlannedCall | None,
    ) -> PlatformError:
        scope = self._budgets.closed_by(error, credential, call, usage)
        secret = self._settings.app_secret(credential)
        return platform_error(
            operation,
            status,
            error,
            wait_seconds=wait_told(usage, scope) or self._settings.throttle_wait_seconds,
            scope=scope,
            hide=[text for text in (credential.access_token, secret) if text],
        )


def without_token(value: Any, token: str) -> Any:
    """Copy JSON without the credential: paging addresses repeat it, and results are published."""
    if isinstance(value, str):
        if token in value:
            value = value.replace(token, MARK)
        return _TOKEN_IN_URL.sub(rf"\1={MARK}", value) if "=" in value else value
    if isinstance(value, list):
        return [without_token(item, token) for item in value]
    if isinstance(value, dict):
        return {without_token(key, token): without_token(item, token) for key, item in value.items()}
    return value


def _headers(item: BatchItem | None) -> dict[str, str]:
    headers = item.headers if item is not None and isinstance(item.headers, list) else []
    pairs = ((each.get("name"), each.get("value")) for each in headers if isinstance(each, dict))
    return {name.lower(): value for name, value in pairs if isinstance(name, str) and isinstance(value, str)}


def _is_error(body: str | None) -> bool:
    """Tell whether a body with code 200 says that the read failed.

    `debug=` puts `__debug__` beside the error. A node can have a field of the name `error`, but then it has an id too.
    """
    if body is None or '"error"' not in body:
        return False
    try:
        parsed = from_json(body)
    except ValueError:
        return False
    if not isinstance(parsed, dict) or "id" in parsed:
        return False
    error = parsed.get("error")
    return isinstance(error, dict) and ("message" in error or "code" in error)
