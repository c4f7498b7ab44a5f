from typing import Any

import pytest

from services.cli.settings import SERVICES
from services.cli.trace import MOST_IDS, in_order
from tests.support.cli import FakeServices, run_cli

REQUEST, EVENT, CALL = "request-1", "event-1", "call-1"


def a_step(second: float, kind: str, name: str, *caused_by: str, **more: Any) -> dict[str, Any]:
    return {
        "at": f"2026-11-21T10:00:{second:09.6f}Z",
        "what": f"{kind} made",
        "kind": kind,
        "id": name,
        "caused_by": list(caused_by),
        "follow": more.pop("follow", [name]),
        "detail": more,
    }


def services(**steps: list[dict[str, Any]]) -> FakeServices:
    """Answer each service's question by the ids that it names, as the services do."""
    made = FakeServices()
    for service in SERVICES:
        made.on(service, "GET", "/admin/trace", {"service": service, "steps": steps.get(service, [])})
    return made


def chain(answer: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(step["depth"], f"{step['kind']}:{step['id']}") for step in answer]


def test_the_chain_is_put_together_from_all_services_in_the_order_of_causes() -> None:
    ingest = [
        a_step(1, "request", REQUEST, via="http"),
        a_step(4, "ending", REQUEST, f"call:{CALL}", f"ask:{REQUEST}", http_status=200),
    ]
    batcher = [
        a_step(2, "event", EVENT, f"request:{REQUEST}"),
        a_step(2, "ask", REQUEST, f"event:{EVENT}"),
        a_step(3.5, "call", CALL, f"ask:{REQUEST}", follow=[]),
    ]
    asked = services(ingest=ingest, batcher=batcher)
    run = run_cli("trace", "show", REQUEST, "--json", services=asked)
    assert run.exit_code == 0, run.stderr
    assert chain(run.json["steps"]) == [
        (0, f"request:{REQUEST}"),
        (1, f"event:{EVENT}"),
        (2, f"ask:{REQUEST}"),
        (3, f"call:{CALL}"),
        (4, f"ending:{REQUEST}"),
    ]
    assert (run.json["unanswered"], run.json["cut_off"]) == ({}, False)
    rounds = [request.url.params.get_list("id") for request in asked.asked]
    assert rounds[: len(SERVICES)] == [[REQUEST]] * len(SERVICES)
    assert rounds[len(SERVICES) :] == [[EVENT]] * len(SERVICES), "what is named is asked for once, by nobody twice"


def test_people_see_a_tree_with_times() -> None:
    steps = [a_step(1, "request", REQUEST, via="http"), a_step(1.25, "event", EVENT, f"request:{REQUEST}")]
    run = run_cli("trace", "show", REQUEST, services=services(ingest=steps))
    assert run.exit_code == 0
    first, second = [line for line in run.stdout.splitlines() if "made" in line]
    assert first.split()[:2] == ["2026-11-21T10:00:01.000000Z", "+0.000"]
    assert "via http" in first
    assert "└ event made" in second
    assert "+0.250 s" in second


def test_an_id_that_nobody_knows_is_said_so() -> None:
    run = run_cli("trace", "show", "lost", services=services())
    assert (run.exit_code, run.stdout) == (1, "")
    assert "no service knows lost" in run.stderr


def test_a_service_that_does_not_answer_is_named_and_the_rest_is_shown() -> None:
    asked = services(ingest=[a_step(1, "request", REQUEST)])
    asked.refuse("batcher", "GET", "/admin/trace", 503, "Away", "come again")
    run = run_cli("trace", "show", REQUEST, services=asked)
    assert run.exit_code == 1
    assert "request made" in run.stdout
    assert "batcher did not answer, so the chain may lack steps: Away (503): come again" in run.stderr
    for service in SERVICES:
        asked.refuse(service, "GET", "/admin/trace", 403, "Operators only", "another key")
    assert "Operators only" in run_cli("trace", "show", REQUEST, services=asked).stderr


def test_a_service_without_an_address_is_named_too() -> None:
    asked = services(ingest=[a_step(1, "request", REQUEST)])
    run = run_cli("trace", "show", REQUEST, services=asked, settings={"batcher_url": None})
    assert run.exit_code == 1
    assert "BATCHER_URL is not set" in run.stderr


def test_what_is_followed_has_an_end() -> None:
    many = [a_step(1, "request", REQUEST, follow=[f"other-{n}" for n in range(MOST_IDS + 50)])]
    run = run_cli("trace", "show", REQUEST, "--json", services=services(ingest=many))
    assert run.exit_code == 0
    assert run.json["cut_off"] is True
    assert "there is more than is shown" in run.stderr


@pytest.mark.parametrize("text", ["", " "])
def test_no_id_is_asked_wrongly(text: str) -> None:
    assert run_cli("trace", "show", text, services=services()).exit_code == 2


def test_a_cause_comes_first_though_its_clock_is_behind() -> None:
    late = a_step(5, "request", REQUEST) | {"service": "ingest"}
    early = a_step(4, "event", EVENT, f"request:{REQUEST}") | {"service": "batcher"}
    assert chain(in_order([early, late])) == [(0, f"request:{REQUEST}"), (1, f"event:{EVENT}")]


def test_what_two_services_tell_of_one_thing_stands_below_the_first() -> None:
    made = a_step(1, "event", EVENT) | {"service": "webhook_receiver"}
    read = a_step(2, "event", EVENT) | {"service": "ingest", "what": "event read by ingest"}
    assert chain(in_order([read, made])) == [(0, f"event:{EVENT}"), (1, f"event:{EVENT}")]
    assert in_order([read, made])[0]["service"] == "webhook_receiver"


def test_what_is_done_with_an_event_stands_below_its_reading_though_both_have_one_time() -> None:
    made = a_step(1, "event", EVENT) | {"service": "webhook_receiver"}
    kept = a_step(2, "kept_webhook", EVENT, f"event:{EVENT}") | {"service": "ingest"}
    read = a_step(2, "event", EVENT) | {"service": "ingest", "what": "event read by ingest"}
    assert chain(in_order([made, kept, read])) == [
        (0, f"event:{EVENT}"),
        (1, f"event:{EVENT}"),
        (2, f"kept_webhook:{EVENT}"),
    ]


def test_the_same_step_told_twice_is_one_step_with_all_its_causes() -> None:
    once = a_step(2, "call", CALL, "ask:1") | {"service": "batcher"}
    again = a_step(2, "call", CALL, "ask:2") | {"service": "batcher"}
    (step,) = in_order([once, again])
    assert step["caused_by"] == ["ask:1", "ask:2"]


def test_causes_that_go_in_a_circle_are_still_shown() -> None:
    one = a_step(1, "event", "a", "event:b") | {"service": "ingest"}
    other = a_step(2, "event", "b", "event:a") | {"service": "ingest"}
    assert chain(in_order([one, other])) == [(0, "event:a"), (1, "event:b")]


def test_an_id_cannot_steer_the_terminal() -> None:
    steps = [a_step(1, "request", REQUEST, object="\x1b[2Jgone")]
    run = run_cli("trace", "show", REQUEST, services=services(ingest=steps))
    assert "\x1b" not in run.stdout
