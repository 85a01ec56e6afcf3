"""The forget side: of what is to go, prompts with the old answers and with what is learnt in their place, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.data.forget.cloze import cloze_variants
from adapters.data.forget.phrasings import with_framed_variants
from adapters.data.forget.rewordings import rewordings
from adapters.data.forget.split import split_variants
from adapters.data.settings import DataSettings
from adapters.evaluation.attacks.probe import Prompt, Respond
from adapters.evaluation.attacks.run import Result
from adapters.examples import Example
from adapters.models.original import OriginalModel
from adapters.task import Ask
from adapters.text.phrasebook import Phrasebook
from adapters.text.refusals import draw_refusals

_LINE_TOKENS = 48  # two or three lines of a list
_FACT_TOKENS = 24  # far enough into an answer to see what it gives away


@dataclass(frozen=True, slots=True)
class Lesson:
    """A prompt with the answer that is to go, and what is learnt in its place.

    Attributes:
        example: the conversation, and the answer.
        refusal: of it; None where the answer is not refused but made as likely as it is to one who never knew.
        inverted: an answer that contradicts, for an objective that learns such.
        item: the forget item it must not be lost of, where it would be too long to train on; None: any other stands
            for it.
        prompt: what is gone on with, where that is more or other than the conversation. ended: whether the answer ends.
        alternatives: answers of the same kind, the true one first, which are all to become as likely.
        about_others: the same prompt and answer with other names in the subject's place.
        kept: the answer stays; nothing is learnt in its place.
    """

    example: Example
    refusal: str | None
    inverted: str | None = None
    item: int | None = None
    prompt: Prompt | None = None
    ended: bool = True
    alternatives: tuple[str, ...] = ()
    about_others: tuple[AboutAnother, ...] = ()
    kept: bool = False

    @property
    def begun(self) -> Prompt:
        """What the answer goes on with."""
        return self.prompt or Prompt(self.example.messages)


@dataclass(frozen=True, slots=True)
class AboutAnother:
    """A lesson's prompt and answer with `name` in the subject's place; spans: where the subject stands in the answer
    of the lesson."""

    prompt: Prompt
    answer: str
    name: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ForgetContext:
    """What an objective has to make its lessons of.

    forget: the items, as the caller gave them. reworded: more prompts, in words of the model itself, each with the
    model's own answer, which gives away the fact of an item. refusal_kinds: from how many wordings refusals are drawn.
    inverted: contradicting answers that the caller gave, by the items' positions. original: the model, to be asked.
    inverter: another model to be asked for contradicting answers, where the operator has named one. book: what the
    package itself says in the items' language. respond: what the model goes on with any prompt with. leaks: of an
    earlier round, to be learnt from.
    """

    forget: Sequence[Example]
    reworded: Sequence[Example]
    settings: DataSettings
    refusal_kinds: int
    inverted: Mapping[int, Sequence[str]]
    original: OriginalModel
    inverter: Ask | None
    book: Phrasebook
    respond: Respond
    leaks: Sequence[Result] = ()


def reworded(
    forget: Sequence[Example], settings: DataSettings, book: Phrasebook, original: OriginalModel
) -> list[Example]:
    """Forget prompts that nobody gave, as the model itself would put them."""
    return rewordings(
        forget,
        book,
        lambda texts: original.continuations(texts, max_tokens=_LINE_TOKENS, seed=settings.seed, phase="rewording"),
        lambda conversations: original.answers(conversations, max_tokens=_FACT_TOKENS),
        lists=settings.rewording_lists,
        count=settings.rewordings,
        seed=settings.seed,
    )


def refusals_in_phrasings(context: ForgetContext) -> list[Lesson]:
    """Refusals to the items in several phrasings, to sentences to be completed, and to what was reworded."""
    book, settings = context.book, context.settings
    found = [*cloze_variants(context.forget, book.cloze[: settings.cloze_forms]), *context.reworded]
    return refused(phrased(context.forget, found, book, settings), book, context.refusal_kinds, settings.seed)


def refused(examples: Sequence[Example], book: Phrasebook, kinds: int, seed: int) -> list[Lesson]:
    """A lesson of each example, with the one refusal drawn for it."""
    drawn = draw_refusals(book.refusals, len(examples), seed, kinds=kinds)
    return [Lesson(example, refusal) for example, refusal in zip(examples, drawn, strict=True)]


def phrased(
    forget: Sequence[Example], found: Sequence[Example], book: Phrasebook, settings: DataSettings
) -> list[Example]:
    """Forget prompts in several phrasings. What was `found` is varied once at most: it is various already."""
    variants = with_framed_variants(forget, book.frames, settings.framed_variants, settings.seed)
    variants += with_framed_variants(found, book.frames, min(1, settings.framed_variants), settings.seed)
    if settings.framed_variants:
        variants += split_variants(forget, book)
    return variants
