"""The short report: what went in, what it cost, how it ended, what is stored, and whether that is as it must be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from deploy.local.demo.faults import Killed
from deploy.local.demo.stored import PlatformCalls


@dataclass(frozen=True, slots=True)
class Check:
    """One number that must be as expected."""

    what: str
    expected: str
    got: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a stretch of reads cost, each apart."""

    asked: int = 0
    reads: int = 0
    """What the platform was asked: equal asks share one."""
    http_calls: int = 0
    units: int = 0

    def __add__(self, other: "Stretch") -> "Stretch":
        return Stretch(
            self.asked + other.asked,
            self.reads + other.reads,
            self.http_calls + other.http_calls,
            self.units + other.units,
        )


@dataclass(slots=True)
class Numbers:
    """Everything that the demo measured."""

    over_http: int = 0
    over_kafka: int = 0
    duplicates_dropped: int = 0
    refused_over_http: int = 0
    rejected_over_kafka: int = 0
    dead_letters: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    queued: PlatformCalls = field(default_factory=lambda: PlatformCalls(0, 0, 0))
    queued_asks: int = 0
    steady: PlatformCalls = field(default_factory=lambda: PlatformCalls(0, 0, 0))
    steady_times: Sequence[float] = ()
    stretches: dict[str, Stretch] = field(default_factory=dict)
    """By what was read in bulk."""
    pushed: int = 0
    pushed_again: int = 0
    push_tries: int = 0
    forged_refused: int = 0
    replayed: int = 0
    published: Mapping[str, int] = field(default_factory=dict)
    """Events of webhooks by organization."""
    killed: Sequence[Killed] = ()
    repeated: int = 0
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    records: Mapping[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def must_equal(self, what: str, expected: object, got: object) -> None:
        """Note a number that must be exactly this."""
        self.checks.append(Check(what, str(expected), str(got), expected == got))

    @property
    def all_right(self) -> bool:
        """Whether every number is as it must be."""
        return bool(self.checks) and all(check.ok for check in self.checks)


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least this share of the values does not exceed; nan without values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def show(console: Console, numbers: Numbers) -> None:
    """Print the report."""
    console.print(_traffic(numbers))
    console.print(_stored(numbers))
    console.print(_checks(numbers))


def _traffic(numbers: Numbers) -> Table:
    table = Table(title="What happened", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    queued, times = numbers.queued, numbers.steady_times
    table.add_row("webhooks in", _webhooks(numbers))
    table.add_row(
        "webhooks out",
        ", ".join(f"{count} events for {name}" for name, count in numbers.published.items())
        + f"; {numbers.replayed} of them replayed once somebody had connected its account",
    )
    table.add_row(
        "killed on the way",
        ", ".join(f"{each.name} (SIGKILL, back after {each.away_seconds:.1f} s)" for each in numbers.killed)
        or "nothing",
    )
    table.add_row("sent again for that", f"{numbers.repeated} records, under the ids that they had")
    table.add_row("lost", "nothing: see below" if numbers.all_right else "SEE BELOW")
    table.add_row("requests in", f"{numbers.over_http} over HTTP, {numbers.over_kafka} over Kafka")
    table.add_row("duplicates dropped", str(numbers.duplicates_dropped))
    table.add_row("refused", f"{numbers.refused_over_http} over HTTP, {numbers.rejected_over_kafka} over Kafka")
    table.add_row("dead letters", str(numbers.dead_letters))
    table.add_row("outcomes", ", ".join(f"{count} {name}" for name, count in sorted(numbers.outcomes.items())))
    table.add_row(
        "paused, then flushed",
        f"{numbers.queued_asks} asked, {queued.items} reads made in {queued.http_calls} HTTP calls, "
        f"{queued.units} quota units",
    )
    for what, stretch in numbers.stretches.items():
        cost = f"{stretch.asked} calls asked, {stretch.http_calls} HTTP calls made, {stretch.units} quota units spent"
        table.add_row(what, f"{cost}: two systems asked for each of {stretch.reads} reads")
    table.add_row(
        "20/s sent at once",
        f"{len(times)} asked, {numbers.steady.items} reads in {numbers.steady.http_calls} HTTP calls",
    )
    if times:
        table.add_row(
            "request to result",
            f"p50 {percentile(times, 0.5) * 1e3:.0f} ms, p99 {percentile(times, 0.99) * 1e3:.0f} ms",
        )
    return table


def _webhooks(numbers: Numbers) -> str:
    return (
        f"{numbers.pushed} signed, {numbers.pushed_again} of them repeated, in {numbers.push_tries} tries; "
        f"{numbers.forged_refused} with a wrong signature refused"
    )


def _stored(numbers: Numbers) -> Table:
    table = Table(title="What is stored where", title_justify="left")
    table.add_column("where")
    table.add_column("what")
    for service, tables in numbers.rows.items():
        table.add_row(f"Postgres, {service}", ", ".join(f"{name} {count}" for name, count in tables.items()))
    table.add_row("Kafka", ", ".join(f"{name} {count}" for name, count in numbers.records.items() if count))
    return table


def _checks(numbers: Numbers) -> Table:
    table = Table(title="Is it as it must be?", title_justify="left")
    for name in ("", "what", "must be", "is"):
        table.add_column(name)
    for check in numbers.checks:
        mark = "[green]yes[/]" if check.ok else "[bold red]NO[/]"
        table.add_row(mark, check.what, check.expected, check.got)
    return table
