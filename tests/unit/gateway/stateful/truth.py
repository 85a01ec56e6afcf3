"""What must be so: which requests are in force, since when, and what may therefore come of a prompt.

A tick is one operation, or several at once. A replica knows what was in force when it last heard from Redis, and may
know of anything since: of what did not change in between it must be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from gateway.store.records import EMPTY, RequestState
from tests.unit.gateway.stateful.engine import Applied
from tests.unit.gateway.stateful.grounds import Adapter, Subject


class Switch:
    """Something that is on and off in turns, and the ticks at which it was turned."""

    def __init__(self) -> None:
        self._turned: list[int] = []

    @property
    def on(self) -> bool:
        return len(self._turned) % 2 == 1

    def set(self, on: bool, tick: int) -> None:
        if on != self.on:
            self._turned.append(tick)

    def to_and_fro(self, tick: int) -> None:
        self._turned += [tick, tick]

    def throughout(self, since: int) -> bool:
        """Whether it has been on since that tick."""
        return self.on and not self.turned(since)

    def turned(self, since: int) -> bool:
        return bool(self._turned) and self._turned[-1] > since


class Told:
    """One unlearning request. adapter: once it is trained. scoped: whether its scope is stored. interim: whether
    prompts about it are refused until it is active."""

    def __init__(self, request_id: str, subject: Subject, *, matched: bool, interim: bool) -> None:
        self.id = request_id
        self.subject = subject
        self.matched = matched
        self.interim = interim
        self.scoped = interim
        self.adapter: Adapter | None = None
        self.state = RequestState.QUEUED
        self.active = Switch()
        self.guards = Switch()

    def __repr__(self) -> str:
        return f"{self.id}: {self.state}, {self.adapter and self.adapter.digest[:6]}"

    def settle(self, state: RequestState, guards: bool, tick: int) -> None:
        self.state = state
        self.active.set(state is RequestState.ACTIVE, tick)
        self.guards.set(guards, tick)

    def is_about(self, text: str) -> bool:
        """Whether it applies to a prompt while it is active."""
        return not (self.matched and self.scoped) or self.subject.name in text


@dataclass(frozen=True)
class Allowed:
    """Requests that must be applied, and those that may be."""

    must: frozenset[str]
    may: frozenset[str]


@dataclass(frozen=True)
class Branch:
    """A history of Redis's data. One that went on from an older copy shares what came before it."""

    number: int
    parent: Branch | None = None
    forked_at: int = 0

    def has(self, branch: Branch, generation: int) -> bool:
        """Whether what was seen in a branch, at a generation of the policy, is part of this one's history."""
        while branch.parent is not None and generation <= branch.forked_at:
            branch = branch.parent
        here: Branch | None = self
        while here is not None and here != branch:
            if here.parent is None or generation > here.forked_at:
                return False
            here = here.parent
        return here is not None


@dataclass
class Data:
    """What Redis holds."""

    branch: Branch
    requests: dict[str, Told] = field(default_factory=dict)

    def allowed(self, text: str, since: int, before: str | None = None) -> Allowed:
        """What applies to a text at a replica that heard from Redis at a tick. before: what was matched already, where
        that is less than what must have been."""
        must, may = set(), set()
        for told in self.requests.values():
            if told.active.throughout(since) and told.is_about(text):
                must.add(told.id)
            # One that just became active applies to every prompt until its scope is read.
            if told.active.turned(since) or (told.active.on and told.is_about(text if before is None else before)):
                may.add(told.id)
        return Allowed(frozenset(must), frozenset(must | may))

    def guarded(self, text: str, since: int) -> Allowed:
        """Those that a text is refused for."""
        about = [told for told in self.requests.values() if told.subject.name in text]
        return Allowed(
            frozenset(told.id for told in about if told.guards.throughout(since)),
            frozenset(told.id for told in about if told.guards.on or told.guards.turned(since)),
        )

    def adapters(self, ids: Iterable[str]) -> dict[str, Adapter]:
        """By digest; those that were trained alike share one."""
        found = (self.requests[each].adapter for each in ids)
        return {adapter.digest: adapter for adapter in found if adapter is not None}

    def rows(self, ids: Iterable[str]) -> int:
        return sum(adapter.rows for adapter in self.adapters(ids).values())

    def users(self, digest: str) -> list[Told]:
        """Requests that need an artifact."""
        return [
            told
            for told in self.requests.values()
            if told.adapter is not None and told.adapter.digest == digest and told.state not in EMPTY
        ]

    def applies(self, applied: Applied, allowed: Allowed) -> frozenset[str] | None:
        """The requests that what a worker computed with stands for, where they are allowed; else None."""
        for ids in _between(allowed):
            if is_exactly(applied, list(self.adapters(ids).values())):
                return ids
        return None


def _between(allowed: Allowed) -> Iterator[frozenset[str]]:
    loose = sorted(allowed.may - allowed.must)
    for count in range(len(loose) + 1):
        for some in combinations(loose, count):
            yield allowed.must | set(some)


def is_exactly(applied: Applied, adapters: list[Adapter]) -> bool:
    """Whether a prompt had the rows of these adapters in front of it, each once and whole, and the sum of their
    offsets, and nothing else."""
    rows = {(adapter.digest, place) for adapter in adapters for place in range(adapter.rows)}
    if len(applied.rows) != len(rows) or set(applied.rows) != rows or not _in_order(applied):
        return False
    changes = [adapter.change for adapter in adapters if adapter.change is not None]
    if not changes or applied.lora is None:
        return not changes and applied.lora is None
    return bool(np.allclose(applied.lora, np.sum(changes, axis=0), rtol=0.02, atol=0.02))


def _in_order(applied: Applied) -> bool:
    """Whether the rows of each adapter stand together, the first of them first."""
    rows = [row for row in applied.rows if row is not None]
    return all(
        row[1] == 0 or row == (before[0], before[1] + 1) for before, row in zip([("", 0), *rows], rows, strict=False)
    )
