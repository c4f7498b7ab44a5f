"""Faults by rule: what goes wrong, for which calls, how often. The platform decides how its own failure looks."""

import random
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

CONTRACT_KINDS = frozenset(
    {
        "throttled", "server_error", "unavailable", "slow", "cut_before", "cut_after", "item_error", "truncated",
        "stale", "token_expired", "token_revoked", "permission_lost", "wrong_content_type", "oversized",
        "duplicate_delivery", "reordered_delivery",
    }
)  # fmt: skip
"""Every kind that the sandbox's own interface names; a platform may not have all of them yet."""
DELIVERY_KINDS = frozenset({"duplicate_delivery", "reordered_delivery"})
"""Hit what the platform sends to a subscriber's address, never what a client asks."""
READ_KINDS = frozenset({"stale"})
"""Hit calls that only read."""
MATCH_KEYS = frozenset(["method", "host", "path", "operation", "token", "item"])
FAULT_KEYS = frozenset(["platform", "kind", "match", "times", "after", "chance", "args"])
MAX_FAULTS = 1000
MAX_PATTERN_CHARS = 500


class FaultRefused(ValueError):  # noqa: N818  reads as the fact it reports
    """The rule cannot be taken as it is; the text says what to mend."""


@dataclass(frozen=True, slots=True)
class Target:
    """The call, or the item of a batch, that faults are matched against."""

    platform: str
    method: str
    host: str
    path: str
    operation: str | None
    token: str | None
    item_index: int | None = None
    item_names: tuple[str, ...] = ()
    """What a rule may call this item: its name in the batch, the id of its object."""
    is_delivery: bool = False
    """A webhook on its way out: host and path are the subscriber's."""


@dataclass(slots=True)
class Fault:
    """One rule and how often it has hit."""

    id: str
    platform: str
    kind: str
    match: Mapping[str, Any]
    times: int | None
    after: int
    chance: float
    args: Mapping[str, Any]
    dice: random.Random = field(repr=False)
    hits: int = 0
    passed: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "platform": self.platform,
            "kind": self.kind,
            "match": dict(self.match),
            "times": self.times,
            "after": self.after,
            "chance": self.chance,
            "args": dict(self.args),
            "hits": self.hits,
        }

    def number(self, name: str, default: float) -> float:
        return float(self.args.get(name, default))

    def matches(self, target: Target) -> bool:
        """Whether the rule speaks of this call; counts nothing."""
        match = self.match
        if self.platform != target.platform or ("item" in match or self.kind == "item_error") > _is_item(target):
            return False
        if (self.kind in DELIVERY_KINDS) != target.is_delivery or (self.kind in READ_KINDS and target.method != "GET"):
            return False
        plain = ("method", "host", "operation", "token")
        if any(name in match and match[name] != getattr(target, name) for name in plain):
            return False
        if "path" in match and not re.search(match["path"], target.path):
            return False
        item = match.get("item")
        return item is None or item == target.item_index or str(item) in target.item_names


class FaultBook:
    """The rules in force, oldest first; the first that hits a call decides."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._faults: dict[str, Fault] = {}
        self._made = 0

    def add(self, wanted: object, check: Callable[[str, str, Mapping[str, Any]], None]) -> Fault:
        """Take a rule; `check` refuses a platform, kind or args that are not served. Raises: FaultRefused."""
        if not isinstance(wanted, dict):
            raise FaultRefused("a fault is a JSON object")
        refuse_unknown(wanted, FAULT_KEYS, "key")
        platform, kind = wanted.get("platform"), wanted.get("kind")
        if not isinstance(platform, str) or not isinstance(kind, str):
            raise FaultRefused("platform and kind are texts and must be given")
        args = _checked_args(_mapping(wanted, "args"))
        check(platform, kind, args)
        if len(self._faults) >= MAX_FAULTS:
            raise FaultRefused(f"{MAX_FAULTS} faults are in force already; delete some")
        self._made += 1
        fault = Fault(
            id=f"f{self._made}",
            platform=platform,
            kind=kind,
            match=_checked_match(_mapping(wanted, "match")),
            times=_count(wanted, "times", None, least=1),
            after=_count(wanted, "after", 0, least=0) or 0,
            chance=_chance(wanted),
            args=args,
            dice=random.Random(f"{self._seed}/fault/{self._made}"),  # noqa: S311  reproducible, not secret
        )
        self._faults[fault.id] = fault
        return fault

    def find(self, target: Target) -> Fault | None:
        """The fault that hits this call now; counts the hit."""
        for fault in self._faults.values():
            if not fault.matches(target) or (fault.times is not None and fault.hits >= fault.times):
                continue
            if fault.passed < fault.after:
                fault.passed += 1
                continue
            if fault.chance < 1 and fault.dice.random() >= fault.chance:
                continue
            fault.hits += 1
            return fault
        return None

    def list(self) -> list[dict[str, Any]]:
        return [fault.as_json() for fault in self._faults.values()]

    def delete(self, fault_id: str) -> bool:
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        self._faults.clear()


def _is_item(target: Target) -> bool:
    return target.item_index is not None


def refuse_unknown(given: Mapping[str, Any], known: Set[str], what: str) -> None:
    unknown = sorted(str(key) for key in given.keys() - known)
    if unknown:
        raise FaultRefused(f"unknown {what} {', '.join(unknown)}; known: {', '.join(sorted(known)) or 'none'}")


def _mapping(wanted: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = wanted.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FaultRefused(f"{key} must be a JSON object")
    return value


def _count(wanted: Mapping[str, Any], key: str, default: int | None, *, least: int) -> int | None:
    value = wanted.get(key, default)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FaultRefused(f"{key} must be a whole number of at least {least}, or null")
    return value


def _chance(wanted: Mapping[str, Any]) -> float:
    value = wanted.get("chance", 1)
    value = 1 if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise FaultRefused("chance must be a number from 0 to 1")
    return float(value)


def _checked_match(match: dict[str, Any]) -> dict[str, Any]:
    refuse_unknown(match, MATCH_KEYS, "match key")
    given = {key: value for key, value in match.items() if value is not None}
    for key, value in given.items():
        right = isinstance(value, str) or (key == "item" and isinstance(value, int) and not isinstance(value, bool))
        if not right:
            raise FaultRefused(f"match.{key} must be a text" + (" or an index" if key == "item" else ""))
    if "method" in given:
        given["method"] = given["method"].upper()
    if "host" in given:
        given["host"] = given["host"].lower()
    pattern = given.get("path", "")
    if len(pattern) > MAX_PATTERN_CHARS:
        raise FaultRefused(f"match.path must be at most {MAX_PATTERN_CHARS} characters")
    try:
        re.compile(pattern)
    except re.error as error:
        raise FaultRefused(f"match.path is not a regular expression: {error}") from error
    return given


_NUMBERS = {
    "seconds": 3600,
    "bytes": 256 * 1024 * 1024,
    "minutes": 10_000,
    "status": 599,
    "code": 10**9,
    "subcode": 10**9,
}


def _checked_args(args: dict[str, Any]) -> dict[str, Any]:
    for key, value in args.items():
        if key in _NUMBERS:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= _NUMBERS[key]:
                raise FaultRefused(f"args.{key} must be a number from 0 to {_NUMBERS[key]}")
        elif key == "null":
            if not isinstance(value, bool):
                raise FaultRefused("args.null must be true or false")
        elif not isinstance(value, str):
            raise FaultRefused(f"args.{key} must be a text")
    return args
