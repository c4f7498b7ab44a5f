"""How everything ended, by what the bus published and by what ingest answers; and whether it is as it must be."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from deploy.local.demo.internal_system import Api, Results, Seen
from deploy.local.demo.pushing import FORGED, PUSHES_PER_ACCOUNT, Pushed, out_of_order, published, wanted
from deploy.local.demo.report import Numbers
from deploy.local.demo.scene import Scene
from deploy.local.demo.traffic import QUEUED_DUPLICATES, BadInput, Sent

Advance = Callable[[int], None]
AT_ONCE = 8
LOOKS = 400
PAUSE_SECONDS = 0.05


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
    """Ask ingest how each request stands, some at a time, and those again whose end it has not read yet."""
    counted: Counter[str] = Counter()
    left = list(done.requests)

    async def ask_on() -> None:
        while left:
            counted[await _status(ingest, left.pop())] += 1
            advance(1)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(ask_on())
    return counted


async def _status(ingest: Api, request_id: str) -> str:
    """How a request stands, once it has ended; after some time whatever it is."""
    status = ""
    for _ in range(LOOKS):
        status = str((await ingest.ask("GET", f"/v1/requests/{request_id}"))["status"])
        if status != "accepted":
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return status


def count_everything(numbers: Numbers, results: Results, bad: BadInput, good: Sequence[Sent], done: Ended) -> None:
    """Fill in what went in and how it ended."""
    repeated = [event_id for sent in good for event_id in sent.duplicate_event_ids]
    again = results.answers_to(repeated).values()
    new_requests = [seen for seen in again if seen.data["request_id"] not in done.requests]
    dropped_on_kafka = len(repeated) - len(new_requests)
    dropped_over_http = sum(sent.duplicates_over_http for sent in good)
    rejected = results.answers_to(bad.rejected_event_ids).values()
    numbers.over_http = sum(len(sent.http) for sent in good) + dropped_over_http + len(bad.http)
    numbers.over_kafka = sum(len(sent.kafka) for sent in good) + len(repeated)
    numbers.over_kafka += len(bad.rejected_event_ids) + bad.unreadable
    numbers.duplicates_dropped = dropped_over_http + dropped_on_kafka
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


async def until_published(results: Results, pushed: Pushed) -> None:
    """Wait until every organization has got what it must get of what was answered 200."""
    expected = wanted(pushed)
    await results.until(lambda: expected <= set(published(results, pushed)), "the events of all webhooks")


async def check_pushed(
    numbers: Numbers, results: Results, pushed: Pushed, values: Mapping[str, str], scene: Scene
) -> None:
    """Note what must hold of the webhooks: by the answers, by what was published, and by what ingest shows."""
    expected, events = wanted(pushed), published(results, pushed)
    names = {str(scene.org_id): "the first organization", str(scene.second_org_id): "the second"}
    numbers.pushed, numbers.pushed_again, numbers.push_tries = len(pushed.marks), pushed.again, pushed.tries
    numbers.forged_refused = pushed.forged[401]
    numbers.repeated = results.repeated
    numbers.published = {name: sum(org_id == org for org, _ in events.elements()) for org_id, name in names.items()}
    every = len(pushed.accounts) * PUSHES_PER_ACCOUNT + 1
    numbers.must_equal("webhooks answered 200", every, len(pushed.marks))
    numbers.must_equal("webhooks published to each organization that they belong to", len(expected), len(events))
    numbers.must_equal("webhooks lost", 0, len(expected - set(events)))
    numbers.must_equal("webhooks published as two events", 0, sum(count > 1 for count in events.values()))
    numbers.must_equal("webhooks out of their account's order", 0, out_of_order(results, pushed))
    numbers.must_equal("wrong signatures answered 401", FORGED, numbers.forged_refused)
    numbers.must_equal("wrong signatures kept to be looked at", FORGED, pushed.forged_kept)
    numbers.must_equal("ignored webhooks replayed", 1, numbers.replayed)
    marks_of = Counter(account.id for account in pushed.marks.values())
    shown = [
        await _shown_by_ingest(values, scene, org_id, f"{account.type}:{account.id}", marks_of[account.id])
        for account in (*pushed.accounts, pushed.stranger)
        for org_id in account.org_ids
    ]
    numbers.must_equal("webhooks that ingest shows", len(expected), sum(shown))


async def _shown_by_ingest(values: Mapping[str, str], scene: Scene, org_id: UUID, account: str, expected: int) -> int:
    """How many webhooks of an account ingest lists for an organization, once it has them all."""
    count = 0
    async with Api(values["INGEST_URL"], scene.operator_key, org_id) as ingest:
        for _ in range(LOOKS):
            answer = await ingest.ask("GET", "/v1/webhooks", params={"account": account, "limit": 200})
            count = len(answer["items"])
            if count >= expected:
                break
            await asyncio.sleep(PAUSE_SECONDS)
    return count
