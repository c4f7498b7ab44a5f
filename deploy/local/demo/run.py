"""Drives the demo through a running stack, phase by phase, with progress shown, and prints the report."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.demo import pushing
from deploy.local.demo.bulk_reads import PLATFORM, Bus, read_in_bulk
from deploy.local.demo.faults import Victims, kill_in_turn
from deploy.local.demo.internal_system import Api, DemoFailed, Results, Writer, reading
from deploy.local.demo.outcome import (
    check_everything,
    check_pushed,
    count_everything,
    ended,
    statuses,
    until_bad_is_answered,
    until_published,
)
from deploy.local.demo.pushing import Platform, Pushed, invent_accounts
from deploy.local.demo.report import Numbers, show
from deploy.local.demo.scene import SOURCE, Scene, connect_accounts, operator_key, set_scene, until_known
from deploy.local.demo.stored import CallLog, records_per_topic, rows_per_table
from deploy.local.demo.stranger import push_forged, push_to_nobody, replay_for_somebody
from deploy.local.demo.traffic import (
    QUEUED_OBJECTS,
    QUEUED_REQUESTS,
    STEADY_PER_SECOND,
    STEADY_SECONDS,
    STORM_READS,
    Sent,
    send_bad,
    send_queued,
    send_steadily,
    send_through_faults,
    until_ended,
    until_queued,
    until_usable,
)

READ_TOPICS = ("ingest.accepted", "batcher.results", "ingest.dead_letters", pushing.TOPIC)
ITEMS_PER_BATCH = 50
RESULT_SECONDS = 120.0
"""Twice the lease of a call: the one that a killed batcher had in its hands is made again only after it."""


@dataclass(slots=True)
class Stage:
    """What the phases share."""

    scene: Scene
    ingest: Api
    """With the demo organization's own key, as an internal system has it."""
    batcher: Api
    """With an operator's key."""
    receiver: Api
    """With an operator's key."""
    platform: Platform
    writer: Writer
    results: Results
    calls: CallLog
    progress: Progress
    numbers: Numbers = field(default_factory=Numbers)

    def bar(self, text: str, total: int) -> Callable[[int], None]:
        """Show a new line of progress; give what moves it on."""
        task = self.progress.add_task(text, total=total)
        return lambda count: self.progress.advance(task, count)


async def run_demo(
    values: Mapping[str, str],
    console: Console,
    keep_key: Callable[[str], None],
    victims: Victims,
    *,
    steady_seconds: int = STEADY_SECONDS,
) -> bool:
    """Send both slices' traffic, kill the victims on the way, print the report; True when every number is right.

    `values` are the stack's variables; a first key that had to be made is handed to `keep_key`. Can be run again on the
    same stack: what must exist is found again, and every number is counted from where this run began.
    """
    started = time.monotonic()
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            numbers = await _drive(values, progress, keep_key, victims, steady_seconds)
    except DemoFailed as error:
        console.print(f"the demo failed: {error}", style="bold red", markup=False, highlight=False)
        return False
    show(console, numbers)
    console.print(f"the demo took {time.monotonic() - started:.0f} s")
    return numbers.all_right


async def _drive(
    values: Mapping[str, str],
    progress: Progress,
    keep_key: Callable[[str], None],
    victims: Victims,
    steady_seconds: int,
) -> Numbers:
    def say(text: str) -> None:
        progress.console.print(f"  {text}", markup=False, highlight=False)

    key = await operator_key(values, say, keep_key)
    scene = await set_scene(values, key, say)
    bootstrap = values["KAFKA_BOOTSTRAP_SERVERS"]
    async with AsyncExitStack() as opened:

        async def enter(what: Any) -> Any:
            return await opened.enter_async_context(what)

        stage = Stage(
            scene=scene,
            ingest=await enter(Api(values["INGEST_URL"], scene.key)),
            batcher=await enter(Api(values["BATCHER_URL"], key)),
            receiver=await enter(Api(values["WEBHOOK_RECEIVER_URL"], key)),
            platform=await enter(Platform(values, scene)),
            writer=await enter(Writer(bootstrap, SOURCE)),
            results=await enter(reading(bootstrap, READ_TOPICS)),
            calls=CallLog(values["SANDBOX_URL"]),
            progress=progress,
        )
        await until_usable(stage.ingest, scene)
        await until_known(stage.batcher, "/v1/batches/stats", "batcher")
        await _play(stage, values, victims, steady_seconds)
        operator = await enter(Api(values["INGEST_URL"], key, scene.org_id))
        await operator.ask("POST", f"/v1/keys/{scene.key_id}/revoke")
    stage.numbers.rows = await rows_per_table(values)
    stage.numbers.records = await records_per_topic(bootstrap)
    return stage.numbers


async def _play(stage: Stage, values: Mapping[str, str], victims: Victims, steady_seconds: int) -> None:
    bad = await send_bad(values, stage.ingest, stage.writer, stage.scene)
    queued = await _queue_and_flush(stage)
    bulk = await _read_in_bulk(stage, values)
    steady = await _send_at_once(stage, steady_seconds)
    pushed = invent_accounts(stage.scene)
    await _connect(stage, values, pushed)
    stranger_id = await push_to_nobody(stage.platform, stage.receiver, pushed)
    await push_forged(stage.platform, stage.receiver, pushed)
    through_faults = await _push_and_kill(stage, pushed, victims)
    await _connect(stage, values, pushed, also=pushed.stranger)
    stage.numbers.replayed = await replay_for_somebody(stage.receiver, stranger_id, pushed)
    await until_published(stage.results, pushed)
    await until_bad_is_answered(stage.results, bad)
    good = (queued, bulk, steady, through_faults)
    done = ended(stage.results, *good)
    by_status = await statuses(stage.ingest, done, stage.bar("asking ingest how each ended", len(done.requests)))
    total = QUEUED_REQUESTS + STEADY_PER_SECOND * steady_seconds + STORM_READS
    total += sum(stretch.asked for stretch in stage.numbers.stretches.values())
    count_everything(stage.numbers, stage.results, bad, good, done)
    check_everything(stage.numbers, bad, done, total, by_status)
    await check_pushed(stage.numbers, stage.results, pushed, values, stage.scene)


async def _connect(
    stage: Stage, values: Mapping[str, str], pushed: Pushed, *, also: pushing.Account | None = None
) -> None:
    """Let each organization's connection have its accounts."""
    accounts = [*pushed.accounts, *([also] if also is not None else [])]
    scene = stage.scene
    owners = {scene.connection_id: scene.org_id, scene.second_connection_id: scene.second_org_id}
    named = {
        connection_id: [f"{account.type}:{account.id}" for account in accounts if org_id in account.org_ids]
        for connection_id, org_id in owners.items()
    }
    await connect_accounts(values, scene, named)


async def _push_and_kill(stage: Stage, pushed: Pushed, victims: Victims) -> Sent:
    """Webhooks and requests go in while the victims are killed in turn; give the requests."""
    total = len(pushed.accounts) * pushing.PUSHES_PER_ACCOUNT
    pushing_on = stage.bar(f"{total} webhooks while parts are killed", total)
    asking_on = stage.bar(f"{STORM_READS} reads meanwhile", STORM_READS)
    async with asyncio.TaskGroup() as group:
        killing = group.create_task(kill_in_turn(victims, lambda: len(pushed.marks) / total))
        group.create_task(stage.platform.push_all(pushed, pushing_on))
        asking = group.create_task(send_through_faults(stage.ingest, stage.writer, stage.scene, asking_on))
    stage.numbers.killed = killing.result()
    stage.numbers.must_equal("processes killed on the way", len(victims.names), len(killing.result()))
    sent = asking.result()
    await until_ended(stage.results, sent, stage.bar("their results", STORM_READS), RESULT_SECONDS)
    return sent


async def _queue_and_flush(stage: Stage) -> Sent:
    numbers = stage.numbers
    await stage.batcher.ask("POST", "/v1/batches:pause", json=PLATFORM)
    try:
        before = await until_queued(stage.batcher, 0)
        bar = stage.bar(f"queueing {QUEUED_REQUESTS} reads of {QUEUED_OBJECTS} objects", QUEUED_REQUESTS)
        sent = await send_queued(stage.ingest, stage.writer, stage.scene, bar)
        numbers.queued_asks = await until_queued(stage.batcher, before + QUEUED_REQUESTS) - before
        mark = await stage.calls.mark()
        await stage.batcher.ask("POST", "/v1/batches:flush", json=PLATFORM)
    finally:
        await stage.batcher.ask("POST", "/v1/batches:resume", json=PLATFORM)
    await until_ended(stage.results, sent, stage.bar("flushed, results", QUEUED_REQUESTS), RESULT_SECONDS)
    numbers.queued = await stage.calls.since(mark)
    numbers.must_equal("reads queued while the batcher was paused", QUEUED_REQUESTS, numbers.queued_asks)
    wanted = -(-QUEUED_OBJECTS // ITEMS_PER_BATCH)
    numbers.must_equal(
        f"HTTP calls for {QUEUED_REQUESTS} reads of {QUEUED_OBJECTS} objects", wanted, numbers.queued.http_calls
    )
    numbers.must_equal("quota units for them", QUEUED_OBJECTS, numbers.queued.units)
    return sent


async def _read_in_bulk(stage: Stage, values: Mapping[str, str]) -> Sent:
    stage.progress.console.print("  reading assets, lists page by page, and insights")
    bus = Bus(
        scene=stage.scene,
        ingest=stage.ingest,
        batcher=stage.batcher,
        writer=stage.writer,
        results=stage.results,
        calls=stage.calls,
        sandbox_url=values["SANDBOX_URL"],
    )
    return await read_in_bulk(bus, stage.numbers)


async def _send_at_once(stage: Stage, seconds: int) -> Sent:
    numbers = stage.numbers
    mark = await stage.calls.mark()
    total = STEADY_PER_SECOND * seconds
    bar = stage.bar(f"{STEADY_PER_SECOND} reads a second, sent at once", total)
    sent = await send_steadily(stage.ingest, stage.writer, stage.scene, bar, seconds=seconds)
    times = await until_ended(stage.results, sent, stage.bar("their results", total), RESULT_SECONDS)
    numbers.steady_times = list(times.values())
    numbers.steady = await stage.calls.since(mark)
    return sent
