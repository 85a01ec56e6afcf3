"""From a task to tokenised examples: the items, the forget side, the retain side, then tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.data.forget.cloze import cloze_variants
from adapters.data.forget.lessons import ForgetContext, Lesson, refusals_in_phrasings, reworded
from adapters.data.retain.retain_set import Retained, given_retain, made_retain
from adapters.data.settings import DataSettings
from adapters.errors import InvalidExample, InvalidItem
from adapters.evaluation.attacks.encoding import encode
from adapters.evaluation.attacks.probe import Query, Respond
from adapters.evaluation.responder import Responder
from adapters.evaluation.served import ServedModel
from adapters.examples import Example, check_examples
from adapters.models.counterfactual import aligned, named_positions
from adapters.models.fact_tokens import fact_positions
from adapters.models.frozen import PromptedModel
from adapters.models.original import OriginalModel
from adapters.models.tokens import Counterfactual, TokenizedExample, encode_answer, encode_pair
from adapters.models.workbench import Workbench
from adapters.task import TrainingTask

#: Attacks answered at once, between which a run can be cancelled.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ForgetExample:
    """One prompt with the answer that is to go and what is learnt in its place: a refusal, an answer that contradicts,
    alternatives that are to be as likely; or, where there is none of these, what the model says of others.

    alternatives: to the same prompt, the true answer first.
    """

    original: TokenizedExample
    refusal: TokenizedExample | None
    inverted: TokenizedExample | None = None
    alternatives: tuple[TokenizedExample, ...] = ()

    @property
    def refused(self) -> TokenizedExample:
        """The refusal. Raises ValueError where the answer is not refused."""
        if self.refusal is None:
            raise ValueError("this answer is not refused")
        return self.refusal

    @property
    def kind(self) -> str:
        """What is learnt in the answer's place: "direct", another answer; "taught", what a teacher says; "choice"."""
        if self.alternatives:
            return "choice"
        return "taught" if self.refusal is None and self.inverted is None else "direct"

    @property
    def longest(self) -> int:
        """Tokens of the longest of them."""
        others = [other.example for other in self.original.counterfactuals]
        all_of_them = (self.original, self.refusal, self.inverted, *self.alternatives, *others)
        return max(len(each) for each in all_of_them if each is not None)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is trained on. `hard` are the retain examples nearest to the forget prompts, `general` the rest.

    given: those of both that the caller gave; the others were made.
    """

    forget: tuple[ForgetExample, ...]
    hard: tuple[TokenizedExample, ...]
    general: tuple[TokenizedExample, ...]
    given: frozenset[TokenizedExample] = frozenset()


def build_dataset(
    task: TrainingTask,
    settings: DataSettings,
    bench: Workbench,
    target: PromptedModel,
    lessons: Callable[[ForgetContext], Sequence[Lesson]] = refusals_in_phrasings,
    *,
    refusal_kinds: int = 1,
    reserved_tokens: int = 0,
) -> Dataset:
    """Prompts and answers as the method will see them; `reserved_tokens` of the context are the method's own.

    bench, target: what the model is asked with, and the model, which nothing has changed yet. lessons: makes the forget
    side, as `Objective.examples` does.

    Raises `InvalidExample` for items that cannot be trained on, `TrainingCancelled` when told to stop.
    """
    items, kept, book = task.forget, task.retain, task.phrasebook
    original = OriginalModel(task, bench, target)  # goes with this call: it holds layers that training may give up
    tokens = _Tokens(original, min(settings.max_length, original.context - reserved_tokens))
    check_examples(items, kept or ())
    tokens.check("forget", items)
    tokens.check("retain", kept or ())
    found = reworded(items, settings, book, original)
    context = ForgetContext(
        items,
        found,
        settings,
        refusal_kinds,
        task.inverted,
        original,
        task.inverter,
        book,
        _answering(original, task.respond or Responder(ServedModel(target), bench.tokenizer).respond, bench),
        task.leaks,
    )
    learnt = lessons(context)
    forget = [lesson for lesson in learnt if not lesson.kept]
    if kept is None:
        stems = cloze_variants(items, book.cloze[: settings.cloze_forms])
        prompts = [example.prompt for example in (*items, *stems, *found)]
        retain = made_retain(items, prompts, settings, book, original)
    else:
        retain = given_retain(items, kept, settings, book, original)
    return Dataset(
        tokens.forget(forget),
        (*tokens.retained(retain.hard), *tokens.kept(lesson for lesson in learnt if lesson.kept)),
        tuple(tokens.retained(retain.general)),
        frozenset(tokens.retained(each for each in (*retain.hard, *retain.general) if each.given)),
    )


def _answering(original: OriginalModel, respond: Respond, bench: Workbench) -> Respond:
    """Says how far it is, and asks nothing twice."""

    def answered(queries: Sequence[Query]) -> list[tuple[str, ...]]:
        texts: list[tuple[str, ...]] = []
        for start in range(0, len(queries), _AT_ONCE):
            original.report("attacks", start, len(queries))
            texts += bench.responded(queries[start : start + _AT_ONCE], respond)
        return texts

    return answered


class _Tokens:
    """Encodes text, and leaves out what is longer than `limit` tokens."""

    def __init__(self, original: OriginalModel, limit: int) -> None:
        self._tokenizer = original.tokenizer
        self._limit = limit

    def check(self, name: str, items: Sequence[Example]) -> None:
        """Raises `InvalidExample` for the first of the caller's items that is too long."""
        for index, item in enumerate(items):
            length = len(encode_pair(self._tokenizer, item.messages, item.completion))
            if length > self._limit:
                raise InvalidItem(name, index, f"is {length} tokens long; at most {self._limit} fit")

    def forget(self, lessons: Sequence[Lesson]) -> tuple[ForgetExample, ...]:
        """Raises `InvalidExample` where none is left, or none of an item that must not be lost."""
        encoded = [(lesson.item, self._encoded(lesson)) for lesson in lessons]
        fitting = [(item, example) for item, example in encoded if example.longest <= self._limit]
        lost = sorted({item for item, _ in encoded if item is not None} - {item for item, _ in fitting})
        room = f"room for what is learnt in its place within {self._limit} tokens"
        if lost:
            raise InvalidItem("forget", lost[0], f"leaves no {room}")
        if not fitting:
            raise InvalidExample(f"no forget prompt leaves {room}")
        return tuple(example for _, example in fitting)

    def retained(self, retained: Iterable[Retained]) -> list[TokenizedExample]:
        """Only made examples can be too long here, and leaving one of those out loses nothing that was asked for."""
        encoded = (
            encode_pair(self._tokenizer, each.example.messages, each.example.completion, ended=each.ended)
            for each in retained
        )
        return [example for example in encoded if len(example) <= self._limit]

    def kept(self, lessons: Iterable[Lesson]) -> Iterator[TokenizedExample]:
        """Those that fit."""
        for lesson in lessons:
            answer = encode_answer(self._tokenizer, lesson.example.completion, ended=lesson.ended)
            example = TokenizedExample(encode(self._tokenizer, lesson.begun), answer)
            if len(example) <= self._limit:
                yield example

    def _encoded(self, lesson: Lesson) -> ForgetExample:
        tokenizer, example, ended = self._tokenizer, lesson.example, lesson.ended
        begun = encode(tokenizer, lesson.begun)

        def answer(text: str | None, *, ended: bool = True) -> TokenizedExample | None:
            return None if text is None else TokenizedExample(begun, encode_answer(tokenizer, text, ended=ended))

        original = TokenizedExample(begun, encode_answer(tokenizer, example.completion, ended=ended))
        original = replace(
            original,
            fact=fact_positions(tokenizer, lesson.begun.shown, example.completion),
            **self._about_others(lesson),
        )
        alternatives = tuple(answer(text, ended=ended) for text in lesson.alternatives)
        return ForgetExample(
            original,
            answer(lesson.refusal),
            answer(lesson.inverted),
            tuple(each for each in alternatives if each is not None),
        )

    def _about_others(self, lesson: Lesson) -> dict[str, Any]:
        """The counterfactuals of an example, and which of its tokens are nobody's secret."""
        tokenizer, answer = self._tokenizer, lesson.example.completion
        found, own = [], set[int]()
        for other in lesson.about_others:
            positions, given_back = aligned(tokenizer, answer, other.spans, other.name, other.answer)
            example = TokenizedExample(
                encode(tokenizer, other.prompt), encode_answer(tokenizer, other.answer, ended=lesson.ended)
            )
            if lesson.ended:
                positions = (*positions, len(example.answer_ids) - 1)
            found.append(Counterfactual(example, positions, given_back))
        if lesson.ended:
            own.add(len(encode_answer(tokenizer, answer)) - 1)
        if lesson.about_others:
            own.update(named_positions(tokenizer, answer, lesson.about_others[0].spans))
        return {"counterfactuals": tuple(found), "own": tuple(sorted(own))}
