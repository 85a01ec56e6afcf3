"""What two requests do to each other where both apply to a prompt: how it is counted, and said in both records.

Adapters that apply together are merged, and a merge may lose what either does alone. So before a request is active, its
own probes are asked with it alone and together with the requests that it is likely to meet (`gateway.jobs.meeting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, Self

from gateway.errors import AdapterUnavailable, TooManyMatches
from gateway.store.notes import Note
from gateway.store.records import RequestRecord

#: Matched requests that one is held against: the nearest.
MOST_NEIGHBOURS = 3
#: How far below another's threshold a request may stay and be near to it: a prompt about both is likely then.
REACH = 0.12

#: Where the service refuses a prompt that both apply to.
_APART = frozenset({AdapterUnavailable.code, TooManyMatches.code})


def nearest(scores: Mapping[str, float], among: Set[str]) -> tuple[str, ...]:
    """The few nearest of those, nearest first. scores: as of `Matcher.scores`."""
    found = sorted((request_id for request_id in scores if request_id in among), key=lambda each: (-scores[each], each))
    return tuple(found[:MOST_NEIGHBOURS])


@dataclass(frozen=True, slots=True)
class Leaks:
    """Of one request, n probes that leaked before: how many leak with it alone, and merged with others.

    lost: those that leak merged and not alone.
    """

    n: int = 0
    leaked_alone: int = 0
    leaked_together: int = 0
    lost: int = 0

    @classmethod
    def counted(cls, alone: Sequence[bool], together: Sequence[bool]) -> Self:
        """Of the same probes in the same order, whether each leaks."""
        lost = sum(after and not before for before, after in zip(alone, together, strict=True))
        return cls(len(alone), sum(alone), sum(together), lost)

    def __add__(self, other: Leaks) -> Leaks:
        return Leaks(
            self.n + other.n,
            self.leaked_alone + other.leaked_alone,
            self.leaked_together + other.leaked_together,
            self.lost + other.lost,
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """A request beside another, as the record of the first has it.

    own, theirs: of the probes of either; theirs is None where nothing is left of the other that could be asked or
    recognised. error: the code of what kept them from being asked together.
    """

    own: Leaks | None = None
    theirs: Leaks | None = None
    error: str | None = None

    @property
    def swapped(self) -> Pair:
        """The same as the other's record has it."""
        return Pair(self.theirs, self.own, self.error)

    @property
    def loses(self) -> bool:
        """Whether together they do less than alone: a probe of either leaks, or no prompt about both is answered."""
        return self.error in _APART or any(leaks is not None and leaks.lost for leaks in (self.own, self.theirs))

    @property
    def said(self) -> str:
        """In words."""
        if self.error in _APART:
            return f"the two cannot be applied together ({self.error}): a prompt about both is refused"
        if self.error is not None:
            return f"not measured: {self.error}"
        own, theirs = _said(self.own, "its own", "this one"), _said(self.theirs, "the other's", "the other")
        return f"{own}; {theirs}"

    def to_dict(self) -> dict[str, Any]:
        """For a record: what `from_dict` takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        own, theirs = (None if found[name] is None else Leaks(**found[name]) for name in ("own", "theirs"))
        return cls(own, theirs, found["error"])


def notes(record: RequestRecord, met: Sequence[RequestRecord]) -> list[Note]:
    """For a request that becomes active, about the active ones that it meets: what was measured of the two when either
    was learned, or that nothing was."""
    return [_note(record, other) for other in met]


def measured_with(record: RequestRecord) -> frozenset[str]:
    """The requests that it was held against when it was learned."""
    return frozenset(_pairs(record))


def _note(record: RequestRecord, other: RequestRecord) -> Note:
    pair = _pairs(record).get(other.id)
    if pair is None and (reverse := _pairs(other).get(record.id)) is not None:
        pair = reverse.swapped
    theirs = None if pair is None else pair.swapped
    return Note(other.id, _entry(other, pair), _entry(record, theirs), lost=pair is not None and pair.loses)


def _entry(beside: RequestRecord, pair: Pair | None) -> dict[str, Any]:
    """tenant: of the one that it is beside, whom not everybody may know of."""
    said = "met since it was measured: not measured" if pair is None else pair.said
    return {
        "with": beside.id,
        "tenant": beside.tenant,
        **(pair or Pair()).to_dict(),
        "measured": pair is not None and pair.error is None,
        "lost": pair is not None and pair.loses,
        "message": f"beside {beside.id}: {said}",
    }


def _pairs(record: RequestRecord) -> dict[str, Pair]:
    """What its evidence has of each other request."""
    found = (record.evidence or {}).get("interference") or {"others": ()}
    return {each["with"]: Pair.from_dict(each) for each in found["others"]}


def _said(leaks: Leaks | None, whose: str, which: str) -> str:
    if leaks is None:
        return f"nothing is left to ask {which} with"
    if not leaks.n:
        return f"none of {whose} probes was known to leak"
    return f"{leaks.lost} of {leaks.n} of {whose} probes leak together and not alone"
