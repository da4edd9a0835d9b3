"""Single flight: one piece of work for all who ask at the same time, none kept, none left behind."""

from __future__ import annotations

import asyncio

import pytest

from tiles.flight import Flights


def test_those_who_meet_share_the_work_and_latecomers_start_anew() -> None:
    async def run() -> None:
        flights: Flights[int] = Flights()
        runs = 0

        async def work() -> int:
            nonlocal runs
            runs += 1
            await asyncio.sleep(0.01)
            return runs

        assert await asyncio.gather(*(flights.get("a", work) for _ in range(500))) == [1] * 500
        assert len(flights) == 0
        assert await flights.get("a", work) == 2  # nothing is kept

    asyncio.run(run())


def test_other_keys_do_not_wait() -> None:
    async def run() -> None:
        flights: Flights[str] = Flights()
        never = asyncio.Event()

        async def stuck() -> str:
            await never.wait()
            return "stuck"

        async def quick() -> str:
            return "quick"

        first = asyncio.create_task(flights.get("a", stuck))
        await asyncio.sleep(0)
        assert await asyncio.wait_for(flights.get("b", quick), 60) == "quick"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    asyncio.run(run())


def test_work_goes_on_while_one_waits_and_ends_with_the_last() -> None:
    async def run() -> None:
        flights: Flights[None] = Flights()
        cancelled = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        one, two = (asyncio.create_task(flights.get("a", work)) for _ in range(2))
        await asyncio.sleep(0.01)
        one.cancel()
        await asyncio.sleep(0.01)
        assert not cancelled.is_set()
        two.cancel()
        await asyncio.wait_for(cancelled.wait(), 30)
        assert len(flights) == 0

    asyncio.run(run())


def test_a_newcomer_does_not_join_what_is_being_cancelled() -> None:
    async def run() -> None:
        flights: Flights[str] = Flights()

        async def slow_to_die() -> str:
            try:
                await asyncio.sleep(600)
            finally:
                await asyncio.sleep(0.05)
            return "never"

        async def fresh() -> str:
            return "fresh"

        one = asyncio.create_task(flights.get("a", slow_to_die))
        await asyncio.sleep(0.01)
        one.cancel()
        await asyncio.sleep(0)
        assert await flights.get("a", fresh) == "fresh"
        await asyncio.gather(one, return_exceptions=True)

    asyncio.run(run())


def test_a_failure_reaches_everyone_who_waits_and_is_forgotten() -> None:
    async def run() -> None:
        flights: Flights[int] = Flights()

        async def fails() -> int:
            await asyncio.sleep(0.01)
            raise ValueError("no")

        got = await asyncio.gather(*(flights.get("a", fails) for _ in range(3)), return_exceptions=True)
        assert [type(e) for e in got] == [ValueError] * 3
        with pytest.raises(ValueError, match="no"):
            await flights.get("a", fails)

    asyncio.run(run())
