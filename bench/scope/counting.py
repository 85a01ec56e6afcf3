"""Of prompts and what each matches, how many are caught, touched or refused where some of the requests are in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adapters.evaluation.statistics.proportion import lower_bound
from adapters.text.words import terms
from bench.scope.subjects import Beside, Subject
from gateway.policy.active import MOST_MATCHES

#: Kinds of what asks for something that is to go: all of it, and what names its subject as it is.
POOLED, NAMED = "all of these", "that name the subject"
#: Kinds of anything asked: refused, because it matches too many.
REFUSED_ASKING, REFUSED_BESIDE = "refused of these", "refused beside"


@dataclass
class Count:
    """held of n."""

    held: int = 0
    n: int = 0

    def add(self, holds: bool) -> None:
        self.held += holds
        self.n += 1

    @property
    def share(self) -> float:
        return self.held / self.n if self.n else float("nan")

    def __str__(self) -> str:
        return f"{self.held} of {self.n} ({self.share:.4f}, at least {lower_bound(self.held, self.n):.4f})"


@dataclass
class Counts:
    """By kind of prompt. caught: of what asks for it. untouched: of what is beside. matches: requests a prompt
    matches, the most."""

    caught: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    untouched: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    refused: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    most: int = 0


def active_sets(real: Sequence[Subject], filling: Sequence[Subject], count: int) -> Iterator[tuple[Subject, ...]]:
    """So many requests in force together: the real ones in groups of so many, or all of them filled up."""
    if count > len(real):
        yield (*real, *filling[: count - len(real)])
        return
    for first in range(0, len(real) - count + 1, count):
        yield tuple(real[first : first + count])


def count(
    active: Iterable[Sequence[Subject]],
    beside: Sequence[Beside],
    matched: Mapping[str, frozenset[str]],
) -> Counts:
    """matched: of each prompt, the requests that match it, whether in force or not: each is matched by itself."""
    counts = Counts()
    for subjects in active:
        ids = frozenset(subject.id for subject in subjects)
        for subject in subjects:
            for kind, prompts in subject.asking.items():
                for prompt in prompts:
                    found = matched[prompt] & ids
                    counts.caught[kind].add(subject.id in found)
                    counts.caught[POOLED].add(subject.id in found)
                    if subject.named_in(terms(prompt)):
                        counts.caught[NAMED].add(subject.id in found)
                    counts.refused[REFUSED_ASKING].add(len(found) > MOST_MATCHES)
        for each in beside:
            if each.is_about_any(subjects):
                continue
            found = matched[each.prompt] & ids
            counts.untouched[each.kind].add(not found)
            counts.refused[REFUSED_BESIDE].add(len(found) > MOST_MATCHES)
            counts.most = max(counts.most, len(found))
    return counts
