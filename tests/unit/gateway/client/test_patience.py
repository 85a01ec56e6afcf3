from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from gateway.client import patience


def client(outcomes: Iterator[int | httpx.TransportError]) -> httpx.AsyncClient:
    """One whose requests meet the outcomes in turn: statuses, or errors of the connection."""

    def handle(_request: httpx.Request) -> httpx.Response:
        outcome = next(outcomes)
        if isinstance(outcome, httpx.TransportError):
            raise outcome
        return httpx.Response(outcome)

    return httpx.AsyncClient(base_url="http://other", transport=httpx.MockTransport(handle))


async def ask(*outcomes: int | httpx.TransportError, patience_s: float = 60.0) -> httpx.Response:
    async with client(iter(outcomes)) as http:
        return await patience.request(http, "GET", "/x", who="other", patience_s=patience_s, longest_pause_s=0.0)


async def test_what_waiting_may_mend_is_asked_for_again() -> None:
    assert (await ask(503, httpx.ConnectError("away"), 429, 200)).status_code == 200


@pytest.mark.parametrize("status", [400, 404, 422, 501])
async def test_an_error_that_waiting_does_not_mend_is_the_response(status: int) -> None:
    assert (await ask(status)).status_code == status


async def test_in_the_end_the_last_problem_is_told() -> None:
    with pytest.raises(patience.Unanswered) as error:
        await ask(httpx.ReadError("cut"), patience_s=0.0)
    assert error.value.problem == "ReadError"
    with pytest.raises(patience.Unanswered) as error:
        await ask(503, patience_s=0.0)
    assert error.value.problem == "status 503"


async def test_one_that_fails_ends_the_others() -> None:
    ended: list[str] = []

    async def slow() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")
        return 1

    async def fails() -> int:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await patience.gather([slow(), fails()])
    assert ended == ["slow"]


async def test_results_come_in_the_order_of_the_work() -> None:
    async def after(rounds: int) -> int:
        for _ in range(rounds):
            await asyncio.sleep(0)
        return rounds

    assert await patience.gather([after(3), after(0), after(1)]) == [3, 0, 1]
