"""The answers a model is to learn in place of those to be forgotten, for the objectives that need some."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.data.forget.cloze import cloze_variants
from adapters.data.forget.lessons import ForgetContext, Lesson, phrased, refused
from adapters.data.inverted.inversion import AskedInversions, Invert, choose, contradictions
from adapters.data.inverted.substitution import SubstitutedInversions
from adapters.errors import InvalidItem
from adapters.evaluation.memo import TOKEN, Memo, Slide, memo
from adapters.examples import Example, one_turn
from adapters.models.original import in_parts
from adapters.text.probes import reveals

#: For choosing among a few answers; coarser than a report's, at a quarter of the cost.
_SLIDE = Slide(TOKEN, 4)
_CONTINUATION_TOKENS = 32
#: Asked at once of another model; in between a run can be cancelled.
_CHUNK = 32


def contradictions_in_phrasings(context: ForgetContext, *, top_k: int, metric: str) -> list[Lesson]:
    """Every wording of every forget prompt with each of its contradicting answers.

    A reworded prompt is that item's whose fact its answer gives away. Raises as `inverted_answers` does.
    """
    made: list[Lesson] = []
    owners = [
        next(i for i, item in enumerate(context.forget) if reveals(item.prompt, item.completion, example.completion))
        for example in context.reworded
    ]
    answers = inverted_answers(context, top_k=top_k, metric=metric)
    for index, (item, inverted) in enumerate(zip(context.forget, answers, strict=True)):
        found = cloze_variants([item], context.book.cloze[: context.settings.cloze_forms])
        found += [example for owner, example in zip(owners, context.reworded, strict=True) if owner == index]
        variants = phrased([item], found, context.book, context.settings)
        made += [
            Lesson(lesson.example, lesson.refusal, answer, index)
            for lesson in refused(variants, context.book, context.refusal_kinds, context.settings.seed + index)
            for answer in inverted
        ]
    return made


def inverted_answers(context: ForgetContext, *, top_k: int, metric: str) -> list[list[str]]:
    """For each forget item 1 to `top_k` answers that contradict its own, chosen by `metric`.

    Those the caller gave are taken first, and only those for an item that has some. Another model that the operator
    names is asked for the rest. Where there is none the model itself is, and where too few of its answers contradict,
    what it says of other subjects is put in place of the fact.

    Raises `InvalidItem` naming an item's position when nothing that contradicts it was found, whatever the inverter
    raises, `TrainingCancelled` when told to stop.
    """
    original = context.original
    found = _found(context, top_k)

    def memos(examples: Sequence[Example]) -> list[Memo]:
        return memo(
            examples, original.rest_of_answers, original.tokenizer, slide=_SLIDE, max_tokens=_CONTINUATION_TOKENS
        )

    chosen = []
    for index, (example, answers) in enumerate(zip(context.forget, found, strict=True)):
        if not answers:
            given = "those given do not" if index in context.inverted else "none was found that does"
            raise InvalidItem("forget", index, f"needs an answer that contradicts its own, and {given}")
        original.report("selecting", index, len(found))
        seed = context.settings.seed + index
        chosen.append(choose(example, answers, top_k=top_k, metric=metric, seed=seed, memos=memos))
    return chosen


def _found(context: ForgetContext, enough: int) -> list[list[str]]:
    """What contradicts each forget item, given or else from the sources in turn, until an item has enough."""
    forget, given = context.forget, context.inverted
    found = [contradictions(example, given.get(index, ()), forget) for index, example in enumerate(forget)]
    sources = _sources(context)
    for number, source in enumerate(sources):
        context.original.report("inverting", number, len(sources))
        short = [index for index, answers in enumerate(found) if len(answers) < enough and index not in given]
        if not short:
            break
        for index, candidates in zip(short, source([forget[index] for index in short]), strict=True):
            found[index] = contradictions(forget[index], [*found[index], *candidates], forget)
    return found


def _sources(context: ForgetContext) -> list[Invert]:
    original, book = context.original, context.book
    if context.inverter is not None:
        ask = in_parts(context.inverter, _CHUNK, lambda _done: original.report(None, 0, 0))
        return [AskedInversions(ask, book.inversions)]

    def near(questions: Sequence[str], prompts: Sequence[str]) -> list[float]:
        return original.similarity([one_turn(q) for q in questions], [one_turn(p) for p in prompts])

    substituted = SubstitutedInversions(original.answers, near, [example.prompt for example in context.forget], book)
    return [AskedInversions(original.answers, book.inversions), substituted]
