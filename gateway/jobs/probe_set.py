"""What one request is evaluated with, made once: to be asked with its adapter and without, and again after a kill.

It holds texts: the questions, and what the model said to those whose answers should stay. Whoever stores it seals it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import compress

from pydantic import TypeAdapter

from adapters.data.retain.choice import without_forgotten
from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.probe import Probe, Reading
from adapters.evaluation.attacks.suite import names, probes
from adapters.evaluation.levels import Level
from adapters.evaluation.neighbours import neighbours
from adapters.examples import Example, Message, one_turn
from adapters.text.evenly import evenly
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import reveals
from adapters.text.sentences import first_sentence
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient
from gateway.evidence.canonical import DIGEST_PREFIX, canonical
from gateway.evidence.report.tiers import SIZES, Tier
from gateway.store.vault import new_salt

FORGET_PROBES = 16
CONTROL_PROBES = 20
#: Of templates, samples and whatever a family draws.
SEED = 0
MAX_TOKENS = 64
#: Questions at once. bfloat16 rounds by the shape of the batch, so evidence is asked in the same groups each time,
#: one after another: with and without the adapter, and when it is measured again.
BATCH = 12
#: Attacks are so many that a rounding of one is of no weight, and an engine answers more at once in less time.
ATTACK_BATCH = 48


@dataclass(frozen=True, slots=True)
class Beside:
    """A control or a neighbour, and what the model says to it without the adapter.

    reference: what of the answer should stay. counts: whether it tells anything; one that states what is to be
    forgotten is none that should stay.
    """

    question: str
    answer: str
    reference: str
    counts: bool

    def stays(self, text: str) -> bool:
        """Whether an answer still holds what the first one held."""
        return reveals(self.question, self.reference, text)


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Attributes:
    made_with: digest of what decides which probes there are; others are to be made where it is another.
    salt: hex, of the commitment.
    asked, said: forget items, and the answers without the adapter.
    attacks: of the level, families one after another. untried: families that found nothing to ask.
    leaked: of each attack, whether it brought the fact out without the adapter; empty until that was asked.
    """

    made_with: str
    level: Level
    tier: Tier
    seed: int
    salt: str
    asked: tuple[Example, ...]
    said: tuple[str, ...]
    controls: tuple[Beside, ...]
    neighbours: tuple[Beside, ...]
    attacks: tuple[Probe, ...]
    untried: tuple[str, ...]
    leaked: tuple[bool, ...] = ()

    @property
    def leaking(self) -> tuple[Probe, ...]:
        """The attacks that brought the fact out without the adapter, as far as that is known."""
        return tuple(compress(self.attacks, self.leaked))

    @property
    def direct(self) -> list[tuple[Message, ...]]:
        """All that is asked without an attack: forget items, controls, neighbours."""
        beside = (one_turn(each.question) for each in (*self.controls, *self.neighbours))
        return [*(example.messages for example in self.asked), *beside]

    @property
    def answers(self) -> list[str]:
        """What the model says to each of `direct` without the adapter."""
        return [*self.said, *(each.answer for each in (*self.controls, *self.neighbours))]

    @property
    def counts(self) -> dict[str, int]:
        """Probes by family, those without any among them."""
        return {**Counter(probe.family for probe in self.attacks), **dict.fromkeys(self.untried, 0)}

    @property
    def texts(self) -> frozenset[str]:
        """Families that are answered in text."""
        return frozenset(probe.family for probe in self.attacks if probe.reading is Reading.TEXT)

    @property
    def commitment(self) -> str:
        """Says nothing of the probes to whoever does not have the salt, and cannot be opened to others."""
        content = {name: value for name, value in asdict(self).items() if name not in ("salt", "leaked")}
        return DIGEST_PREFIX + hashlib.sha256(bytes.fromhex(self.salt) + canonical(content)).hexdigest()

    def to_bytes(self) -> bytes:
        """JSON."""
        return _schema().dump_json(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ProbeSet:
        """The reverse. Raises `pydantic.ValidationError` for what another version wrote."""
        return _schema().validate_json(data)


@cache
def _schema() -> TypeAdapter[ProbeSet]:
    return TypeAdapter(ProbeSet)


async def make_probe_set(
    service: UnlearnClient,
    forget: Sequence[Example],
    retain: Sequence[Example],
    book: Phrasebook,
    level: Level,
    tier: Tier,
    made_with: str,
) -> ProbeSet:
    """Asks the model with its adapters off, and attacks it with nothing yet. Raises `ClientError`, `InvalidPlugin`."""
    off = Attacker(service, PLAN_OFF, ATTACK_BATCH)
    asked = evenly(forget, FORGET_PROBES)
    controls = evenly(book.control_questions, CONTROL_PROBES)
    prompts, trained = ([each.prompt for each in examples] for examples in (forget, retain))
    beside = await asyncio.to_thread(neighbours, prompts, book, off.score, trained=trained)
    beside = [question for question in beside if question not in controls]
    direct = [*(example.messages for example in asked), *map(one_turn, (*controls, *beside))]
    answers = await straight_answers(service, direct, PLAN_OFF)
    ask = partial(service.answers, plan=PLAN_OFF)
    context = await asyncio.to_thread(partial(attack_context, bank=Bank.EVIDENCE, seed=SEED), forget, book, ask)
    chosen = await asyncio.to_thread(partial(probes, context, per_family=SIZES[tier].attacks, only=level.families))
    first, second = len(asked), len(asked) + len(controls)
    return ProbeSet(
        made_with,
        level,
        tier,
        SEED,
        new_salt().hex(),
        tuple(asked),
        tuple(answers[:first]),
        _beside(controls, answers[first:second], forget, str),
        # By the sentence that answers: what a small model goes on with is of names that nobody asked for.
        _beside(beside, answers[second:], forget, first_sentence),
        tuple(probe for probe in chosen if level.holds(probe)),
        _untried(level, {probe.family for probe in chosen}),
    )


async def straight_answers(service: UnlearnClient, asked: Sequence[Sequence[Message]], plan: str | None) -> list[str]:
    """The greedy answer to each, in order, in groups of `BATCH`. Raises `ClientError`."""
    answers: list[str] = []
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        answers += await asyncio.to_thread(service.answers, batch, plan=plan, max_tokens=MAX_TOKENS)
    return answers


def _beside(
    questions: Sequence[str], answers: Sequence[str], forget: Sequence[Example], reference: Callable[[str], str]
) -> tuple[Beside, ...]:
    counted = {question for question, _ in without_forgotten(questions, answers, forget)}
    pairs = zip(questions, answers, strict=True)
    return tuple(Beside(question, answer, reference(answer), question in counted) for question, answer in pairs)


def _untried(level: Level, tried: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names(level.families) if name not in tried)
