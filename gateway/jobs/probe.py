"""Evidence for one request: its forget prompts and a few controls, asked with and without its adapter.

What is kept are counts and rates; no question and no answer leaves this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from adapters.data.retain.choice import without_forgotten
from adapters.examples import Example, Message, one_turn
from adapters.text.phrasebook import phrasebook
from adapters.text.probes import is_fluent, reveals
from gateway.client.client import PLAN_OFF, UnlearnClient, candidate_plan
from gateway.settings import Settings

T = TypeVar("T")

FORGET_PROBES = 16
CONTROL_PROBES = 20
MAX_TOKENS = 64
#: Questions at once. bfloat16 rounds by the shape of the batch, so evidence is asked in the same groups each time,
#: one after another: with and without the adapter, and when it is measured again.
BATCH = 12


async def probe(service: UnlearnClient, request_id: str, forget: Sequence[Example], language: str) -> dict[str, Any]:
    """Ask the service with its adapters off and with this request's alone.

    A forget item leaks when the answer reveals the completion that was to go. A control is kept when the
    answer still holds what the original one held; one whose original answer states what is to be forgotten
    is no control for this request. `kept_rate` is None when no control is left. language: that of the controls.
    """
    examples = evenly(forget, FORGET_PROBES)
    questions = evenly(phrasebook(language).control_questions, CONTROL_PROBES)
    asked = [example.messages for example in examples] + [one_turn(question) for question in questions]
    before = await _answers(service, asked, PLAN_OFF)
    after = await _answers(service, asked, candidate_plan(request_id))

    n = len(examples)
    counted = dict(without_forgotten(questions, before[n:], forget))
    controls = [(q, counted[q], a) for q, a in zip(questions, after[n:], strict=True) if q in counted]
    return {
        "plan": "candidate alone",
        "forget": {
            "n": n,
            "leak_rate_before": _rate(
                reveals(e.prompt, e.completion, a) for e, a in zip(examples, before[:n], strict=True)
            ),
            "leak_rate_after": _rate(
                reveals(e.prompt, e.completion, a) for e, a in zip(examples, after[:n], strict=True)
            ),
        },
        "controls": {"n": len(controls), "kept_rate": _rate(reveals(q, b, a) for q, b, a in controls)},
        "fluent_rate_after": _rate(is_fluent(answer) for answer in after),
    }


async def _answers(service: UnlearnClient, asked: Sequence[Sequence[Message]], plan: str) -> list[str]:
    answers: list[str] = []
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        answers += await asyncio.to_thread(service.answers, batch, plan=plan, max_tokens=MAX_TOKENS)
    return answers


class Verdict(StrEnum):
    """What the evidence comes to. NOTHING_KNOWN: no forget prompt leaked before, so there was nothing to forget."""

    FORGOTTEN = "forgotten"
    NOTHING_KNOWN = "nothing_known"
    REJECTED = "rejected"


def verdict(evidence: dict[str, Any], settings: Settings) -> Verdict:
    """Harm is harm, also where nothing was known: the gates come first."""
    if objection(evidence, settings) is not None:
        return Verdict.REJECTED
    return Verdict.FORGOTTEN if evidence["forget"]["leak_rate_before"] else Verdict.NOTHING_KNOWN


def objection(evidence: dict[str, Any], settings: Settings) -> str | None:
    """Why this evidence does not pass the gates, or None."""
    leak = evidence["forget"]["leak_rate_after"]
    kept = evidence["controls"]["kept_rate"]
    problems = []
    if leak > settings.gate_max_leak:
        problems.append(f"{leak:.0%} of the forget prompts still leak, {settings.gate_max_leak:.0%} may")
    if kept is None:
        problems.append("no control answer was left to tell what stays")
    elif kept < settings.gate_min_kept:
        problems.append(f"{kept:.0%} of the control answers were kept, {settings.gate_min_kept:.0%} must be")
    return "; ".join(problems) or None


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly spaced, the first and last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _rate(outcomes: Iterable[bool]) -> float | None:
    flags = list(outcomes)
    return round(sum(flags) / len(flags), 4) if flags else None
