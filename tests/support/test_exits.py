"""The judge of ends: a kill explains one, and a database that was away explains that a service could not start."""

from pathlib import Path

import pytest

from tests.support.chaos import Kind, Struck
from tests.support.exits import is_explained
from tests.support.processes import Life, Spec, Watched
from tests.support.until import until

STARTED = '{"level": "info", "message": "started", "pid": 1}\n{"message": "stopped"}'


def _life(code: int, *, killed: bool = False, said: str = "Traceback") -> Life:
    return Life(10.0, 12.0, code, killed, said)


def _struck(target: str, began_at: float, ended_at: float, kind: Kind = "cut") -> list[Struck]:
    return [Struck(kind, target, began_at, ended_at)]


def test_a_kill_explains_its_own_end_and_no_other() -> None:
    assert is_explained("ingest-http", _life(-9, killed=True), [])
    assert not is_explained("ingest-http", _life(-9), [])
    assert not is_explained("ingest-http", _life(1, killed=True), [])


@pytest.mark.parametrize("target", ["postgres", "ingest~postgres"])
def test_a_database_that_is_away_explains_that_a_service_did_not_start(target: str) -> None:
    assert is_explained("ingest-http", _life(1), _struck(target, 9.0, 10.5))
    assert is_explained("ingest-http", _life(1), _struck(target, 11.0, 15.0))
    assert not is_explained("ingest-http", _life(1), _struck(target, 5.0, 9.9))
    assert not is_explained("ingest-http", _life(1), _struck(target, 12.1, 15.0))
    assert not is_explained("ingest-http", _life(2), _struck(target, 9.0, 10.5))


def test_nothing_explains_that_a_service_which_had_started_ended() -> None:
    assert not is_explained("ingest-relay", _life(1, said=STARTED), _struck("ingest~postgres", 9.0, 15.0))
    assert not is_explained("ingest-relay", _life(0, said=STARTED), _struck("ingest~postgres", 9.0, 15.0))


@pytest.mark.parametrize("target", ["batcher~postgres", "services~kafka", "valkey"])
def test_what_a_service_can_start_without_explains_nothing(target: str) -> None:
    assert not is_explained("ingest-http", _life(1), _struck(target, 9.0, 15.0))


@pytest.mark.e2e
async def test_a_watched_process_keeps_how_each_of_its_lives_ended_and_what_it_said(tmp_path: Path) -> None:
    served = Watched(Spec("served", ["http.server", "0", "--bind", "127.0.0.1"], {"PYTHONUNBUFFERED": "1"}, ""), Path())
    served.log = tmp_path / "served.log"
    await served.start()
    try:
        await until(lambda: _has_said(served, 1), "the first to serve")
        first = served.pid()
        await served.kill()
        await until(lambda: _has_said(served, 2), "the second to serve")
        assert served.pid() not in (None, first)
    finally:
        await served.stop()
    (life,) = served.lives
    assert (life.code, life.was_killed) == (-9, True)
    assert life.said.count("Serving HTTP") == 1
    assert life.ended_at > life.began_at


async def _has_said(served: Watched, times: int) -> bool:
    return served.log.read_text().count("Serving HTTP") == times
