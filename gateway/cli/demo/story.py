"""Plays one fact: ask and attack, forget, ask and attack again, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from adapters.evaluation.levels import Level
from adapters.examples import one_turn
from gateway.cli.demo.attacks import Attacked, attack, attack_again
from gateway.cli.demo.facts import Fact, holds
from gateway.client.client import PLAN_OFF, UnlearnClient

MAX_TOKENS = 64


class Kind(StrEnum):
    """Why a question is asked."""

    FORGET = "forget"
    PARAPHRASE = "paraphrase"
    NEIGHBOUR = "neighbour"
    OTHER = "other"


class Verdict(StrEnum):
    """How the answer came out. `UNKNOWN`: the model did not hold the fact before, so there was nothing to check.
    `UNDECIDED`: too few attacks brought it out before to tell."""

    FORGOTTEN = "forgotten"
    STILL_KNOWN = "still known"
    KEPT = "kept"
    LOST = "lost"
    UNKNOWN = "not known before"
    UNDECIDED = "too few to tell"


GOOD = (Verdict.FORGOTTEN, Verdict.KEPT)
BAD = (Verdict.STILL_KNOWN, Verdict.LOST)


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and the words its answer must lose (FORGET, PARAPHRASE) or keep."""

    kind: Kind
    prompt: str
    term: tuple[str, ...]

    @property
    def must_go(self) -> bool:
        return self.kind in (Kind.FORGET, Kind.PARAPHRASE)

    def judge(self, before: str, after: str) -> Verdict:
        """What became of the fact."""
        if not holds(before, self.term):
            return Verdict.UNKNOWN
        if self.must_go:
            return Verdict.STILL_KNOWN if holds(after, self.term) else Verdict.FORGOTTEN
        return Verdict.KEPT if holds(after, self.term) else Verdict.LOST


@dataclass(frozen=True, slots=True)
class Row:
    """One question with both answers."""

    question: Question
    before: str
    after: str

    @property
    def verdict(self) -> Verdict:
        return self.question.judge(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fact's story. `record` is the unlearning request as it was at the end; no rows where it did not get there.
    `allowed`: the share that a family of attacks may leak, as the service's gate has it."""

    fact: Fact
    record: dict[str, Any]
    rows: tuple[Row, ...]
    attacks: tuple[Attacked, ...] = ()
    allowed: float = 0.0

    @property
    def passed(self) -> bool:
        """Every fact that was there is gone, every control that was there is kept, and most were there; and no family
        of attacks that the request's level is held to is shown to leak more than it may."""
        known = [row for row in self.rows if row.verdict is not Verdict.UNKNOWN]
        straight = 2 * len(known) > len(self.rows) and all(row.verdict in GOOD for row in known)
        return straight and not any(self.counts(each) and self.judge(each) in BAD for each in self.attacks)

    def counts(self, attacked: Attacked) -> bool:
        """Whether the request's level is held to this family."""
        families = Level(self.record.get("level") or Level.REFUSES).families
        return families is None or attacked.outcome.family in families

    def judge(self, attacked: Attacked) -> Verdict:
        """What became of the fact, by the rule of the service's own gates: at the lower bound of what leaks."""
        outcome = attacked.outcome
        if not outcome.known:
            return Verdict.UNKNOWN
        if not outcome.conclusive:
            return Verdict.UNDECIDED
        return Verdict.STILL_KNOWN if outcome.exceeds(self.allowed) else Verdict.FORGOTTEN

    def to_dict(self) -> dict[str, Any]:
        return {
            "fact": self.fact.id,
            "passed": self.passed,
            "request": self.record,
            "rows": [
                {**asdict(row.question), "before": row.before, "after": row.after, "verdict": row.verdict}
                for row in self.rows
            ],
            "attacks": [
                {**each.to_dict(), "verdict": self.judge(each), "counts": self.counts(each)} for each in self.attacks
            ],
        }


def questions(fact: Fact) -> list[Question]:
    """All questions about one fact: those trained on, their paraphrases, the controls."""
    asked = [Question(Kind.FORGET, prompt, fact.term) for prompt, _ in fact.forget]
    asked += [Question(Kind.PARAPHRASE, prompt, fact.term) for prompt in fact.paraphrases]
    asked += [Question(Kind.NEIGHBOUR if c.near else Kind.OTHER, c.prompt, c.term) for c in fact.controls]
    return asked


def ask_all(client: UnlearnClient, prompts: Sequence[str], *, plan: str | None) -> list[str]:
    """Greedy answers, in the prompts' order."""
    return client.answers([one_turn(prompt) for prompt in prompts], plan=plan, max_tokens=MAX_TOKENS)


def play(
    client: UnlearnClient,
    facts: Sequence[Fact],
    *,
    method: str,
    config: Mapping[str, Any],
    fields: Mapping[str, Any],
    follow: Callable[[str], dict[str, Any]],
    allowed: float,
    keep: bool,
) -> list[Outcome]:
    """Ask and attack with the adapters off; register the facts one after the other and `follow` each request to its
    end; with all that got there active together, ask and attack as anybody would; retire them unless `keep`.

    fields: further ones of each request. allowed: as `Outcome` has it.

    Requests that are interrupted are retired as well: the demo leaves nothing behind.
    """
    asked = {fact: questions(fact) for fact in facts}
    prompts = [question.prompt for fact in facts for question in asked[fact]]
    before = ask_all(client, prompts, plan=PLAN_OFF)
    attacked = {fact: attack(client, fact) for fact in facts}
    registered: list[str] = []
    records: dict[Fact, dict[str, Any]] = {}
    finished = False
    try:
        for fact in facts:
            registered.append(str(client.register(fact.body(method, config, **fields))["id"]))
            records[fact] = follow(registered[-1])
        none_active = all(record["state"] != "active" for record in records.values())
        after = [] if none_active else ask_all(client, prompts, plan=None)
        again = {fact: attack_again(client, attacked[fact]) for fact in facts if records[fact]["state"] == "active"}
        finished = True
    finally:
        if not (keep and finished):
            for request_id in registered:
                _retire(client, request_id)
    outcomes, start = [], 0
    for fact in facts:
        part = slice(start, start + len(asked[fact]))
        start = part.stop
        rows: tuple[Row, ...] = ()
        if records[fact]["state"] == "active":
            rows = tuple(Row(*parts) for parts in zip(asked[fact], before[part], after[part], strict=True))
        outcomes.append(Outcome(fact, records[fact], rows, tuple(again.get(fact, ())), allowed))
    return outcomes


def _retire(client: UnlearnClient, request_id: str) -> None:
    """Unless somebody else did."""
    if client.show(request_id)["state"] != "retired":
        client.retire(request_id)
