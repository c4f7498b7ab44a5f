"""Whatever is asked of insights, there is an answer in Meta's words or an honest 501."""

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.sandbox.exchange import Answer, Call
from services.sandbox.outbound import Outbound
from services.sandbox.state import State

META = State(7, "small", Outbound()).platforms["meta"]
WORLD = META.describe()
TOKENS = {token["id"]: token["access_token"] for token in WORLD["tokens"]}
OF_HOST = {"graph.instagram.com": "instagram", "graph.threads.net": "threads"}
ACCOUNTS = {kind: [row["id"] for row in WORLD["accounts"] if row["type"] == kind] for kind in
            ("ad_account", "page", "instagram", "threads")}  # fmt: skip

odd = st.sampled_from(["", "0", "-1", "9" * 30, "\x00", "é", "{", "[]", "[[]]", "null", "'", "{since:1}", '"'])
WORDS = """impressions spend actions reach colour age gender age,gender country platform_position ad campaign account
    frequency_value last_7d maximum monthly all_days 7 spend_descending actions:link_click true 1d_click default
    action_device action_type views likes views,reach page_media_view post_clicks follower_demographics lifetime day
    total_value time_series media_product_type follow_type this_month yesterday 2026-11-01
    0001-01-01 9999-12-31 1700000000 -3days now MAZDZD
    hourly_stats_aggregated_by_advertiser_time_zone"""
words = st.sampled_from(WORDS.split())
ranges = st.sampled_from(
    [
        '{"since":"2026-10-01","until":"2026-10-03"}',
        "{'since':'2026-10-03','until':'2026-10-01'}",
        "[{}]",
        '{"since":"9998-01-01","until":"9999-12-31"}',
        '{"since":"0001-01-01","until":"0001-01-01"}',
    ]
)
rules = st.builds(
    lambda field, operator, value: json.dumps([{"field": field, "operator": operator, "value": value}]),
    st.sampled_from(
        ["ad.impressions", "campaign.id", "campaign.name", "age", "action_type", "spend", "ad.updated_time", "colour"]
    ),
    st.sampled_from(["GREATER_THAN", "IN", "CONTAIN", "NOT_IN_RANGE", "ANY", "TOP", "LIKE"]),
    st.sampled_from([0, "x", [1, 2], ["a"], None, {}]),
)
values = odd | words | ranges | rules | st.text(max_size=10)
NAMES = """fields level date_preset time_range time_ranges time_increment breakdowns action_breakdowns filtering sort
limit after before summary default_summary action_attribution_windows metric period metric_type breakdown timeframe
since until"""
params = st.dictionaries(st.sampled_from(NAMES.split()), values, max_size=5)
often = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ask(method: str, host: str, path: str, token: str, query: dict[str, str]) -> Answer:
    listed = {name: [value] for name, value in {**query, "access_token": token}.items()}
    return asyncio.run(META.answer(Call("prefix", method, host, f"/{path}", listed, {}, b"", "http://sandbox.test")))


def check(answer: Answer) -> Any:
    content = json.loads(answer.body)
    assert answer.status in {200, 400, 403, 500, 501}
    assert answer.status != 500 or content["error"]["code"] == 1
    assert (answer.status == 200) is ("error" not in content and "sandbox" not in content)
    return content


@often
@given(params)
def test_any_report_of_ads_is_answered(query: dict[str, str]) -> None:
    content = check(
        ask("GET", "graph.facebook.com", f"{ACCOUNTS['ad_account'][1]}/insights", TOKENS["user_main"], query)
    )
    for row in content.get("data", []):
        assert {"date_start", "date_stop"} <= row.keys()


@often
@given(params)
def test_any_order_of_a_report_is_answered(query: dict[str, str]) -> None:
    content = check(
        ask("POST", "graph.facebook.com", f"{ACCOUNTS['ad_account'][1]}/insights", TOKENS["user_main"], query)
    )
    if "report_run_id" in content:
        check(ask("GET", "graph.facebook.com", content["report_run_id"], TOKENS["user_main"], {}))


@often
@given(st.sampled_from(["graph.facebook.com", *OF_HOST]), params)
def test_any_insights_of_profiles_and_pages_are_answered(host: str, query: dict[str, str]) -> None:
    kind = OF_HOST.get(host)
    if kind is None:
        page = next(token for token in WORLD["tokens"] if token["kind"] == "page" and token["state"] == "valid")
        check(ask("GET", host, f"{page['owner']['id']}/insights", page["access_token"], query))
        check(ask("GET", host, f"{ACCOUNTS['instagram'][0]}/insights", TOKENS["user_main"], query))
        return
    own = next(token for token in WORLD["tokens"] if token["owner"]["type"] == kind and token["state"] == "valid")
    edge = "threads_insights" if kind == "threads" else "insights"
    check(ask("GET", host, f"me/{edge}", own["access_token"], query))
