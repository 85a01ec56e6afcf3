"""Texts that wait at the same time are matched together: the encoder takes many for little more than one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from typing import Protocol

Matches = tuple[str, ...]
#: A text, and where what it matches is to be told; None where that failed for those that were asked together.
_Waiting = tuple[str, "asyncio.Future[Matches | None]"]

#: Characters of all texts that are matched together: more take no less time each, and wait for each other. A text of
#: more goes by itself, and nobody waits for it.
MOST_TOGETHER = 8_000


class Matching(Protocol):
    """See `gateway.policy.scope.matcher.Matcher`."""

    def matches(self, text: str) -> Matches: ...

    def matches_each(self, texts: Sequence[str]) -> list[Matches]: ...


class MatchQueue:
    """Asks a matcher, in a thread, of all texts that came while it was asked before."""

    def __init__(self, matcher: Matching) -> None:
        self._matcher = matcher
        self._waiting: deque[_Waiting] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def matches(self, text: str) -> Matches:
        """What the text matches. Raises what the matcher raises of it."""
        found = await self._together(text) if len(text) <= MOST_TOGETHER else None
        return await asyncio.to_thread(self._matcher.matches, text) if found is None else found

    async def _together(self, text: str) -> Matches | None:
        """None where one of those that were asked together cannot be matched: each is asked by itself then."""
        told: asyncio.Future[Matches | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, told))
        if self._asking is None or self._asking.done():
            # Of no request's context: it goes on for as long as others wait.
            self._asking = asyncio.create_task(self._ask(), context=Context())
        return await told

    async def _ask(self) -> None:
        """Until nobody waits."""
        while together := self._next():
            texts = list(dict.fromkeys(text for text, _ in together))
            asked = asyncio.to_thread(self._matcher.matches_each, texts)
            (found,) = await asyncio.gather(asked, return_exceptions=True)
            matches = {} if isinstance(found, BaseException) else dict(zip(texts, found, strict=True))
            for text, told in together:
                if not told.done():
                    told.set_result(matches.get(text))

    def _next(self) -> list[_Waiting]:
        """Those that are asked together: the first, and more while there is room. Who gave up waits no more."""
        together: list[_Waiting] = []
        room = MOST_TOGETHER
        while self._waiting and (not together or len(self._waiting[0][0]) <= room):
            text, told = self._waiting.popleft()
            if not told.done():
                together.append((text, told))
                room -= len(text)
        return together
