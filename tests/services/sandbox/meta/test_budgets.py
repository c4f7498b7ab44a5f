"""Whose budget pays for a call, and how each one refuses."""

import json
from typing import Any

import httpx
import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import make_cast
from services.sandbox.meta.budgets import Budgets
from services.sandbox.meta.first_tokens import make_tokens
from services.sandbox.meta.quota import ERRORS_PER_CALL, HOUR, Bucket, Quotas, refusal
from services.sandbox.meta.statistics import rows
from services.sandbox.meta.world import Node, World
from tests.support.sandbox import SandboxProcess


class _Stopped:
    """Seconds of a machine that stands still."""

    def __call__(self) -> float:
        return 0.0


def quotas() -> tuple[Quotas, Clock]:
    clock = Clock(_Stopped())
    return Quotas(clock), clock


def shown(buckets: tuple[Bucket, ...], made: Quotas) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in made.headers(buckets)}


@pytest.mark.parametrize(
    ("bucket", "code", "subcode"),
    [
        (Bucket("app", "1", 1, HOUR), 4, None),
        (Bucket("user", "1/2", 1, HOUR), 17, 2446079),
        (Bucket("user", "1/2", 1, HOUR, refuses_as="page_user"), 32, None),
        (Bucket("ads_insights", "1/2", 1, HOUR), 80000, 2446079),
        (Bucket("insights_app", "1", 1, HOUR), 4, None),
        (Bucket("ads_management", "1/2", 1, HOUR), 80004, 2446079),
        (Bucket("mutations", "1/2", 1, 1), 613, 5044001),
        (Bucket("pages", "1/2", 1, HOUR), 80001, None),
        (Bucket("instagram", "1/2", 1, HOUR), 80002, None),
        (Bucket("leadgen", "1/2", 1, HOUR), 80005, None),
        (Bucket("whatsapp", "1/2", 1, HOUR), 80008, None),
        (Bucket("catalog", "1/2", 1, HOUR), 80009, None),
        (Bucket("catalog_batch", "1/2", 1, 60), 80014, None),
    ],
)
def test_each_budget_refuses_with_the_code_of_the_documents(bucket: Bucket, code: int, subcode: int | None) -> None:
    made, _ = quotas()
    assert made.charge((bucket,), 1) is None
    assert made.charge((bucket,), 1) is bucket
    error = refusal(bucket)
    assert (error.code, error.subcode) == (code, subcode)


def test_the_insights_header_tells_of_the_app_and_of_the_account() -> None:
    made, _ = quotas()
    account = Bucket("ads_insights", "1/2", 400, HOUR, "standard_access")
    whole = Bucket("insights_app", "1", 200, HOUR, is_shown=False)
    for _ in range(100):
        made.charge((account, whole), 1)
    headers = shown((account, whole), made)
    assert headers["X-FB-Ads-Insights-Throttle"] == {
        "acc_id_util_pct": 25.0, "app_id_util_pct": 50.0, "ads_api_access_tier": "standard_access",
    }  # fmt: skip
    assert headers["X-Business-Use-Case-Usage"]["2"][0]["call_count"] == 25
    assert "X-Ad-Account-Usage" not in headers


def test_a_header_speaks_of_32_objects_at_most() -> None:
    made, _ = quotas()
    whole = Bucket("insights_app", "1", 200, HOUR, is_shown=False)
    many = [Bucket("ads_insights", f"1/{number}", 400, HOUR, "standard_access") for number in range(40)]
    headers = shown((whole, *many), made)
    assert list(headers["X-Business-Use-Case-Usage"]) == [str(number) for number in range(32)]


def test_a_thousand_errors_cost_the_budget_of_insights_one_call() -> None:
    made, clock = quotas()
    bucket = Bucket("ads_insights", "1/2", 3, HOUR, "standard_access")
    for _ in range(ERRORS_PER_CALL):
        made.note_error((bucket,))
    assert [made.charge((bucket,), 1) for _ in range(3)] == [None, None, bucket]
    clock.advance(HOUR + 1)
    assert [made.charge((bucket,), 1) for _ in range(3)] == [None, None, None]


def test_budgets_of_pages_and_profiles_grow_with_what_the_world_counted_yesterday() -> None:
    clock = Clock(_Stopped())
    world = World(7, "small", clock)
    cast = make_cast(world)
    tokens = make_tokens(world, cast, clock)
    budgets = Budgets(world, clock)
    by_id = {token.id: token for token in tokens.all()}

    def limit(token: str, node: Node) -> int:
        return budgets.of(by_id[token], None, node.id, "GET")[0].limit

    for part in ("busy", "empty"):
        page, profile, thread = cast.pages[part], cast.instagram[part], cast.threads[part]
        day = world.series[page.id].yesterday()
        told, seen, read = (rows(world, node, day, day)[0] for node in (page, profile, thread))
        engaged = told.clicks + told.likes + told.comments + told.shares
        assert limit(f"page_{part}", page) == 4_800 * max(engaged, 1)
        assert limit(f"instagram_{part}", profile) == 4_800 * max(seen.impressions, 10)
        assert limit(f"threads_{part}", thread) == 4_800 * max(read.impressions, 10)
    assert limit("threads_busy", cast.threads["busy"]) > limit("threads_empty", cast.threads["empty"])
    clock.advance(86_400)
    tomorrow = world.series[cast.threads["busy"].id].yesterday()
    (read,) = rows(world, cast.threads["busy"], tomorrow, tomorrow)
    assert limit("threads_busy", cast.threads["busy"]) == 4_800 * max(read.impressions, 10)


@pytest.mark.e2e
def test_an_ad_account_takes_a_hundred_changes_a_second(sandbox: SandboxProcess) -> None:
    sandbox.client.post("/_sandbox/clock", json={"rate": 0})
    account, app = sandbox.accounts("ad_account")[0]["id"], sandbox.token_row("system_main")["app"]
    item = {"method": "POST", "relative_url": f"{account}/subscribed_apps", "body": f"app_id={app}"}
    codes = [result["code"] for _ in range(3) for result in sandbox.results([item] * 40, "system_main")]
    assert codes == [200] * 100 + [400] * 20
    last = json.loads(sandbox.results([item], "system_main")[0]["body"])["error"]
    assert (last["code"], last["error_subcode"]) == (613, 5044001)
    assert sandbox.get(account, token="system_main").status_code == 200
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 1})
    assert [result["code"] for result in sandbox.results([item], "system_main")] == [200]
    assert {key.partition(":")[0] for row in sandbox.calls() for key in row["cost"]} == {"ads_management"}


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("kind", "token", "word"),
    [
        ("whatsapp", "system_main", "whatsapp"),
        ("catalog", "system_main", "catalog_management"),
        ("instagram", "instagram_busy", "instagram"),
        ("threads", "threads_busy", "threads"),
        ("page", "page_busy", "pages"),
        ("ad_account", "user_main", "ads_management"),
    ],
)
def test_the_use_case_stands_in_the_header_under_the_accounts_id(
    sandbox: SandboxProcess, kind: str, token: str, word: str
) -> None:
    row = sandbox.token_row(token)
    seen = next(node["id"] for node in row["sees"] if node["type"] == kind)
    answer = asked(sandbox, row["host"], seen, row["access_token"])
    ((subject, (entry,)),) = json.loads(answer.headers["x-business-use-case-usage"]).items()
    assert (answer.status_code, subject, entry["type"]) == (200, seen.removeprefix("act_"), word)
    assert set(entry) - {"ads_api_access_tier"} == {
        "type", "call_count", "total_cputime", "total_time", "estimated_time_to_regain_access",
    }  # fmt: skip


@pytest.mark.e2e
def test_leads_are_paid_for_by_the_page_and_its_leads(sandbox: SandboxProcess) -> None:
    page = sandbox.token_row("page_busy")["owner"]["id"]
    form = sandbox.get(f"{page}/leadgen_forms", token="page_busy").json()["data"][0]["id"]
    answer = sandbox.get(f"{form}/leads", token="page_busy")
    assert json.loads(answer.headers["x-business-use-case-usage"])[page][0]["type"] == "leadgen"


@pytest.mark.e2e
@pytest.mark.parametrize("scope", ["ads_insights", "leadgen", "whatsapp", "catalog", "threads", "mutations"])
def test_a_fault_can_name_any_budget(sandbox: SandboxProcess, scope: str) -> None:
    sandbox.fault("throttled", times=1, args={"scope": scope})
    error = sandbox.get("me").json()["error"]
    assert error["code"] == refusal(Bucket(scope, "1/2", 1, HOUR)).code
    assert sandbox.get("me").status_code == 200


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("scope", "header"),
    [
        ("ads_management", "x-business-use-case-usage"),
        ("ads_insights", "x-fb-ads-insights-throttle"),
        ("pages", "x-business-use-case-usage"),
        ("user", "x-app-usage"),
    ],
)
def test_a_throttle_that_a_fault_makes_up_is_full_in_its_header(
    sandbox: SandboxProcess, scope: str, header: str
) -> None:
    sandbox.fault("throttled", times=1, args={"scope": scope, "minutes": 7})
    answer = sandbox.get("me")
    told = json.loads(answer.headers[header])
    assert "100" in json.dumps(told)
    if header == "x-business-use-case-usage":
        ((entry,),) = told.values()
        assert (entry["type"], entry["estimated_time_to_regain_access"]) == (scope, 7)


@pytest.mark.e2e
def test_insights_are_paid_for_by_their_own_budget_one_by_one_or_many_at_once(sandbox: SandboxProcess) -> None:
    rows = [row["id"] for row in sandbox.accounts("ad_account")[:2]]
    tokens = [sandbox.get(f"{rows[0]}/insights", token="system_agency")]
    tokens.append(sandbox.get("insights", token="system_agency", ids=",".join(rows)))
    assert [answer.status_code for answer in tokens] == [200, 200]
    for answer in tokens:
        assert {"acc_id_util_pct", "app_id_util_pct"} <= set(json.loads(answer.headers["x-fb-ads-insights-throttle"]))
    first, second = ({key.partition(":")[0]: n for key, n in row["cost"].items()} for row in sandbox.calls())
    assert (first, second) == ({"ads_insights": 1}, {"ads_insights": 1})
    assert len(sandbox.calls()[1]["cost"]) == 2


def asked(sandbox: SandboxProcess, host: str, path: str, secret: str) -> httpx.Response:
    return sandbox.client.get(f"/{host}/{path}", params={"access_token": secret})
