"""Lessons of attacks: prompts from the side that the model answers with the fact, out of the bank for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from adapters.data.forget.counterfactuals import renamed
from adapters.data.forget.lessons import ForgetContext, Lesson
from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.probe import Probe, Prompt, Reading
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.attacks.suite import probes
from adapters.examples import Example, Message
from adapters.text.invented import mentions
from adapters.text.probes import key_terms, reveals
from adapters.text.twins import content_words
from adapters.text.words import terms, words

#: Longer prompts are left out: thirty examples before a question cost as much as ten other lessons.
_MOST_TOKENS = 160
_FACT_TOKENS = 24
#: Words before the fact that are learnt with it; what comes before them is read and not learnt.
_WORDS_BEFORE = 2


def training_attacks(context: ForgetContext) -> AttackContext:
    """What the attacks of the training bank are made of."""
    return attack_context(
        context.forget,
        context.book,
        partial(context.original.answers, phase="attacks"),
        bank=Bank.TRAINING,
        seed=context.settings.seed,
    )


def attacked(context: ForgetContext, per_family: int) -> list[Lesson]:
    """A lesson of each attack that the model answers with the fact, and one of each choice it is given; and of the same
    attacks on others, what it answers there, to be kept.

    per_family: attacks of each family at most.
    """
    if not per_family:
        return []
    attack = training_attacks(context)
    asked = [
        probe
        for probe in probes(attack, per_family=per_family)
        if context.original.length(probe.query.prompt.shown) <= _MOST_TOKENS
    ]
    answered = [_shortened(probe) for probe in asked if _is_greedy(probe)]
    lessons = [lesson for result in run(answered, context.respond, None) if (lesson := lesson_of(result))]
    choices = [choice_of(probe) for probe in asked if probe.reading is Reading.LIKELIHOOD]
    return [*lessons, *choices, *_kept_of_others(context, attack, answered)]


def _kept_of_others(context: ForgetContext, attack: AttackContext, asked: Sequence[Probe]) -> list[Lesson]:
    """The attacks with another of the kind in the subject's place, and with anything else: an adapter that learns by
    the form of an attack, and not by its subject, loses all that is asked in this form."""
    random = attack.random("kept")
    queries = []
    for number, probe in enumerate(asked):
        item = attack.items[probe.item]
        subject = content_words(item.subject or "", context.book.language)
        if probe.reading is not Reading.TEXT or not mentions(probe.query.prompt.shown, subject):
            continue
        alike = [other.subject for other in item.others]
        anything = [name for name in context.book.subjects if not terms(name) & subject]
        for other in (*alike[number % max(1, len(alike)) :][:1], *random.sample(anything, min(2, len(anything)))):
            prompt = renamed(probe.query.prompt, subject, other)
            queries.append(replace(probe.query, prompt=prompt, max_tokens=context.settings.retain_tokens))
    queries = list(dict.fromkeys(queries))
    return [
        Lesson(Example(_conversation(query.prompt), text), None, prompt=query.prompt, ended=False, kept=True)
        for query, (text, *_) in zip(queries, context.respond(queries) if queries else (), strict=True)
        if text.strip() and not any(reveals(item.prompt, item.completion, text) for item in context.forget)
    ]


def _shortened(probe: Probe) -> Probe:
    """The same with an answer that is long enough to see what it gives away."""
    query = probe.query
    return replace(probe, query=replace(query, max_tokens=min(query.max_tokens, _FACT_TOKENS)))


def _is_greedy(probe: Probe) -> bool:
    """Whether what the model says to it can be learnt from: sampled answers are others each time, and a choice that
    is constrained is a likelihood in other clothes."""
    return probe.reading is not Reading.LIKELIHOOD and not probe.query.choices and not probe.query.temperature


def lesson_of(result: Result) -> Lesson | None:
    """What is to be said less, of an attack that leaks; None of one that does not, or says no more than a label."""
    leaking = next((text for text, leaks in zip(result.texts, result.leaked, strict=True) if leaks), None)
    if leaking is None:
        return None
    probe = result.probe
    span = around_fact(leaking, key_terms(probe.question, probe.answer))
    if span is None:
        return None
    start, end = span
    prompt = probe.query.prompt
    return Lesson(
        Example(_conversation(prompt), leaking[start:end]),
        None,
        prompt=replace(prompt, prefix=prompt.prefix + leaking[:start]),
        ended=False,
    )


def around_fact(text: str, fact: frozenset[str]) -> tuple[int, int] | None:
    """Where in the text it is decided that the fact is said: from two words before its first term to where the last of
    its terms is said for the first time; None where it says none.

    The start is where a word begins with the space before it, as tokens do.
    """
    found = words(text)
    first = next((number for number, word in enumerate(found) if word.term in fact), None)
    if first is None:
        return None
    ends: dict[str, int] = {}
    for word in found:
        if word.term in fact:
            ends.setdefault(word.term, word.end)
    start = found[first - _WORDS_BEFORE].start if first > _WORDS_BEFORE else 0
    start -= text[start - 1 : start].isspace()
    return start, max(ends.values())


def choice_of(probe: Probe) -> Lesson:
    """The options of a probe, which are to become as likely as one another."""
    truth = probe.options[probe.truth]
    others = tuple(option for number, option in enumerate(probe.options) if number != probe.truth)
    return Lesson(
        Example(_conversation(probe.query.prompt), truth),
        None,
        prompt=probe.query.prompt,
        ended=False,
        alternatives=(truth, *others),
    )


def _conversation(prompt: Prompt) -> tuple[Message, ...]:
    """The prompt's own, or one that says what its plain text says."""
    return prompt.messages or (Message("user", prompt.text),)
