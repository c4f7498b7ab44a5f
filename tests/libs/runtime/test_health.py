import asyncio

from prometheus_client import REGISTRY

from libs.runtime.health import Health


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def fine() -> str | None:
    return None


async def broken() -> str | None:
    raise RuntimeError("cannot ask, password=hunter2")


async def silent() -> str | None:
    await asyncio.Event().wait()
    return None


async def test_a_check_that_raises_fails_with_its_redacted_words() -> None:
    health = Health()
    health.add_ready("fine", fine)
    health.add_ready("broken", broken)
    assert await health.ready() == {"broken": "RuntimeError: cannot ask, password=[redacted]"}


async def test_a_check_that_never_answers_fails_in_time() -> None:
    health = Health(check_seconds=0.01)
    health.add_live("silent", silent)
    assert "no answer" in (await health.live())["silent"]


async def test_a_draining_process_is_alive_but_not_ready() -> None:
    health = Health()
    health.draining = True
    assert await health.ready() == {"draining": "shutting down"}
    assert await health.live() == {}


async def test_checks_of_parts_that_do_not_run_here_do_not_count() -> None:
    health = Health()
    health.add_ready("consumers", broken, part="consumers")
    health.parts = frozenset({"http"})
    assert await health.ready() == {}
    health.parts = frozenset({"http", "consumers"})
    assert set(await health.ready()) == {"consumers"}


async def test_a_loop_that_does_not_tick_fails_also_before_its_first_tick() -> None:
    clock = Clock()
    health = Health(clock=clock)
    ages: list[float | None] = [None]
    health.add_tick("relay", lambda: ages[0], limit_seconds=30, part="relay")
    assert await health.live() == {}
    clock.now = 31
    assert set(await health.live()) == {"relay"}
    ages[0] = 5.0
    assert await health.ready() == {}
    ages[0] = 31.0
    assert await health.live() == {"relay": "last tick 31 s ago, limit 30 s"}


async def test_the_age_of_a_loop_is_a_metric_only_where_its_part_runs() -> None:
    health = Health()
    health.add_tick("here", lambda: 3.0, limit_seconds=60, part="consumers")
    health.add_tick("elsewhere", lambda: 9_000.0, limit_seconds=60, part="relay")
    health.run_parts({"consumers"})
    assert REGISTRY.get_sample_value("loop_age_seconds", {"loop": "here"}) == 3.0
    assert REGISTRY.get_sample_value("loop_age_seconds", {"loop": "elsewhere"}) is None
