import httpx
import pytest

from deploy.local.demo.faults import Victims, kill_in_turn
from deploy.local.demo.internal_system import DemoFailed
from deploy.local.demo.patience import insist


async def test_victims_are_killed_one_after_the_other_while_the_traffic_goes_on() -> None:
    done, killed_at = 0, {}

    def progress() -> float:
        nonlocal done
        done += 1
        return done / 20

    async def kill(name: str) -> None:
        killed_at[name] = done

    killed = await kill_in_turn(Victims(("receiver", "database"), kill), progress)
    assert [each.name for each in killed] == ["receiver", "database"]
    assert killed_at == {"receiver": 5, "database": 15}


async def test_a_caller_asks_again_until_it_is_answered() -> None:
    answers: list[httpx.Response | Exception] = [
        DemoFailed("no line"),
        httpx.Response(503),
        httpx.Response(409),
        httpx.Response(401),
    ]

    async def ask() -> httpx.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert (await insist(ask, "a request")).status_code == 401
    assert answers == []


async def test_patience_ends_and_says_what_was_heard_last() -> None:
    async def ask() -> httpx.Response:
        return httpx.Response(503, text="the database is away")

    with pytest.raises(DemoFailed, match=r"a request: no answer .* 503 the database is away"):
        await insist(ask, "a request", seconds=0.2)
