"""How everything ended, by what the bus published and by what ingest answers; and whether it is as it must be."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from deploy.local.demo.internal_system import Api, Results, Seen
from deploy.local.demo.report import Numbers
from deploy.local.demo.traffic import QUEUED_DUPLICATES, BadInput, Sent

Advance = Callable[[int], None]
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Ended:
    """The good requests and their ends."""

    requests: frozenset[str]
    endings: dict[str, list[Seen]]


async def until_bad_is_answered(results: Results, bad: BadInput) -> None:
    """Wait until every bad request on Kafka has been rejected or kept as a dead letter."""
    wanted = set(bad.rejected_event_ids)
    await results.until(lambda: set(results.answers_to(wanted)) == wanted, "the rejections of bad requests on Kafka")
    await results.until(lambda: results.dead_letters() >= bad.unreadable, "the dead letters of unreadable records")


def ended(results: Results, *sent: Sent) -> Ended:
    """Give the good requests, by both ways in, with everything that was published as their end."""
    event_ids = {event_id for each in sent for event_id in each.kafka}
    requests = {request for each in sent for request in each.http}
    requests |= {seen.data["request_id"] for seen in results.answers_to(event_ids).values()}
    endings = {request: seen for request, seen in results.endings().items() if request in requests}
    return Ended(frozenset(requests), endings)


async def statuses(ingest: Api, done: Ended, advance: Advance) -> Counter[str]:
    """Ask ingest how each request stands, some at a time."""
    counted: Counter[str] = Counter()
    left = list(done.requests)

    async def ask_on() -> None:
        while left:
            counted[(await ingest.ask("GET", f"/v1/requests/{left.pop()}"))["status"]] += 1
            advance(1)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(ask_on())
    return counted


def count_everything(
    numbers: Numbers, results: Results, bad: BadInput, queued: Sent, steady: Sent, done: Ended
) -> None:
    """Fill in what went in and how it ended."""
    again = results.answers_to(queued.duplicate_event_ids).values()
    new_requests = [seen for seen in again if seen.data["request_id"] not in done.requests]
    dropped_on_kafka = len(queued.duplicate_event_ids) - len(new_requests)
    rejected = results.answers_to(bad.rejected_event_ids).values()
    numbers.over_http = len(queued.http) + len(steady.http) + queued.duplicates_over_http + len(bad.http)
    numbers.over_kafka = len(queued.kafka) + len(steady.kafka) + len(queued.duplicate_event_ids)
    numbers.over_kafka += len(bad.rejected_event_ids) + bad.unreadable
    numbers.duplicates_dropped = queued.duplicates_over_http + dropped_on_kafka
    numbers.refused_over_http = sum(400 <= got < 500 for _, got in bad.http.values())
    numbers.rejected_over_kafka = sum(seen.type == "request.rejected.v1" for seen in rejected)
    numbers.dead_letters = results.dead_letters()
    numbers.outcomes = dict(Counter(seen[0].type.split(".")[1] for seen in done.endings.values()))


def check_everything(numbers: Numbers, bad: BadInput, done: Ended, total: int, by_status: Counter[str]) -> None:
    """Note what must hold of the whole run."""
    numbers.must_equal("requests accepted", total, len(done.requests))
    numbers.must_equal("requests ended", total, len(done.endings))
    numbers.must_equal("requests ended twice", 0, sum(len(seen) > 1 for seen in done.endings.values()))
    numbers.must_equal("requests that ingest calls completed", total, by_status["completed"])
    numbers.must_equal("duplicates dropped", QUEUED_DUPLICATES, numbers.duplicates_dropped)
    for what, (expected, got) in bad.http.items():
        numbers.must_equal(f"HTTP status for {what}", expected, got)
    numbers.must_equal("bad requests on Kafka rejected", len(bad.rejected_event_ids), numbers.rejected_over_kafka)
    numbers.must_equal("unreadable records in the dead letters", bad.unreadable, numbers.dead_letters)
