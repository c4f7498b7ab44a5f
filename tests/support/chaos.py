"""Faults at seeded random times: the same seed gives the same plan, which is data and can be printed."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from tests.support.cluster import Cluster
from tests.support.processes import Fleet
from tests.support.proxy import Proxy

T = TypeVar("T")
Kind = Literal["kill", "freeze", "kill server", "freeze server", "kill leader", "cut", "black hole"]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What happens to whom, when, and for how long."""

    at_seconds: float
    kind: Kind
    target: str
    """A process, a server, `topic/partition` whose leader is meant, or a service or broker whose network it is."""
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
    """Processes, and how long a lease of theirs lasts: they stand still for longer."""
    servers: Sequence[str]
    frozen_servers: Sequence[tuple[str, float]] = ()
    """Servers, and how long their clients wait for an answer: they stand still for longer."""
    leaders: Sequence[str] = ()
    cuts: Sequence[str] = ()
    black_holes: Sequence[str] = ()


def make_plan(menu: Menu, seed: int, *, seconds: float, rounds: int = 1) -> list[Fault]:
    """Spread every fault of the menu over the time, in seeded order, at seeded moments, for seeded durations."""
    generator = random.Random(seed)
    made: list[Callable[[float], Fault]] = []
    for _ in range(rounds):
        made += [_maker(generator, "kill", name) for name in menu.kills]
        made += [_maker(generator, "freeze", name, (1.2 * lease, 1.6 * lease)) for name, lease in menu.freezes]
        made += [_maker(generator, "kill server", name, (0.2, 3.0)) for name in menu.servers]
        made += [
            _maker(generator, "freeze server", name, (1.1 * wait, 1.5 * wait)) for name, wait in menu.frozen_servers
        ]
        made += [_maker(generator, "kill leader", place, (0.2, 3.0)) for place in menu.leaders]
        made += [_maker(generator, "cut", name, (0.5, 5.0)) for name in menu.cuts]
        made += [_maker(generator, "black hole", name, (2.0, 8.0)) for name in menu.black_holes]
    generator.shuffle(made)
    part = seconds / len(made)
    return [make((number + generator.random()) * part) for number, make in enumerate(made)]


def _maker(
    generator: random.Random, kind: Kind, target: str, between: tuple[float, float] | None = None
) -> Callable[[float], Fault]:
    lasting = generator.uniform(*between) if between else 0.0
    resets = kind == "black hole" and generator.random() < 0.5
    return lambda at: Fault(at, kind, target, lasting, resets)


@dataclass(slots=True)
class Nemesis:
    """Carries out a plan on processes, servers and the network between them."""

    fleet: Fleet
    cluster: Cluster
    done: Counter[str] = field(default_factory=Counter)
    """How often each kind of fault hit."""
    ended_at: float = 0.0
    """When the last fault was over, by the monotonic clock: the killed process was started again, the killed server
    answers, what was cut is whole. What processes need from then on to be ready is no part of the fault."""
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def run(self, plan: Sequence[Fault]) -> None:
        """Begin every fault in its time; return when the last one is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as faults:
            for fault in sorted(plan):
                # A point in time, not a wait for something: where a fault hits is meant to be arbitrary.
                await asyncio.sleep(max(0.0, began + fault.at_seconds - time.monotonic()))
                faults.create_task(self._strike(fault), name=str(fault))
        self.ended_at = time.monotonic()

    async def _strike(self, fault: Fault) -> None:
        """One fault from its beginning to its end; those of the same target wait for each other."""
        is_broker = fault.kind == "kill leader" or fault.target in self.cluster.brokers
        async with self._locks["broker" if is_broker else fault.target]:
            # Whoever had the lock before may have moved the leader.
            leads = fault.kind == "kill leader"
            target = await self.cluster.leader_of(fault.target) if leads else fault.target
            match fault.kind:
                case "kill":
                    await self.fleet[target].kill()
                case "freeze":
                    self.fleet[target].freeze()
                    await asyncio.sleep(fault.seconds)
                    self.fleet[target].thaw()
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
            self.done[fault.kind] += 1

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
