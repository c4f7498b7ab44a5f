"""Whatever comes in, there is an answer in Meta's words or an honest 501; never a failure of the sandbox itself."""

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.sandbox.exchange import Call
from services.sandbox.meta.platform import MetaPlatform
from services.sandbox.outbound import Outbound
from services.sandbox.state import State

STATE = State(7, "small", Outbound())
META = STATE.platforms["meta"]
WORLD = META.describe()
ACCOUNTS = [account["id"] for account in WORLD["accounts"]]
TOKENS = [token["access_token"] for token in WORLD["tokens"]]

odd = ["", "0", "-1", "9" * 30, "\x00", "é", "{", "[]", "null", "../..", "%zz"]
texts = st.text(max_size=20) | st.sampled_from(odd)
ids = st.sampled_from([*ACCOUNTS, "me", "1", "act_1"]) | texts
versions = st.sampled_from(["", "v26.0/", "v25.0/", "v24.0/", "v1.0/", "v99.9/"])
EDGES = """campaigns posts accounts insights permissions media comments threads adspixels owned_pixels phone_numbers
products leadgen_forms likes connected_threads_user x a/b/c"""
edges = st.sampled_from(["", *(f"/{edge}" for edge in EDGES.split())])
hosts = st.sampled_from(["graph.facebook.com", "graph.instagram.com", "graph.threads.net"])
paths = st.builds(lambda version, node, edge: f"{version}{node}{edge}", versions, ids, edges)
FIELDS = """id name campaigns.limit(2){name} x id{ access_token business{id} media.order(chronological){caption}
picture.type(large) comments.summary(true).limit(0) posts.filter(stream).since(yesterday) accounts.fields(id)
adspixels{owner_business{id}} insights.metric(a,b) category_list{id} threads{owner{id}}"""
fields = texts | st.sampled_from(FIELDS.split())
KNOWN = """fields limit after before ids summary since until effective_status filtering appsecret_proof appsecret_time
input_token include_headers x[] x[0] access_token offset order sort filter debug metadata time_range date_preset
is_completed updated_since reverse filtering[0][field] time_range[since]"""
names = st.sampled_from(KNOWN.split()) | texts
params = st.dictionaries(names, fields | ids | st.sampled_from(TOKENS), max_size=4)
REFERENCES = """{result=a:$.id} {result=a:$.data.*.id} {result=b:$ {result=c:$.x} %7Bresult%3Da%3A%24.id%7D"""
references = st.sampled_from(REFERENCES.split())
items = st.one_of(
    st.none(),
    st.integers(),
    st.fixed_dictionaries(
        {},
        optional={
            "method": st.sampled_from(["GET", "get", "POST", "DELETE", "BREW"]) | st.integers(),
            "relative_url": paths | st.builds("{}?ids={}".format, paths, references) | references | st.none(),
            "body": texts | references | st.lists(texts, max_size=1),
            "name": st.sampled_from(["a", "b", "c"]) | st.integers(),
            "depends_on": st.sampled_from(["a", "b", "c", "d"]) | st.integers(),
            "omit_response_on_success": st.booleans() | texts,
        },
    ),
)
often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ask(
    method: str,
    path: str,
    query: dict[str, str],
    body: bytes = b"",
    content_type: str = "",
    host: str = "graph.facebook.com",
) -> Any:
    listed = {name: [value] for name, value in query.items()}
    headers = {"content-type": content_type}
    call = Call("prefix", method, host, f"/{path}", listed, headers, body, "http://sandbox.test")
    return asyncio.run(META.answer(call))


@often
@given(st.sampled_from(["GET", "GET", "POST", "DELETE"]), hosts, paths, params, st.sampled_from([*TOKENS, ""]))
def test_any_call_is_answered(method: str, host: str, path: str, query: dict[str, str], token: str) -> None:
    answer = ask(method, path, {"access_token": token, **query}, host=host)
    content = json.loads(answer.body)
    assert answer.status in {200, 400, 403, 500, 501}
    assert answer.status != 500 or content["error"]["code"] == 1
    assert (answer.status == 200) is ("error" not in content and "sandbox" not in content)
    assert all("\n" not in value for _, value in answer.headers)


@often
@given(st.lists(items, max_size=6), params)
def test_any_batch_gives_one_result_per_item(batch: list[Any], query: dict[str, str]) -> None:
    form = {key: value for key, value in query.items() if key not in {"access_token", "appsecret_proof"}}
    answer = ask("POST", "", {**form, "access_token": TOKENS[0], "batch": json.dumps(batch)})
    results = json.loads(answer.body)
    assert answer.status == 200
    assert len(results) == len(batch)
    for result in results:
        assert result is None or json.loads(result["body"]) is not None


@often
@given(
    st.binary(max_size=200), st.sampled_from(["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
)
def test_any_body_is_answered(body: bytes, content_type: str) -> None:
    answer = ask("POST", "me", {"access_token": TOKENS[0]}, body, content_type)
    assert answer.status in {200, 400, 501}


def test_what_a_batch_has_not_done_in_time_comes_back_as_null_and_undone() -> None:
    state = State(7, "small", Outbound())
    platform = state.platforms["meta"]
    assert isinstance(platform, MetaPlatform)
    platform.batch_seconds = 0.05
    slow = {"platform": "meta", "kind": "slow", "match": {"item": 1}, "args": {"seconds": 60}}
    state.faults.add(slow, state.check_fault)
    me = {"method": "GET", "relative_url": "me"}
    waits = {**me, "depends_on": "slow"}
    body = urlencode({"access_token": TOKENS[0], "batch": json.dumps([me, {**me, "name": "slow"}, me, waits])}).encode()
    call = Call("prefix", "POST", "graph.facebook.com", "/", {}, {}, body, "http://sandbox.test")
    first, late, third, waiting = json.loads(asyncio.run(platform.answer(call)).body)
    assert (first["code"], late, third["code"]) == (200, None, 200)
    assert json.loads(waiting["body"])["error"]["code"] == 960
