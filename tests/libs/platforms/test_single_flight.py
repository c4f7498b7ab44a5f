"""One refresh per connection, kept before anybody has it."""

import asyncio

import pytest

from libs.platforms.single_flight import SingleFlight


class Desk:
    """Counts what is got and kept; each step goes on when its event is set."""

    def __init__(self) -> None:
        self.got = 0
        self.kept: list[str] = []
        self.may_get, self.may_keep = asyncio.Event(), asyncio.Event()
        self.asked, self.keeping = asyncio.Event(), asyncio.Event()
        self.fault: Exception | None = None

    async def get(self) -> str:
        self.got += 1
        self.asked.set()
        await self.may_get.wait()
        return f"token-{self.got}"

    async def keep(self, token: str) -> None:
        self.keeping.set()
        await self.may_keep.wait()
        if self.fault is not None:
            raise self.fault
        self.kept.append(token)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_many_who_ask_at_once_get_one_token(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    asking = [asyncio.create_task(flights.run("c", desk.get, desk.keep)) for _ in range(10)]
    await desk.asked.wait()
    desk.may_get.set()
    desk.may_keep.set()
    assert await asyncio.gather(*asking) == ["token-1"] * 10
    assert desk.kept == ["token-1"]


async def test_nobody_has_the_token_before_it_is_kept(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    asking = asyncio.create_task(flights.run("c", desk.get, desk.keep))
    desk.may_get.set()
    await desk.keeping.wait()
    assert not asking.done()
    desk.may_keep.set()
    assert await asking == "token-1"


async def test_connections_do_not_wait_for_each_other(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    held = asyncio.create_task(flights.run("held", desk.get, desk.keep))
    await desk.asked.wait()
    other = Desk()
    other.may_get.set()
    other.may_keep.set()
    assert await flights.run("free", other.get, other.keep) == "token-1"
    desk.may_get.set()
    desk.may_keep.set()
    await held


async def test_after_a_flight_the_next_asks_anew(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    desk.may_get.set()
    desk.may_keep.set()
    assert await flights.run("c", desk.get, desk.keep) == "token-1"
    assert await flights.run("c", desk.get, desk.keep) == "token-2"


async def test_a_token_that_could_not_be_kept_is_kept_by_the_next_instead_of_another(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    desk.may_get.set()
    desk.may_keep.set()
    desk.fault = OSError("the database is away")
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await flights.run("c", desk.get, desk.keep)
    desk.fault = None
    assert await flights.run("c", desk.get, desk.keep) == "token-1"
    assert (desk.got, desk.kept) == (1, ["token-1"])


async def test_a_token_that_waits_to_be_kept_is_nothing_to_who_connected_anew(desk: Desk) -> None:
    flights: SingleFlight[tuple[str, int], str] = SingleFlight()
    desk.may_get.set()
    desk.may_keep.set()
    desk.fault = OSError("the claim was lost")
    with pytest.raises(OSError, match="lost"):
        await flights.run(("c", 1), desk.get, desk.keep)
    desk.fault = None
    assert await flights.run(("c", 2), desk.get, desk.keep) == "token-2"
    assert desk.kept == ["token-2"]


async def test_what_could_not_be_got_is_asked_for_again(desk: Desk) -> None:
    async def refuse() -> str:
        raise ValueError("refused")

    flights: SingleFlight[str, str] = SingleFlight()
    with pytest.raises(ValueError, match="refused"):
        await flights.run("c", refuse, desk.keep)
    desk.may_get.set()
    desk.may_keep.set()
    assert await flights.run("c", desk.get, desk.keep) == "token-1"


async def test_a_caller_that_goes_away_ends_nothing_for_the_others(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    gone = asyncio.create_task(flights.run("c", desk.get, desk.keep))
    await desk.asked.wait()
    stays = asyncio.create_task(flights.run("c", desk.get, desk.keep))
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    desk.may_get.set()
    desk.may_keep.set()
    assert await stays == "token-1"


async def test_a_token_that_nobody_waits_for_any_more_is_kept_before_the_end(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    gone = asyncio.create_task(flights.run("c", desk.get, desk.keep))
    await desk.asked.wait()
    gone.cancel()
    draining = asyncio.create_task(flights.drain())
    desk.may_get.set()
    desk.may_keep.set()
    await draining
    assert desk.kept == ["token-1"]


async def test_an_error_that_nobody_waits_for_any_more_disturbs_nobody(desk: Desk) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    gone = asyncio.create_task(flights.run("c", desk.get, desk.keep))
    await desk.asked.wait()
    gone.cancel()
    desk.fault = OSError("away")
    desk.may_get.set()
    desk.may_keep.set()
    await flights.drain()
    assert desk.kept == []
