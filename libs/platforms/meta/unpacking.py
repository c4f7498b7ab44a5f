"""What came back for a batch, as pure functions: each of its items gets exactly one outcome, whatever the answer is.

The other half of `packing`, which says what can come back. No I/O; the usage headers are told to the `Budgets`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from libs.platforms.base import BatchOutcome, Credential, ItemDone, ItemFailed
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    ContractBroken,
    OutcomeUnknown,
    PermissionMissing,
    PlatformError,
    Rejected,
    Unavailable,
)
from libs.platforms.meta.auth import secrets_of
from libs.platforms.meta.client import Answer
from libs.platforms.meta.failures import NO_JSON, error_in, may_have_happened, parse_json, platform_error, read_json
from libs.platforms.meta.packing import Item, Packed, Slot
from libs.platforms.meta.paging import read_page
from libs.platforms.meta.quota import Budgets, Subject, highest_per_scope, wait_told
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.meta.wire import BATCH_ITEM, BatchItem, GraphError
from libs.vocabulary import PlatformName, UsageReading

OPERATION = "batch"
One = ItemDone | ItemFailed


def unpack(packed: Packed, answer: Answer, settings: MetaSettings, budgets: Budgets) -> BatchOutcome:
    """Give every item its outcome; bodies are as Meta wrote them, not freed of credentials. Raises nothing.

    A read that was not done, for whatever reason, is `not_attempted`, or `unknown` where the answer does not tell which
    part of it is whose; a write of which the answer does not say that it was done or refused is `unknown`.
    """
    return _Unpacking(packed, settings, budgets).read(answer)


def unanswered(packed: Packed, error: PlatformError) -> BatchOutcome:
    """Give every item its outcome when there is no answer: `error` says whether anything was sent."""
    items = tuple(ItemFailed(error) for _ in packed.items)
    return BatchOutcome(items=items, http_calls=1, refusal=error)


@dataclass(frozen=True, slots=True)
class _Unpacking:
    """A request that was sent, and what its answer is read with."""

    packed: Packed
    settings: MetaSettings
    budgets: Budgets

    def read(self, answer: Answer) -> BatchOutcome:
        outer = self.budgets.readings(answer.headers, self.packed.credential, None)
        found = self._elements(answer, outer)
        if isinstance(found, PlatformError):
            return self.whole(found, tuple(outer))
        outcomes: dict[int, One] = {}
        readings = outer
        for slot, raw in zip(self.packed.slots, found, strict=True):
            try:
                element = BATCH_ITEM.validate_python(raw)
            except ValidationError:
                broken = "its element of the answer is no batch item"
                outcomes |= {index: self._failed(index, ContractBroken, broken) for index in slot.items}
                continue
            usage = self.budgets.readings(_headers(element), slot.credential, slot.about)
            outcomes |= self._of_slot(slot, element, usage)
            readings.extend(usage)
        items = tuple(outcomes[index] for index in range(len(self.packed.items)))
        return BatchOutcome(items=items, http_calls=1, usage=highest_per_scope(readings))

    def whole(self, error: PlatformError, usage: tuple[UsageReading, ...]) -> BatchOutcome:
        """Give every item its outcome when the whole call was refused, or its answer cannot be taken apart."""
        items = tuple(ItemFailed(self._of_refusal(item, error)) for item in self.packed.items)
        return BatchOutcome(items=items, http_calls=1, usage=highest_per_scope(usage), refusal=error)

    def _of_refusal(self, item: Item, error: PlatformError) -> PlatformError:
        blames_token = isinstance(error, AuthExpired | AuthRevoked | PermissionMissing)
        if blames_token and item.credential != self.packed.credential:
            words = "the request's own token was refused, this item's was not looked at"
            return Unavailable(PlatformName.META, item.operation, words, platform_code=error.platform_code)
        return error if item.is_read else may_have_happened(error)

    def _elements(self, answer: Answer, usage: Sequence[UsageReading]) -> list[Any] | PlatformError:
        """Take the answer apart; a PlatformError when it is not the array that was asked for."""
        elements = parse_json(answer.text)  # as it came: the bodies in it are JSON of their own
        if not isinstance(elements, list):
            elements = read_json(answer.text)
        error = error_in(elements, answer.status)
        if error is not None or answer.status != 200:
            return self._error(OPERATION, answer.status, error, usage, self.packed.credential, None)
        if elements is NO_JSON:
            # Also plain words such as "Service Unavailable" with status 200 (seen by the Python business SDK).
            return Unavailable(PlatformName.META, OPERATION, "status 200 with a body that is not JSON")
        if not isinstance(elements, list):
            return ContractBroken(PlatformName.META, OPERATION, "the answer is not an array of batch items")
        if len(elements) != len(self.packed.slots):
            # Which answer belongs to which item cannot be known any more; reading again is harmless.
            words = f"{len(self.packed.slots)} items were asked and {len(elements)} answered"
            return OutcomeUnknown(PlatformName.META, OPERATION, words)
        return elements

    def _of_slot(self, slot: Slot, element: BatchItem | None, usage: Sequence[UsageReading]) -> Mapping[int, One]:
        found = self._body_of(slot, element, usage)
        if isinstance(found, PlatformError):
            return {index: self._of_slots_error(slot, index, found) for index in slot.items}
        status, body = found
        if slot.kind == "alone":
            (index,) = slot.items
            return {index: self._done(index, status, body)}
        if not isinstance(body, dict):
            words = "the answer to what was asked together is no JSON object"
            return {index: self._failed(index, ContractBroken, words) for index in slot.items}
        return {index: self._part(slot, index, status, body) for index in slot.items}

    def _body_of(
        self, slot: Slot, element: BatchItem | None, usage: Sequence[UsageReading]
    ) -> tuple[int, Any] | PlatformError:
        """Read an element's body, which is JSON text, or say why there is none."""
        operation = self.packed.items[slot.items[0]].operation
        if element is None:
            words = "not finished before the batch timed out"
            return Unavailable(PlatformName.META, operation, words, platform_code="null")
        body = read_json(element.body or "")
        error = error_in(body, element.code)
        if error is not None or element.code != 200:
            return self._error(operation, element.code, error, usage, slot.credential, slot.about)
        if element.body is None:
            return ContractBroken(PlatformName.META, operation, "an item with code 200 has no body")
        if body is NO_JSON:
            words = "an item with code 200 has a body that is not JSON"
            return Unavailable(PlatformName.META, operation, words)
        return element.code, body

    def _of_slots_error(self, slot: Slot, index: int, error: PlatformError) -> One:
        item = self.packed.items[index]
        if len(slot.items) > 1 and isinstance(error, Rejected | PermissionMissing):
            words = f"one of those that were asked together was refused, ask it alone: {error.message}"
            return ItemFailed(Unavailable(PlatformName.META, item.operation, words, platform_code=error.platform_code))
        return ItemFailed(error if item.is_read else may_have_happened(error))

    def _part(self, slot: Slot, index: int, status: int, body: Mapping[str, Any]) -> One:
        """Take one item's part out of an answer that was asked for together."""
        item = self.packed.items[index]
        if slot.kind == "ids":
            if item.path not in body:
                # Third party: what does not exist is left out, or the whole is refused.
                return self._failed(index, Rejected, "left out of the answer: missing, or no permission")
            return self._done(index, status, body[item.path])
        edge = item.path.partition("/")[2]
        if edge not in body:
            # "No data: key absent" is from memory only; asked alone the edge says what it means.
            return self._failed(index, Unavailable, "left out of the answer, ask it alone")
        return self._done(index, status, body[edge])

    def _done(self, index: int, status: int, body: Any) -> One:
        """Accept a body, if it is of the shape that the item asks for."""
        item = self.packed.items[index]
        error = error_in(body, status)
        if error is not None:
            return ItemFailed(self._error(item.operation, status, error, (), item.credential, item.about))
        if not item.is_read:
            return self._written(index, status, body)
        if not isinstance(body, dict) or body.get("success") is False:
            return self._failed(index, ContractBroken, "the answer is no JSON object of what was asked")
        if item.is_list:
            try:
                read_page(item.operation, body)
            except ContractBroken as broken:
                return ItemFailed(broken)
        return ItemDone(http_status=status, body=body)

    def _written(self, index: int, status: int, body: Any) -> One:
        if isinstance(body, dict) and body.get("success") is False:
            return self._failed(index, Rejected, "answered with `success` false")
        if body is not True and not isinstance(body, dict):
            return self._failed(index, ContractBroken, "the answer does not say that it was done")
        return ItemDone(http_status=status, body=body)

    def _failed(self, index: int, kind: type[PlatformError], words: str) -> ItemFailed:
        item = self.packed.items[index]
        error = kind(PlatformName.META, item.operation, words)
        return ItemFailed(error if item.is_read else may_have_happened(error))

    def _error(
        self,
        operation: str,
        status: int,
        error: GraphError | None,
        usage: Sequence[UsageReading],
        credential: Credential,
        about: Subject | None,
    ) -> PlatformError:
        scope = self.budgets.closed_by(error, credential, about, usage)
        # A refusal of the whole is told to everybody, and may quote anybody's item.
        askers = {credential} if about is not None else {slot.credential for slot in self.packed.slots}
        return platform_error(
            operation,
            status,
            error,
            wait_seconds=wait_told(usage, scope) or self.settings.throttle_wait_seconds,
            scope=scope,
            hide=secrets_of(self.settings, {*askers, self.packed.credential}, self.packed.form),
        )


def _headers(element: BatchItem | None) -> dict[str, str]:
    headers = element.headers if element is not None and isinstance(element.headers, list) else []
    pairs = ((each.get("name"), each.get("value")) for each in headers if isinstance(each, dict))
    return {name.lower(): value for name, value in pairs if isinstance(name, str) and isinstance(value, str)}
