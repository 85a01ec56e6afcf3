"""Evidence for one request: what the service answers with its adapter and without, asked straight and under attack.

What is kept are counts and rates; no question and no answer leaves this module.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, groupby
from typing import Any

from adapters.data.retain.choice import without_forgotten
from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.outcome import FamilyOutcome, outcomes, pooled
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.reading import leaks
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.attacks.suite import probes
from adapters.evaluation.levels import Level
from adapters.evaluation.neighbours import neighbours
from adapters.evaluation.statistics.proportion import upper_bound
from adapters.examples import Example, Message, one_turn
from adapters.progress import Progress
from adapters.text.evenly import evenly
from adapters.text.phrasebook import phrasebook
from adapters.text.probes import is_fluent, reveals
from adapters.text.sentences import first_sentence
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient, candidate_plan
from gateway.jobs.scope_gate import ScopeGate

log = logging.getLogger(__name__)

FORGET_PROBES = 16
CONTROL_PROBES = 20
#: Of each attack family.
ATTACK_PROBES = 12
#: Of templates, samples and whatever a family draws.
SEED = 0
MAX_TOKENS = 64
#: Questions at once. bfloat16 rounds by the shape of the batch, so evidence is asked in the same groups each time,
#: one after another: with and without the adapter, and when it is measured again.
BATCH = 12
#: Attacks are so many that a rounding of one is of no weight, and an engine answers more at once in less time.
ATTACK_BATCH = 48
PHASE = "evaluation"
#: In a family's place, of a forget prompt that is asked as it is.
STRAIGHT = "straight"


@dataclass(frozen=True, slots=True)
class _Before:
    """What is asked, and what the model says to it with its adapters off.

    straight: forget prompts, then controls, then neighbours, with the answers; controls and neighbours say which of
    those count. attacked: every attack probe of the level.
    """

    straight: Sequence[Sequence[Message]]
    answers: Sequence[str]
    controls: Mapping[str, str]
    neighbours: Mapping[str, str]
    attacked: Sequence[Result]


class Prober:
    """Probes the candidates of one request, one after another.

    What the model says with its adapters off is asked at the first, and serves for all.

    Args:
        service: as its operator.
        request_id: whose adapter is probed.
        forget, retain: what it was trained on.
        language: of the bundled questions and templates.
        level: what it is held to.
        report: told how far a probing is.
        scope: of a `matched` request.
    """

    def __init__(
        self,
        service: UnlearnClient,
        request_id: str,
        forget: Sequence[Example],
        retain: Sequence[Example],
        language: str,
        level: Level,
        report: Callable[[Progress], None] = lambda _: None,
        scope: ScopeGate | None = None,
    ) -> None:
        self._service = service
        self._id = request_id
        self._forget = forget
        self._retain = retain
        self._book = phrasebook(language)
        self._level = level
        self._report = report
        self._scope = scope
        self._asked = evenly(forget, FORGET_PROBES)
        self._known: _Before | None = None
        self._leaking: list[Result] = []

    @property
    def leaking(self) -> Sequence[Result]:
        """What leaked before and was asked with the adapter at the last evidence, as the model answered it before: the
        forget prompts, then attacks."""
        return self._leaking

    async def evidence(self) -> dict[str, Any]:
        """What comes of the adapter that is served under the request's id now. Raises `ClientError`.

        A forget item leaks when the answer reveals the completion that was to go. A control or a neighbour is kept when
        the answer still holds what the original one held; one whose original answer states what is to be forgotten is
        none for this request. `kept_rate` is None when no control is left. An attack counts where it brought the fact
        out before; only those are tried again.

        Of a `matched` request that catches enough of the attacks, a prompt that it does not catch is not asked again:
        it has the answer of the model as it is, which is what the service gives.
        """
        if self._known is None:
            self._known = await self._before()
        before = self._known
        known = [result.probe for result in before.attacked if result.leaks]
        log.info(
            "evaluation begins id=%s level=%s seed=%d questions=%d attacks=%d",
            *(self._id, self._level, SEED, len(before.straight), len(known)),
        )
        plan = candidate_plan(self._id)
        asked, tried = [True] * len(before.straight), [True] * len(known)
        judged: dict[str, Any] = {"plan": "candidate alone"}
        if self._scope is not None:
            shown = [Prompt(tuple(messages)).shown for messages in before.straight]
            fit = await asyncio.to_thread(self._scope.fit, [*shown, *(probe.query.prompt.shown for probe in known)])
            first = len(self._asked)
            scope = self._scope.outcome([*fit[:first], *fit[len(shown) :]], fit[first : len(shown)])
            judged["scope"] = scope
            if scope["applies"]:
                asked, tried = fit[: len(shown)], fit[len(shown) :]
                judged["plan"] = "candidate where it matches"
        given = [self._straight(number, answer) for number, answer in enumerate(before.answers[: len(self._asked)])]
        then = {result.probe: result for result in before.attacked}
        fitting = [*compress(given, asked), *(then[probe] for probe in compress(known, tried))]
        self._leaking = [result for result in fitting if result.leaks]
        said = iter(await self._answers(list(compress(before.straight, asked)), plan))
        answers = [next(said) if fits else off for fits, off in zip(asked, before.answers, strict=True)]
        now = {result.probe: result for result in await self._attacked(list(compress(known, tried)), plan)}
        return self._judged(before, answers, [now.get(probe, then[probe]) for probe in known]) | judged

    def _straight(self, number: int, answer: str) -> Result:
        """A forget prompt, asked as it is, as a probe."""
        item = self._asked[number]
        query = Query(Prompt(tuple(item.messages)), MAX_TOKENS)
        probe = Probe(STRAIGHT, STRAIGHT, number, query, item.prompt, item.completion)
        return Result(probe, (leaks(probe, answer),), (answer,))

    def _judged(self, before: _Before, answers: Sequence[str], attacked: Sequence[Result]) -> dict[str, Any]:
        said = [messages[-1].content for messages in before.straight]
        after = dict(zip(said[len(self._asked) :], answers[len(self._asked) :], strict=True))
        found = outcomes(before.attacked, attacked)
        texts = {result.probe.family for result in before.attacked if result.probe.reading is Reading.TEXT}
        controls = [reveals(q, answer, after[q]) for q, answer in before.controls.items()]
        return {
            "level": self._level.value,
            "forget": {
                "n": len(self._asked),
                "leak_rate_before": self._leak_rate(before.answers),
                "leak_rate_after": self._leak_rate(answers),
            },
            "attacks": {family: _numbers(outcome) for family, outcome in found.items()},
            "pooled": _numbers(pooled(outcome for family, outcome in found.items() if family in texts)),
            "inconclusive": [family for family, outcome in found.items() if not outcome.conclusive],
            "controls": {"n": len(controls), "kept_rate": _rate(controls)},
            # By the sentence that answers: what a small model goes on with is of names that nobody asked for.
            "neighbours": _kept(
                reveals(q, first_sentence(answer), after[q]) for q, answer in before.neighbours.items()
            ),
            "fluent_rate_after": _rate(is_fluent(answer) for answer in answers),
        }

    async def _before(self) -> _Before:
        off = Attacker(self._service, PLAN_OFF, ATTACK_BATCH)
        controls = evenly(self._book.control_questions, CONTROL_PROBES)
        prompts, trained = ([each.prompt for each in examples] for examples in (self._forget, self._retain))
        beside = await asyncio.to_thread(neighbours, prompts, self._book, off.score, trained=trained)
        beside = [question for question in beside if question not in controls]
        straight = [*(example.messages for example in self._asked), *map(one_turn, (*controls, *beside))]
        answers = await self._answers(straight, PLAN_OFF)
        ask = partial(self._service.answers, plan=PLAN_OFF)
        context = await asyncio.to_thread(
            partial(attack_context, bank=Bank.EVIDENCE, seed=SEED), self._forget, self._book, ask
        )
        chosen = probes(context, per_family=ATTACK_PROBES, only=self._level.families)
        attacked = await self._attacked([probe for probe in chosen if self._level.holds(probe)], PLAN_OFF)
        first, second = len(self._asked), len(self._asked) + len(controls)
        return _Before(
            straight,
            answers,
            dict(without_forgotten(controls, answers[first:second], self._forget)),
            dict(without_forgotten(beside, answers[second:], self._forget)),
            attacked,
        )

    async def _answers(self, asked: Sequence[Sequence[Message]], plan: str) -> list[str]:
        answers: list[str] = []
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            answers += await asyncio.to_thread(self._service.answers, batch, plan=plan, max_tokens=MAX_TOKENS)
        return answers

    async def _attacked(self, asked: Sequence[Probe], plan: str) -> list[Result]:
        """A family at a time, so that whoever cancels does not wait for all."""
        attacker = Attacker(self._service, plan, ATTACK_BATCH)
        results: list[Result] = []
        for _, family in groupby(asked, key=lambda probe: probe.family):
            self._report(Progress(PHASE, len(results), len(asked)))
            results += await asyncio.to_thread(run, list(family), attacker.respond, attacker.score)
        self._report(Progress(PHASE, len(asked), len(asked)))
        return results

    def _leak_rate(self, answers: Sequence[str]) -> float | None:
        """Of the forget prompts, whose answers come first."""
        return _rate(reveals(e.prompt, e.completion, a) for e, a in zip(self._asked, answers, strict=False))


def _numbers(outcome: FamilyOutcome) -> dict[str, Any]:
    """As the record holds them."""
    return {name: _rounded(value) for name, value in outcome.to_dict().items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _kept(outcomes: Iterable[bool]) -> dict[str, Any]:
    """bound: the exact upper bound of the share that is lost, which nothing gained can offset."""
    flags = list(outcomes)
    n, kept = len(flags), sum(flags)
    return {"n": n, "kept": kept, "lost": n - kept, "bound": round(upper_bound(n - kept, n), 4)}


def _rate(outcomes: Iterable[bool]) -> float | None:
    flags = list(outcomes)
    return round(sum(flags) / len(flags), 4) if flags else None
