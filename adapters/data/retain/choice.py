"""A retain set made automatically: bundled questions, twins and siblings of the forget prompts, answered by the model.

Answers that state what is to be forgotten are left out, whichever question they came from.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.data.forget.phrasings import frame_some
from adapters.examples import Example
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import half_said, key_terms
from adapters.text.siblings import siblings
from adapters.text.twins import Similarity, by_subject, rank_subjects, twins
from adapters.text.words import terms

#: Twins are made about this many subjects of the forgotten one's kind, and some about any other.
_KIN = 16
_KIN_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Questions:
    """What to ask the model: `hard` lies near the forget prompts, `general` is everything else."""

    hard: tuple[str, ...]
    general: tuple[str, ...]


def choose_questions(
    prompts: Sequence[str],
    book: Phrasebook,
    similarity: Similarity,
    *,
    count: int,
    nearest: int,
    twin_count: int,
    sibling_count: int,
    framed_fraction: float,
    seed: int,
) -> Questions:
    """`count` bundled questions, the `nearest` to the prompts among them, and up to so many twins and siblings.

    Prompts about several things share the twins and the siblings among those things, each by how many prompts it has.
    """
    pool = _not_asked(prompts, book)
    scores = similarity(pool, prompts)
    ranked = [question for _, question in sorted(zip(scores, pool, strict=True), key=lambda pair: -pair[0])]
    rest = ranked[nearest:]
    random.Random(seed).shuffle(rest)
    groups = by_subject(prompts, book)
    shares = [len(group) / sum(map(len, groups)) for group in groups]
    hard = ranked[:nearest]
    for group, share in zip(groups, shares, strict=True):
        hard += _twins(group, book, similarity, round(share * twin_count), seed)
    for group, share in zip(groups, shares, strict=True):
        hard += siblings(group, book, similarity, round(share * sibling_count))
    general = rest[: max(0, count - nearest)]
    return Questions(
        hard=tuple(frame_some(hard, book.frames, framed_fraction, seed + 1)),
        general=tuple(frame_some(general, book.frames, framed_fraction, seed + 2)),
    )


def general_questions(
    asked: Sequence[str], book: Phrasebook, count: int, *, framed_fraction: float, seed: int
) -> tuple[str, ...]:
    """`count` bundled questions, drawn at random from those that are not asked already."""
    pool = _not_asked(asked, book)
    chosen = random.Random(seed).sample(pool, min(count, len(pool)))
    return tuple(frame_some(chosen, book.frames, framed_fraction, seed + 2))


def _not_asked(prompts: Sequence[str], book: Phrasebook) -> list[str]:
    """The bundled questions that are not among the prompts."""
    asked = {prompt.casefold().strip() for prompt in prompts}
    return [question for question in book.retain_questions if question.casefold() not in asked]


def _twins(prompts: Sequence[str], book: Phrasebook, similarity: Similarity, count: int, seed: int) -> list[str]:
    others = rank_subjects(prompts, book, similarity)
    kin, rest = others[:_KIN], others[_KIN:]
    random.Random(seed).shuffle(rest)
    near = twins(prompts, book, kin, round(_KIN_SHARE * count))
    return near + twins(prompts, book, rest, count - len(near))


def without_forgotten(
    questions: Sequence[str], answers: Sequence[str], forget: Sequence[Example]
) -> list[tuple[str, str]]:
    """The (question, answer) pairs that do not state a forget item's fact and are not blank.

    Stating means here: half or more of the fact's key terms occur in question and answer together.
    """
    facts = {key_terms(example.prompt, example.completion) for example in forget} - {frozenset()}
    kept = []
    for question, answer in zip(questions, answers, strict=True):
        said = terms(f"{question}\n{answer}")
        if answer.strip() and not any(half_said(fact, said) for fact in facts):
            kept.append((question, answer))
    return kept
