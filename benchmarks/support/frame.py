"""Rounds, medians, and what the machine did meanwhile: a number without its neighbours' steal and load says nothing."""

import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

STEAL_LIMIT_PERCENT = 5.0
MOVED_LIMIT = 0.25


@dataclass(slots=True)
class Meter:
    """Steal and busy share of all CPUs between `with` and its end."""

    steal_percent: float = 0.0
    busy_percent: float = 0.0
    _before: list[int] = field(default_factory=list)

    def __enter__(self) -> "Meter":
        self._before = _cpu_times()
        return self

    def __exit__(self, *_: object) -> None:
        passed = [after - before for before, after in zip(self._before, _cpu_times(), strict=True)]
        total = max(1, sum(passed))
        self.steal_percent = 100 * passed[7] / total
        self.busy_percent = 100 - 100 * (passed[3] + passed[4]) / total


def _cpu_times() -> list[int]:
    first = Path("/proc/stat").read_text().splitlines()[0]
    return [int(part) for part in first.split()[1:9]]


class Results:
    """Rates per cell and round; ratios are made within a round, and their median is what counts."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._values: dict[str, list[float]] = defaultdict(list)

    def add(self, cell: str, value: float, meter: Meter, note: str = "") -> None:
        """Note and print one measurement."""
        self._values[cell].append(value)
        doubt = "  << steal" if meter.steal_percent > STEAL_LIMIT_PERCENT else ""
        print(
            f"  {cell:44s} {value:12,.0f} {self._unit}  busy {meter.busy_percent:3.0f} %, "
            f"steal {meter.steal_percent:.1f} %{doubt}{'  ' + note if note else ''}",
            flush=True,
        )

    def ratio(self, cell: str, other: str) -> float:
        """Give the median over the rounds of cell / other."""
        return statistics.median(self.ratios(cell, other))

    def ratios(self, cell: str, other: str) -> list[float]:
        """Give cell / other of each round."""
        return [mine / theirs for mine, theirs in zip(self._values[cell], self._values[other], strict=True)]

    def moved(self, cell: str) -> bool:
        """Whether a limit itself moved by more than a quarter, which makes ratios with it doubtful."""
        values = self._values[cell]
        return (max(values) - min(values)) / statistics.median(values) > MOVED_LIMIT


@dataclass(slots=True)
class Verdict:
    """Goals of one benchmark; the process's exit code says whether all were met."""

    failed: int = 0

    def at_least(self, what: str, value: float, goal: float, rounds: Sequence[float] = ()) -> None:
        self._say(what, value, f">= {goal:g}", value >= goal, rounds)

    def at_most(self, what: str, value: float, goal: float, rounds: Sequence[float] = ()) -> None:
        self._say(what, value, f"<= {goal:g}", value <= goal, rounds)

    def _say(self, what: str, value: float, goal: str, met: bool, rounds: Sequence[float]) -> None:
        self.failed += not met
        told = f"  rounds {' '.join(f'{one:.2f}' for one in rounds)}" if rounds else ""
        print(f"  {'met   ' if met else 'MISSED'} {what}: {value:.2f} (goal {goal}){told}", flush=True)


def print_versions(*servers: str) -> None:
    """Say what ran, on what."""
    names = ("aiokafka", "asyncpg", "faststream", "uvloop", "pydantic", "orjson")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{', '.join(servers)}; Python {platform.python_version()}, {libraries}")
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} CPUs, load {load:.1f}, {time.strftime('%Y-%m-%d %H:%M')}; {' '.join(sys.argv)}", flush=True
    )


def percentiles(values: Sequence[float], *wanted: float) -> list[float]:
    """Give percentiles by nearest rank."""
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))] for part in wanted]
