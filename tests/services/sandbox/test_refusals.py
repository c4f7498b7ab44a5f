"""Hosts that the sandbox does not stand for."""

import logging

import pytest

from services.sandbox.refusals import MAX_HOSTS, OTHERS, Refusals


def test_each_refusal_is_counted_and_each_host_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    with caplog.at_level(logging.WARNING):
        for host in ("a.example:443", "b.example", "a.example:443"):
            refusals.count(host)
    assert refusals.as_json() == {"count": 3, "hosts": {"a.example:443": 2, "b.example": 1}}
    assert len(caplog.records) == 2


def test_a_client_that_makes_up_hosts_does_not_fill_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for number in range(MAX_HOSTS + 5):
        refusals.count(f"{number}.example" + "x" * 1000)
    shown = refusals.as_json()
    hosts = shown["hosts"]
    assert isinstance(hosts, dict)
    assert (shown["count"], len(hosts), hosts[OTHERS]) == (MAX_HOSTS + 5, MAX_HOSTS + 1, 5)
    assert max(map(len, hosts)) == 255
    assert len(caplog.records) == MAX_HOSTS
