"""Faults at seeded random times: the same seed gives the same plan, which is data and can be printed."""

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar

from tests.support.cluster import Cluster
from tests.support.holders import Holding, Lease, find_holding, is_taken, slow_calls
from tests.support.proxy import Proxy
from tests.support.system import System
from tests.support.until import until

T = TypeVar("T")
_PAUSE_SECONDS = 0.05
Kind = Literal["kill", "freeze", "kill server", "freeze server", "kill leader", "cut", "black hole"]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What happens to whom, when, and for how long."""

    at_seconds: float
    kind: Kind
    target: str
    """A process, a server, a network by its ends, a lease whose holder or `topic/partition` whose leader is meant."""
    seconds: float = 0.0
    resets: bool = False
    """A black hole that ends with its connections reset: what it held back is lost."""

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at_seconds:6.1f} s: {self.kind} {self.target}{lasting}{', then reset' if self.resets else ''}"


@dataclass(frozen=True, slots=True)
class Menu:
    """What a plan is made of; every fault of it comes once per round."""

    kills: Sequence[str]
    freezes: Sequence[tuple[str, float]]
    """Leases, and how long they last: who holds one stands still for longer."""
    servers: Sequence[str]
    frozen_servers: Sequence[tuple[str, float]] = ()
    """Servers, and how long their clients wait for an answer: they stand still for longer."""
    leaders: Sequence[str] = ()
    cuts: Sequence[str] = ()
    black_holes: Sequence[str] = ()


def make_plan(menu: Menu, seed: int, *, seconds: float, rounds: int = 1) -> list[Fault]:
    """Spread every fault of the menu over the time, in seeded order, at seeded moments, for seeded durations.

    Freezes are in the first third: they need work in flight, and may have to be tried again until they have an effect.
    """
    generator = random.Random(seed)
    freezes: list[Callable[[float], Fault]] = []
    made: list[Callable[[float], Fault]] = []
    for _ in range(rounds):
        freezes += [_maker(generator, "freeze", name, (1.2 * lease, 1.6 * lease)) for name, lease in menu.freezes]
        made += [_maker(generator, "kill", name) for name in menu.kills]
        made += [_maker(generator, "kill server", name, (0.2, 3.0)) for name in menu.servers]
        made += [
            _maker(generator, "freeze server", name, (1.1 * wait, 1.5 * wait)) for name, wait in menu.frozen_servers
        ]
        made += [_maker(generator, "kill leader", place, (0.2, 3.0)) for place in menu.leaders]
        made += [_maker(generator, "cut", name, (0.5, 5.0)) for name in menu.cuts]
        made += [_maker(generator, "black hole", name, (2.0, 8.0)) for name in menu.black_holes]
    generator.shuffle(made)
    third = max(len(freezes), (len(freezes) + len(made)) // 3)
    first = [*freezes, *made[: third - len(freezes)]]
    generator.shuffle(first)
    made = [*first, *made[third - len(freezes) :]]
    part = seconds / len(made)
    return [make((number + generator.random()) * part) for number, make in enumerate(made)]


def _maker(
    generator: random.Random, kind: Kind, target: str, between: tuple[float, float] | None = None
) -> Callable[[float], Fault]:
    lasting = generator.uniform(*between) if between else 0.0
    resets = kind == "black hole" and generator.random() < 0.5
    return lambda at: Fault(at, kind, target, lasting, resets)


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that had its effect: on whom, from when until when, by the monotonic clock."""

    kind: Kind
    target: str
    began_at: float
    ended_at: float


@dataclass(slots=True)
class Nemesis:
    """Carries out a plan on processes, servers and the network between them."""

    system: System
    cluster: Cluster
    leases: Mapping[str, Lease]
    """By the names that the plan's freezes have for them."""
    try_seconds: float = 240.0
    """For how long a freeze is tried until it has an effect: what else was struck comes back late on a busy machine."""
    take_seconds: float = 10.0
    """For how long a frozen process is given to lose what has run out: who could take it may be struck too."""
    struck: list[Struck] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """What came of each freeze that had no effect."""
    ended_at: float = 0.0
    """When the last fault was over, by the monotonic clock: the killed process was started again, the killed server
    answers, what was cut is whole. What processes need from then on to be ready is no part of the fault."""
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def done(self) -> Counter[str]:
        """How often each kind of fault had its effect."""
        return Counter(one.kind for one in self.struck)

    def leases_kept(self) -> set[str]:
        """Names of the leases that nobody ever took from a holder that stood still."""
        return self.leases.keys() - {one.target for one in self.struck if one.kind == "freeze"}

    async def run(self, plan: Sequence[Fault]) -> None:
        """Begin every fault in its time; return when the last one is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as faults:
            for fault in sorted(plan):
                # A point in time, not a wait for something: where a fault hits is meant to be arbitrary.
                await asyncio.sleep(max(0.0, began + fault.at_seconds - time.monotonic()))
                faults.create_task(self._begin(fault), name=str(fault))
        self.ended_at = time.monotonic()

    async def _begin(self, fault: Fault) -> None:
        """One fault from its beginning to its end; those of the same target wait for each other."""
        if fault.kind == "freeze":  # whom it hits is known only when it hits
            await self._freeze(fault)
            return
        is_broker = fault.kind == "kill leader" or fault.target in self.cluster.brokers
        async with self._locks["broker" if is_broker else fault.target]:
            # Whoever had the lock before may have moved the leader.
            leads = fault.kind == "kill leader"
            target = await self.cluster.leader_of(fault.target) if leads else fault.target
            began_at = time.monotonic()
            await self._strike(fault, target)
            self.struck.append(Struck(fault.kind, target, began_at, time.monotonic()))

    async def _strike(self, fault: Fault, target: str) -> None:
        match fault.kind:
            case "kill":
                await self.system.fleet[target].kill()
            case "freeze server":
                self.cluster.freeze(target)
                await asyncio.sleep(fault.seconds)
                self.cluster.thaw(target)
            case "kill server" | "kill leader":
                await self.cluster.kill(target)
                await asyncio.sleep(fault.seconds)
                await self.cluster.restart(target)
            case "cut" | "black hole":
                await self._break(self.cluster.proxies[target], fault)

    async def _freeze(self, fault: Fault) -> None:
        """Let the holder of a lease stand still until another has taken it; again, if nobody could.

        The other may be struck too, and a holder that stands still within a transaction keeps its lease's row locked.
        """
        lease = self.leases[fault.target]
        began_at = time.monotonic()
        async with slow_calls(self.system.sandbox_url) if lease.during_calls else contextlib.nullcontext():
            while time.monotonic() < began_at + self.try_seconds:
                holding = await self._find_holding(lease)
                if holding is None:
                    await asyncio.sleep(_PAUSE_SECONDS)
                elif missed := await self._freeze_holder(lease, holding.process, fault.seconds):
                    self.missed.append(f"{fault.target}: {missed}")
                else:
                    self.struck.append(Struck(fault.kind, fault.target, began_at, time.monotonic()))
                    return
        self.missed.append(f"{fault.target}: given up")

    async def _freeze_holder(self, lease: Lease, process: str, seconds: float) -> str:
        """Let the process stand still until it has lost the lease; otherwise say how it came to keep it."""
        async with self._locks[process]:
            holding = await self._find_holding(lease)  # it may have been killed, or another may hold it now
            if holding is None or holding.process != process:
                return f"{process} holds it no more"
            self.system.fleet[process].freeze()
            try:
                holding = await self._find_holding(lease)  # what it gave back before it stood still is not held
                if holding is None or holding.process != process:
                    return f"{process} gave it back"
                await asyncio.sleep(seconds)
                await until(
                    partial(is_taken, self.system.rows, lease, holding), "another to take it", self.take_seconds
                )
            except TimeoutError:
                return f"nobody took it from {process}"
            finally:
                self.system.fleet[process].thaw()
        return ""

    async def _find_holding(self, lease: Lease) -> Holding | None:
        fleet = self.system.fleet
        return await find_holding(
            self.system.rows, lease, lambda: {name: fleet[name].pid() for name in lease.processes}
        )

    async def _break(self, way: Proxy, fault: Fault) -> None:
        if fault.kind == "cut":
            await way.cut()
        else:
            way.black_hole()
        await asyncio.sleep(fault.seconds)
        if fault.resets:
            await way.reset()
        way.heal()


async def spread(items: Sequence[T], seconds: float) -> AsyncIterator[T]:
    """Give the items at an even pace over this time, as callers come: not all at once. One that waits holds up none."""
    began = asyncio.get_running_loop().time()
    for number, item in enumerate(items):
        due = began + seconds * number / len(items)
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        yield item
