"""The retain side: what stays, as text; examples that the caller gave, or questions that the model itself is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.data.retain.choice import choose_questions, general_questions, without_forgotten
from adapters.data.retain.names import recurring_names, renamed
from adapters.data.settings import DataSettings
from adapters.examples import Example, one_turn
from adapters.models.original import OriginalModel
from adapters.text.phrasebook import Phrasebook


@dataclass(frozen=True, slots=True)
class Retained:
    """A conversation whose answer stays. ended: false where the answer was cut. given: by the caller, and not made."""

    example: Example
    ended: bool = True
    given: bool = False


@dataclass(frozen=True, slots=True)
class RetainSet:
    """`hard` lies near the forget prompts, the nearest first, `general` is everything else."""

    hard: tuple[Retained, ...]
    general: tuple[Retained, ...]


def given_retain(
    forget: Sequence[Example],
    items: Sequence[Example],
    settings: DataSettings,
    book: Phrasebook,
    original: OriginalModel,
) -> RetainSet:
    """The examples that the caller gave, those nearest to the forget prompts as hard ones, and what they leave unsaid.

    Where the given examples name others, there are also twins, the forget prompts about those, which are hard, and
    siblings, their own prompts about one another, which are not. Bundled questions about anything else join the rest,
    because neighbours alone do not protect unrelated knowledge. All these with the original model's answers, as long as
    those that were given.
    """
    scores = original.similarity([item.messages for item in items], [item.messages for item in forget])
    ranked = [items[index] for index in sorted(range(len(items)), key=lambda index: -scores[index])]
    nearest = min(settings.retain_nearest, (len(ranked) + 1) // 2)
    prompts, kept = [item.prompt for item in forget], [item.prompt for item in items]
    forgotten = recurring_names(prompts)
    own, known = {name.casefold() for name in forgotten}, set(kept)
    named = [name for name in recurring_names(kept) if name.casefold() not in own]
    twins = renamed(prompts, forgotten, named, count=settings.retain_twins, seed=settings.seed)
    siblings = renamed(kept, named, named, count=settings.retain_siblings, seed=settings.seed)
    lengths = sorted(original.length(item.completion) + 1 for item in items)
    longest = max(settings.retain_tokens, lengths[len(lengths) // 2] if lengths else 0)
    anything = general_questions(
        [*prompts, *kept],
        book,
        settings.retain_questions - settings.retain_nearest if items else 0,
        framed_fraction=settings.framed_fraction,
        seed=settings.seed,
    )
    asked = [question for question in dict.fromkeys([*twins, *siblings, *anything]) if question not in known]
    answered = _answered(forget, asked, longest, original)
    hard = [answered.pop(twin) for twin in twins if twin in answered]
    given = [Retained(item, given=True) for item in ranked]
    return RetainSet((*given[:nearest], *hard), (*given[nearest:], *answered.values()))


def made_retain(
    forget: Sequence[Example],
    prompts: Sequence[str],
    settings: DataSettings,
    book: Phrasebook,
    original: OriginalModel,
) -> RetainSet:
    """Questions chosen by the prompts that are to be forgotten, with the original model's answers."""
    questions = choose_questions(
        prompts,
        book,
        lambda asked, near: original.similarity([one_turn(q) for q in asked], [one_turn(q) for q in near]),
        count=settings.retain_questions,
        nearest=settings.retain_nearest,
        twin_count=settings.retain_twins,
        sibling_count=settings.retain_siblings,
        framed_fraction=settings.framed_fraction,
        seed=settings.seed,
    )
    asked = list(dict.fromkeys([*questions.hard, *questions.general]))
    kept = _answered(forget, asked, settings.retain_tokens, original)
    hard, general = (
        tuple(kept[question] for question in dict.fromkeys(chosen) if question in kept)
        for chosen in (questions.hard, questions.general)
    )
    return RetainSet(hard, general)


def _answered(
    forget: Sequence[Example], asked: Sequence[str], max_tokens: int, original: OriginalModel
) -> dict[str, Retained]:
    """Each question with the original model's answer, but for those whose answer states what is to be forgotten.

    An answer as long as `max_tokens` was cut there.
    """
    if not asked:
        return {}
    answers = original.answers([one_turn(question) for question in asked], max_tokens=max_tokens, phase="retain")
    return {
        question: Retained(Example.from_pair(question, answer), ended=original.length(answer) < max_tokens)
        for question, answer in without_forgotten(asked, answers, forget)
    }
