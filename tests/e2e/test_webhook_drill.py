"""The command `platformbus webhooks` against the whole system: an app's life, and drills followed to their end."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from libs.platforms.meta.webhooks.drill import MetaDrill
from libs.postgres.schemas import SCHEMAS
from tests.support.cli import Run, run_real
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.until import until

pytestmark = pytest.mark.e2e

APP = "drill-app"
FIRST, SECOND = "the-first-secret-of-the-app", "the-second-secret-of-the-app"
KINDS = dict.fromkeys(MetaDrill().samples.values())
IDS = {kind: "act_7001" if kind == "ad_account" else "7001" for kind in KINDS}


@dataclass
class Operator:
    """Somebody at a terminal."""

    settings: dict[str, Any]

    async def runs(self, *arguments: str, stdin: str | None = None) -> Run:
        return await run_real(*arguments, "--json", settings=self.settings, stdin=stdin)

    async def asks(self, *arguments: str, stdin: str | None = None) -> Any:
        run = await self.runs(*arguments, stdin=stdin)
        assert run.exit_code == 0, f"{' '.join(arguments)}\n{run.stdout}\n{run.stderr}"
        return run.json

    async def until(self, *arguments: str, stdin: str | None = None) -> Any:
        """Ask again until it is done: what one service was told reaches the others within moments."""
        last: list[Run] = []

        async def done() -> bool:
            last.append(await self.runs(*arguments, stdin=stdin))
            return last[-1].exit_code == 0

        await until(done, " ".join(arguments))
        return last[-1].json

    async def sends(self, sample: str, *arguments: str, secret: str = FIRST) -> Run:
        kind = MetaDrill().samples[sample]
        push = ("webhooks", "send", APP, "--sample", sample, "--account", IDS[kind], "--secret-stdin")
        return await self.runs(*push, *arguments, stdin=secret)


@pytest.fixture(scope="module")
async def operator(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Operator]:
    """The system, an operator's key, an organization with a connection to one account of each kind, and an app."""
    database = await databases.create(*SCHEMAS)
    system = await System.start(tmp_path_factory.mktemp("drill"), servers, database)
    try:
        made = Operator({f"{service}_url": url for service, url in system.urls.items()})
        made.settings["ingest_worker_dsn"] = database.dsn("ingest", "worker")
        made.settings["platformbus_key"] = (await made.asks("keys", "bootstrap"))["key"]
        made.settings["platformbus_organization"] = (await made.asks("organizations", "create", "Acme"))["org_id"]
        world = (await system.world())["platforms"]["meta"]
        token = next(each for each in world["tokens"] if each["state"] == "valid" and each["kind"] == "user")
        accounts = [part for kind in KINDS for part in ("--account", f"{kind}:{IDS[kind]}")]
        add = ("connections", "add", "meta", "--name", "shop", "--app", token["app"], "--token-stdin", *accounts)
        connection = await made.until(*add, stdin=token["access_token"])
        assert {f"{each['type']}:{each['id']}" for each in connection["accounts"]} == {
            f"{kind}:{IDS[kind]}" for kind in KINDS
        }
        app = await made.until("webhooks", "apps", "add", APP, "--secret-stdin", stdin=FIRST)
        assert app["path"] == f"/webhooks/meta/{APP}"
        assert app["verify_token"]
        await made.until(
            "webhooks", "send", APP, "--sample", "page_feed", "--account", "1", "--secret-stdin", stdin=FIRST
        )
        # Once the receiver knows the connection, what is pushed is published at once.
        await until(lambda: _is_published(made), "the receiver knows the connection")
        yield made
    finally:
        await system.close()
        await databases.drop(database)


async def _is_published(operator: Operator) -> bool:
    run = await operator.sends("page_feed", "--wait", "30")
    return run.exit_code == 0 and run.json["became"][0]["status"] == "processed"


@pytest.mark.parametrize("sample", MetaDrill().samples)
async def test_each_sample_is_answered_published_and_seen_by_the_organization(operator: Operator, sample: str) -> None:
    run = await operator.sends(sample, "--wait", "60")
    assert run.exit_code == 0, run.stderr
    (became,) = run.json["became"]
    assert (became["status"], became["attempts"]) == ("processed", 1)
    (change,) = became["changes"]
    (publication,) = became["publications"]
    got = await operator.until("webhooks", "received", publication["event_id"])
    assert got["account"] == {"type": change["account_type"], "id": change["account_id"]}
    assert (got["change_type"], got["webhook_id"]) == (change["change_type"], became["id"])
    assert got["value"] is not None


async def test_the_same_delivery_again_is_answered_and_publishes_nothing_new(operator: Operator) -> None:
    run = await operator.sends("leadgen", "--repeat", "3", "--same", "--wait", "60")
    assert run.exit_code == 0, run.stderr
    assert run.json["answers"] == {"200": 3}
    became = run.json["became"]
    assert sorted(each["status"] for each in became) == ["duplicate", "duplicate", "processed"]
    assert [len(each["publications"]) for each in became if each["status"] == "processed"] == [1]


async def test_what_was_published_is_not_published_again_by_a_replay(operator: Operator) -> None:
    became = (await operator.sends("instagram_comment", "--wait", "60")).json["became"][0]
    assert (await operator.asks("webhooks", "replay", became["id"], "--dry-run"))["replayed"] == 1
    assert (await operator.asks("webhooks", "replay", became["id"]))["replayed"] == 1

    async def replayed() -> bool:
        shown = await operator.asks("webhooks", "show", became["id"])
        return bool(shown["replays"] == 1 and shown["status"] not in ("received", "processing"))

    await until(replayed, "the replay has ended")
    shown = await operator.asks("webhooks", "show", became["id"])
    assert [each["event_id"] for each in shown["publications"]] == [each["event_id"] for each in became["publications"]]


async def test_a_secret_is_rotated_without_a_gap(operator: Operator) -> None:
    assert (await operator.sends("page_feed", secret=SECOND)).json["answers"] == {"401": 1}
    rotated = await operator.asks("webhooks", "apps", "rotate", APP, "--secret-stdin", stdin=SECOND)
    active = [each for each in rotated["secrets"] if each["status"] == "active"]
    assert len(active) == 2

    async def taken() -> bool:
        return (await operator.sends("page_feed", secret=SECOND)).exit_code == 0

    await until(taken, "the second secret counts")
    assert (await operator.sends("page_feed")).exit_code == 0
    refused = await operator.runs("webhooks", "apps", "rotate", APP, "--secret-stdin", stdin="one-secret-too-many")
    assert (refused.exit_code, json.loads(refused.stderr)["status"]) == (1, 409)
    await operator.asks("webhooks", "apps", "retire", APP, "--secret", active[0]["id"])

    async def forgotten() -> bool:
        return bool((await operator.sends("page_feed")).json["answers"] == {"401": 1})

    await until(forgotten, "the first secret counts no more")
    assert (await operator.sends("page_feed", secret=SECOND)).exit_code == 0
    refused_rows = await operator.asks("webhooks", "list", "--app", APP, "--refused")
    assert {row["reason"] for row in refused_rows} == {"signature_wrong"}


async def test_an_app_that_is_retired_is_known_no_more_and_what_it_brought_stays(operator: Operator) -> None:
    before = len(await operator.asks("webhooks", "list", "--app", APP, "--signed"))
    await operator.asks("webhooks", "apps", "retire", APP, "--whole-app")

    async def gone() -> bool:
        return bool((await operator.sends("page_feed", secret=SECOND)).json["answers"] == {"404": 1})

    await until(gone, "nobody knows the app")
    assert len(await operator.asks("webhooks", "list", "--app", APP, "--signed")) >= before
    assert await operator.asks("webhooks", "apps", "list") == []
