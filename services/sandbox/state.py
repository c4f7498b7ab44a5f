"""Everything that a reset begins anew: world, tokens, quotas, faults, calls, deliveries, clock."""

from collections.abc import Collection, Mapping
from typing import Any

from services.sandbox.calls import CallLog
from services.sandbox.clock import Clock, rfc3339
from services.sandbox.deliveries import Deliveries
from services.sandbox.exchange import JOB_SECONDS, Platform, Surroundings
from services.sandbox.faults import CONTRACT_KINDS, FaultBook, FaultRefused, refuse_unknown
from services.sandbox.meta.platform import MetaPlatform
from services.sandbox.outbound import Outbound
from services.sandbox.refusals import Refusals
from services.sandbox.settings import Size

CONTRACT = 1


class State:
    """One world from its seed. Calls in progress keep the state that they began with."""

    def __init__(self, seed: int, size: Size, outbound: Outbound) -> None:
        self.seed = seed
        self.size = size
        self.clock = Clock()
        self.calls = CallLog(self.clock.now)
        self.faults = FaultBook(seed)
        self.refusals = Refusals()
        self.deliveries = Deliveries(self.clock, self.faults, outbound)
        around = Surroundings(self.clock, self.calls, self.faults, self.deliveries)
        self.platforms: Mapping[str, Platform] = {"meta": MetaPlatform(around, seed, size)}
        self.by_host = {host: platform for platform in self.platforms.values() for host in platform.hosts}

    def world(self, url: str, proxy: str, ca_file: str) -> dict[str, Any]:
        enforced = all(platform.limits_enforced for platform in self.platforms.values())
        return {
            "contract": CONTRACT,
            "seed": self.seed,
            "size": self.size,
            "now": rfc3339(self.clock.now()),
            "url": url,
            "proxy": proxy,
            "ca_file": ca_file,
            "limits": "on" if enforced else "off",
            "job_seconds": JOB_SECONDS,
            "platforms": {name: platform.describe() for name, platform in self.platforms.items()},
        }

    def check_fault(self, platform: str, kind: str, args: Mapping[str, Any]) -> None:
        """Raises: FaultRefused for what is not served."""
        served = self.platforms.get(platform)
        if served is None:
            raise FaultRefused(f"platform {platform!r} is not served; served: {', '.join(self.platforms)}")
        allowed = served.known_fault_args(kind)
        if allowed is None:
            known = "is not covered yet" if kind in CONTRACT_KINDS else "is unknown"
            raise FaultRefused(f"kind {kind!r} {known}")
        refuse_unknown(args, allowed.keys(), "args key")
        for key, values in allowed.items():
            if values is not None and args.get(key, values[0]) not in values:
                raise FaultRefused(f"args.{key} must be one of {', '.join(values)}")


class Sandbox:
    """Holds the state in force; a reset puts another in its place."""

    def __init__(self, seed: int, size: Size) -> None:
        self.url = self.proxy = self.ca_file = ""
        self.ca_pem = b""
        self.outbound = Outbound()
        self.state = State(seed, size, self.outbound)

    def hosts(self) -> Collection[str]:
        """Every host that is stood for, in lower case."""
        return self.state.by_host.keys()

    def refuse(self, host: str) -> None:
        self.state.refusals.count(host)

    def world(self) -> dict[str, Any]:
        return self.state.world(self.url, self.proxy, self.ca_file)

    def reset(self, seed: int | None = None, size: Size | None = None) -> None:
        before = self.state
        self.state = State(before.seed if seed is None else seed, size or before.size, self.outbound)
        before.deliveries.stop()
