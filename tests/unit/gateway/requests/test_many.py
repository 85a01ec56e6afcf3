from __future__ import annotations

import asyncio

import pytest

from gateway.requests.many import AT_ONCE, for_each


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
async def test_it_is_done_for_each_and_never_for_more_at_once(count: int) -> None:
    done: list[int] = []
    running = most = 0

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(item)

    await for_each(range(count), work)
    assert done == list(range(count))
    assert most == min(count, AT_ONCE)


async def test_an_error_ends_it_when_those_beside_are_done() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        if item % 2:
            raise ValueError(item)
        done.append(item)

    with pytest.raises(ValueError, match=r"^1$"):
        await for_each(range(AT_ONCE + 1), work)
    assert done == list(range(0, AT_ONCE, 2))
