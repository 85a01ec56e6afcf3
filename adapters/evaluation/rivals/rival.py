"""What a rival is: something that stands between whoever asks and a model, and is told what is not to come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.errors import InvalidConfig
from adapters.evaluation.attacks.probe import Prompt, Query, Respond, Score
from adapters.examples import Example
from adapters.text.phrasebook import Phrasebook, phrasebook_for
from adapters.text.probes import key_terms
from adapters.text.twins import by_subject, content_words, named_subject

if TYPE_CHECKING:
    from adapters.evaluation.likelihood import AnswerScore
    from adapters.models.frozen import PromptedModel


@dataclass(frozen=True)
class Forgotten:
    """What a rival is told. items: those to forget. subjects: what they are about, as named; may be empty."""

    items: tuple[Example, ...]
    subjects: tuple[str, ...]
    book: Phrasebook

    @classmethod
    def of(cls, items: Sequence[Example], subjects: Sequence[str] | None = None) -> Forgotten:
        """subjects None: what the items' prompts name."""
        book = phrasebook_for(text for item in items for text in (item.prompt, item.completion))
        if subjects is None:
            groups = by_subject([item.prompt for item in items], book)
            found = (named_subject(group, book) for group in groups)
            subjects = [subject for subject in dict.fromkeys(found) if subject is not None]
        return cls(tuple(items), tuple(subjects), book)

    @property
    def prompts(self) -> list[str]:
        return [item.prompt for item in self.items]

    @cached_property
    def facts(self) -> tuple[frozenset[str], ...]:
        """Key terms of each answer that has any, no set twice."""
        found = dict.fromkeys(key_terms(item.prompt, item.completion) for item in self.items)
        return tuple(fact for fact in found if fact)

    @cached_property
    def subject_terms(self) -> frozenset[str]:
        """The subjects' words, folded, without small ones."""
        return frozenset[str]().union(*(content_words(subject, self.book.language) for subject in self.subjects))

    @property
    def refusal(self) -> str:
        """What is said in place of an answer."""
        return self.book.refusals[0]


Continued = tuple[Prompt, tuple[str, ...]]
"""A prompt, and ways to go on with it."""

Read = Callable[[Sequence[Continued]], "list[tuple[AnswerScore, ...]]"]
"""Prompts with whole answers → how a model reads each answer."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The model itself, for a rival that reads its states."""

    model: PromptedModel
    tokenizer: Any


@dataclass(frozen=True, slots=True)
class Respondent:
    """A model as it can be asked. weights: the same model in this process; None where it is elsewhere."""

    respond: Respond
    score: Score
    weights: Weights | None = None


class Guard:
    """A model with a rival around it, which is asked as the model is. As it stands here it changes nothing."""

    def __init__(self, model: Respondent, forgotten: Forgotten) -> None:
        self.model = model
        self.forgotten = forgotten

    def admit(self, prompts: Sequence[Prompt]) -> list[Prompt | None]:
        """What the model is given in each prompt's place; None where it is not asked, and a refusal comes."""
        return list(prompts)

    def releases(self, answered: Sequence[tuple[Prompt, str]]) -> list[bool]:
        """Whether each answer gets through, with the prompt that the model was given; a refusal comes in place of one
        that does not."""
        return [True] * len(answered)

    def respond(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        """As `Respond`. Raises what the model's raises."""
        admitted = self.admit([query.prompt for query in queries])
        asked = [
            replace(query, prompt=prompt) for query, prompt in zip(queries, admitted, strict=True) if prompt is not None
        ]
        settled = iter(self._settled(asked, self.model.respond(asked)))
        return [
            (self.forgotten.refusal,) * query.samples if prompt is None else next(settled)
            for query, prompt in zip(queries, admitted, strict=True)
        ]

    def score(self, prompts: Sequence[Continued]) -> list[tuple[float, ...]]:
        """As `Score`: of what the model is given. A prompt that it is not asked finds all continuations alike."""
        admitted, asked = self._admitted(prompts)
        scores = iter(self.model.score(asked))
        return [
            alike(continuations) if prompt is None else next(scores)
            for prompt, (_, continuations) in zip(admitted, prompts, strict=True)
        ]

    def read(self, prompts: Sequence[Continued], read: Read) -> list[tuple[AnswerScore | None, ...]]:
        """How whole answers are read through the rival; None for one that never gets through.

        read: how the model reads those to what it is given.
        """
        admitted, asked = self._admitted(prompts)
        found = iter(read(asked))
        released = iter(self.releases([(prompt, answer) for prompt, answers in asked for answer in answers]))
        return [
            (None,) * len(answers)
            if prompt is None
            else tuple(score if next(released) else None for score in next(found))
            for prompt, (_, answers) in zip(admitted, prompts, strict=True)
        ]

    def _admitted(self, prompts: Sequence[Continued]) -> tuple[list[Prompt | None], list[Continued]]:
        """What is given in each prompt's place, and what there is to ask."""
        admitted = self.admit([prompt for prompt, _ in prompts])
        asked = [(prompt, rest) for prompt, (_, rest) in zip(admitted, prompts, strict=True) if prompt is not None]
        return admitted, asked

    def _settled(self, asked: Sequence[Query], said: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """What comes of the model's answers."""
        judged = [(query.prompt, text) for query, texts in zip(asked, said, strict=True) for text in texts]
        released = iter(self.releases(judged))
        return [tuple(text if next(released) else self.forgotten.refusal for text in texts) for texts in said]


def alike(continuations: Sequence[str]) -> tuple[float, ...]:
    """Scores that tell nothing: whoever divides by the length, as `attacks.run` does, finds no difference."""
    return tuple(-float(len(continuation)) for continuation in continuations)


class Rival(ABC):
    """One way to keep a model from speaking. The class's docstring says what it does and where it comes from."""

    #: Its name in tables and on the command line.
    name: ClassVar[str]
    #: Whether it reads the model's states, and so needs its weights.
    needs_weights: ClassVar[bool] = False

    @abstractmethod
    def around(self, model: Respondent, forgotten: Forgotten) -> Guard:
        """The model with the rival around it. Raises `InvalidConfig` where it needs weights that are not there."""


def weights_of(model: Respondent, rival: Rival) -> Weights:
    """Raises `InvalidConfig` where there are none."""
    if model.weights is None:
        raise InvalidConfig(f"{rival.name} reads the model's states: it needs the model's checkpoint here")
    return model.weights
