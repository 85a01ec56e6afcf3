"""Corrupted prompts behind a classifier: the model answers, and cannot read whom it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.rivals.corruption import CorruptedResponder
from adapters.evaluation.rivals.rival import Continued, Forgotten, Guard, Read, Respondent, Rival, Weights, weights_of
from adapters.evaluation.rivals.states import PromptStates, general_questions, twin_questions, wordings
from adapters.text.probes import reveals
from adapters.text.twins import content_words

#: Standard deviations of noise to try, the least first.
_STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
#: A prompt that is the likelier flagged, the two classes being equally likely.
_FLAGGED = 0.5
_PENALTY, _STEPS = 1e-3, 50
_ANSWER_TOKENS = 48

A = TypeVar("A")
T = TypeVar("T")


class Eco(Rival):
    """A classifier flags a prompt; the embeddings of its name tokens are read through noise, and the model answers.

    After ECO, Liu et al., arXiv 2406.07933. It fine-tunes RoBERTa as prompt classifier and another model to find name
    tokens, and sets the noise by zeroth-order search for what a retained model would score. Changed: the classifier is
    a logistic regression on the model's own mean hidden states, of the items in several wordings against their twins
    and general questions; name tokens are those of the subject's words, and in a flagged prompt without such all that
    say something; the noise, over all dimensions, is the least of a few at which no item's own prompt brings its
    answer. What is not flagged goes to the model as it is. What is flagged is always computed in this process.
    """

    name = "eco"
    needs_weights = True

    def around(self, model: Respondent, forgotten: Forgotten) -> Guard:
        """Raises `InvalidConfig`, also where the tokenizer cannot say where its tokens are."""
        return _Corrupted(model, forgotten, weights_of(model, self))


class _Corrupted(Guard):
    def __init__(self, model: Respondent, forgotten: Forgotten, weights: Weights) -> None:
        super().__init__(model, forgotten)
        self._states = PromptStates(weights)
        others = general_questions(forgotten) + twin_questions(forgotten, self._states)
        self._classifier = LogisticRegression(self._states.of(wordings(forgotten)), self._states.of(others))
        self._noisy = self._deafened(weights)

    def respond(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        flagged = self.flags([query.prompt for query in queries])
        return _split(queries, flagged, self._noisy.respond, self.model.respond)

    def score(self, prompts: Sequence[Continued]) -> list[tuple[float, ...]]:
        flagged = self.flags([prompt for prompt, _ in prompts])
        return _split(prompts, flagged, self._noisy.score, self.model.score)

    def read(self, prompts: Sequence[Continued], read: Read) -> list[tuple[AnswerScore | None, ...]]:
        flagged = self.flags([prompt for prompt, _ in prompts])
        found = _split(prompts, flagged, self._noisy.read, read)
        return [tuple(each) for each in found]

    def flags(self, prompts: Sequence[Prompt]) -> list[bool]:
        """Whether each prompt touches the forgotten, as the classifier has it."""
        return [likely > _FLAGGED for likely in self._states.highest(prompts, self._classifier.probability)]

    def _deafened(self, weights: Weights) -> CorruptedResponder:
        """With the least noise at which no item leaks, or the most there is."""
        queries = [Query(Prompt(item.messages), max_tokens=_ANSWER_TOKENS) for item in self.forgotten.items]
        for strength in _STRENGTHS:
            noisy = CorruptedResponder(weights, self._names, strength)
            said = zip(self.forgotten.items, noisy.respond(queries), strict=True)
            if not any(reveals(item.prompt, item.completion, text) for item, texts in said for text in texts):
                break
        return noisy

    def _names(self, text: str) -> frozenset[str]:
        """The subject's words; all that are no small ones in a text that holds none of them."""
        content = content_words(text)
        return content & self.forgotten.subject_terms or content


class LogisticRegression:
    """Tells two sets of vectors apart, each weighing as much as the other; standardised features, an L2 penalty."""

    def __init__(self, positive: torch.Tensor, negative: torch.Tensor) -> None:
        """positive, negative: [vectors, features]."""
        both = torch.cat((positive, negative))
        self._mean, self._deviation = both.mean(0), both.std(0).clamp(min=1e-6)
        features = self._standardised(both)
        labels = torch.cat((torch.ones(len(positive)), torch.zeros(len(negative))))
        shares = torch.where(labels == 1, 0.5 / len(positive), 0.5 / len(negative))
        self._weight = torch.zeros(both.shape[1], requires_grad=True)
        self._bias = torch.zeros((), requires_grad=True)
        optimiser = torch.optim.LBFGS([self._weight, self._bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            logits = features @ self._weight + self._bias
            losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            total: torch.Tensor = (shares * losses).sum() + _PENALTY * self._weight.square().sum()
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimiser.step(loss)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def probability(self, vectors: torch.Tensor) -> torch.Tensor:
        """Of being of the first set, [vectors]."""
        return torch.sigmoid(self._standardised(vectors) @ self._weight + self._bias)

    def _standardised(self, vectors: torch.Tensor) -> torch.Tensor:
        return (vectors - self._mean) / self._deviation


def _split(
    work: Sequence[A],
    first: Sequence[bool],
    one: Callable[[Sequence[A]], list[T]],
    other: Callable[[Sequence[A]], list[T]],
) -> list[T]:
    """The results in order: of `one` where `first` says so, and of `other` elsewhere."""
    ones = iter(one([each for each, chosen in zip(work, first, strict=True) if chosen]))
    others = iter(other([each for each, chosen in zip(work, first, strict=True) if not chosen]))
    return [next(ones) if chosen else next(others) for chosen in first]
