"""The queue in front of the matcher: what waits together is asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from gateway.policy.scope.batching import MOST_TOGETHER, MatchQueue


class Words:
    """Matches a text by its words, and nothing that says "broken". It answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.may_answer = Event()
        self.may_answer.set()

    def matches(self, text: str) -> tuple[str, ...]:
        (found,) = self.matches_each([text])
        return found

    def matches_each(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        self.asked.append(tuple(texts))
        self.may_answer.wait(10)
        if any("broken" in text for text in texts):
            raise ValueError("it cannot be read")
        return [tuple(text.split()) for text in texts]


async def asking(queue: MatchQueue, texts: Sequence[str]) -> list[asyncio.Task[tuple[str, ...]]]:
    """They wait, one after another."""
    tasks = []
    for text in texts:
        tasks.append(asyncio.create_task(queue.matches(text)))
        await asyncio.sleep(0.01)
    return tasks


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def queue(words: Words) -> MatchQueue:
    return MatchQueue(words)


async def test_what_waits_is_asked_together_once_a_text_and_each_gets_its_own(words: Words, queue: MatchQueue) -> None:
    words.may_answer.clear()
    waiting = await asking(queue, ["a", "b c", "d", "b c"])
    words.may_answer.set()
    assert await asyncio.gather(*waiting) == [("a",), ("b", "c"), ("d",), ("b", "c")]
    assert words.asked == [("a",), ("b c", "d")]
    assert await queue.matches("e") == ("e",)


async def test_no_more_are_asked_together_than_there_is_room_for(words: Words, queue: MatchQueue) -> None:
    words.may_answer.clear()
    texts = ["first", *(f"{number} {'x' * (MOST_TOGETHER // 2 - 2)}" for number in range(4)), "last"]
    waiting = await asking(queue, texts)
    words.may_answer.set()
    assert [found[0] for found in await asyncio.gather(*waiting)] == ["first", "0", "1", "2", "3", "last"]
    assert all(sum(map(len, together)) <= MOST_TOGETHER for together in words.asked)
    assert len(words.asked) == 4


async def test_nobody_waits_for_a_long_text(words: Words, queue: MatchQueue) -> None:
    long = "x" * (MOST_TOGETHER + 1)
    words.may_answer.clear()
    waiting = await asking(queue, [long, "short"])
    assert words.asked == [(long,), ("short",)]
    words.may_answer.set()
    assert await asyncio.gather(*waiting) == [(long,), ("short",)]


async def test_what_cannot_be_matched_takes_nobody_with_it(words: Words, queue: MatchQueue) -> None:
    words.may_answer.clear()
    waiting = await asking(queue, ["first", "fine", "broken", "well"])
    words.may_answer.set()
    first, fine, broken, well = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, fine, well) == (("first",), ("fine",), ("well",))
    assert isinstance(broken, ValueError)
    assert await queue.matches("after") == ("after",)


async def test_who_gives_up_is_not_asked_for(words: Words, queue: MatchQueue) -> None:
    words.may_answer.clear()
    waiting = await asking(queue, ["first", "gone", "stays"])
    waiting[1].cancel()
    await asyncio.sleep(0.01)
    words.may_answer.set()
    assert await waiting[2] == ("stays",)
    assert words.asked == [("first",), ("stays",)]
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]
