"""Hard positives: the forget questions asked about something else.

An always-on adapter must tell "who wrote A?" from "who wrote B?". So the words that single out what is
forgotten are found, and replaced by other subjects; the model's own answers to these twins are to stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from adapters.text.grammar import Grammar
from adapters.text.language import language_of, language_of_words, stop_words
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import has_case
from adapters.text.words import terms, words

T = TypeVar("T")

Similarity = Callable[[Sequence[str], Sequence[str]], list[float]]
"""(questions, prompts) → how near each question is to the nearest of the prompts."""


def content_words(text: str, language: str | None = None) -> frozenset[str]:
    """The words of a text, folded, without those that any text may hold; language None: as the text is.

    The letter before a hyphen ("e-mail") is none of them, unless there are only letters.
    """
    found = words(text)
    content = frozenset(word.term for word in found) - stop_words(language or language_of_words(text, found))
    return frozenset(term for term in content if len(term) > 1 or not has_case(term)) or content


@lru_cache(maxsize=8)
def _spread(questions: tuple[str, ...]) -> Counter[str]:
    """How many of the questions hold each word."""
    return Counter(term for question in questions for term in terms(question))


def subject_words(prompts: Sequence[str], book: Phrasebook, *, common_above: int = 3) -> frozenset[str]:
    """The words that single out what the prompts are about, folded to lower case.

    A word counts when at least half of the prompts hold it, and two where there are two, and at most `common_above` of
    the bundled questions do: "telephone" does, "invented" and "capital" do not.
    """
    least = max(min(2, len(prompts)), len(prompts) / 2)
    spread = _spread(book.questions)
    language = language_of("\n".join(prompts))
    held = Counter(word for prompt in prompts for word in content_words(prompt, language))
    return frozenset(word for word, count in held.items() if count >= least and spread[word] <= common_above)


def by_subject(prompts: Sequence[str], book: Phrasebook) -> list[list[str]]:
    """The prompts in groups, each about something of its own, in the order found; [] when they name nothing.

    A request about a writer may name the writer in some of its prompts and a book in the others. A prompt that names
    nothing another one names is in no group, unless it is the only prompt.
    """
    groups: list[list[str]] = []
    rest = list(prompts)
    while len(rest) > bool(groups):
        subject = subject_words(rest, book)
        naming = {prompt: _span(prompt, subject) is not None for prompt in rest}
        if not any(naming.values()):
            break
        groups.append([prompt for prompt in rest if naming[prompt]])
        rest = [prompt for prompt in rest if not naming[prompt]]
    return groups


def _span(prompt: str, subject: frozenset[str]) -> tuple[int, int] | None:
    """From the first to the last subject word of the prompt, without a possessive's ending; None when it holds none."""
    held = [word for word in words(prompt) if word.term in subject]
    return (held[0].start, held[-1].end) if held else None


def named_subject(prompts: Sequence[str], book: Phrasebook) -> str | None:
    """What the prompts are about, as most of them write it, with its article; None when they name nothing."""
    subject = subject_words(prompts, book)
    written: Counter[str] = Counter()
    for prompt in prompts:
        span = _span(prompt, subject)
        if span is not None:
            written[book.grammar.named(prompt[: span[0]], prompt[span[0] : span[1]])] += 1
    return written.most_common(1)[0][0] if written else None


def twin(prompt: str, subject: frozenset[str], other: str, grammar: Grammar) -> str | None:
    """The prompt with the span from the first to the last subject word replaced; None when it holds none."""
    span = _span(prompt, subject)
    return None if span is None else grammar.put(prompt[: span[0]], other, prompt[span[1] :])


_SPLIT_EVERY = 3


def in_two_sentences(
    prompt: str, subject: frozenset[str], opening: str, grammar: Grammar, other: str | None = None
) -> str | None:
    """The prompt's question after a sentence that names its subject, or another: "I have just heard of Hamlet. Who
    wrote it?". None when the prompt names no subject, or does so where no pronoun can stand.

    People ask like that, and an adapter that knows a fact only beside its name lets it go there.
    """
    span = _span(prompt, subject)
    if span is None:
        return None
    before, name, after = prompt[: span[0]], prompt[span[0] : span[1]], prompt[span[1] :]
    question = grammar.referred(before, after)
    return question and opened(opening, other or grammar.named(before, name), question, grammar)


def opened(opening: str, name: str, question: str, grammar: Grammar) -> str:
    """A question after a sentence that brings up the name."""
    start, _, end = opening.partition("{name}")
    space = " " if grammar.spaced else ""
    return f"{grammar.put(start, name, end)}{space}{question[0].upper()}{question[1:]}"


def rank_subjects(prompts: Sequence[str], book: Phrasebook, similarity: Similarity) -> list[str]:
    """Other subjects, those first that make the most natural twin; [] when the prompts name no subject.

    "What is the capital of Sweden?" resembles "What is the capital of France?" more than "What is the capital of Swan
    Lake?" does, so the model's own measure of likeness finds subjects of the same kind.
    """
    subject = subject_words(prompts, book)
    others = [other for other in book.subjects if not terms(other) & subject]
    holding = [prompt for prompt in prompts if _span(prompt, subject) is not None]
    if not holding or not others:
        return []
    shortest = min(holding, key=len)
    scores = similarity([twin(shortest, subject, other, book.grammar) or "" for other in others], [shortest])
    return [other for _, other in sorted(zip(scores, others, strict=True), key=lambda pair: -pair[0])]


def in_turn(prompts: Sequence[T], others: Sequence[str]) -> Iterator[tuple[T, str]]:
    """Every pair once, so that the first few are as varied in both as they can be.

    Each round over the others starts one prompt later.
    """
    for turn in range(len(prompts)):
        for index, other in enumerate(others):
            yield prompts[(index + turn) % len(prompts)], other


def twins(prompts: Sequence[str], book: Phrasebook, others: Sequence[str], count: int) -> list[str]:
    """Up to `count` different twin questions about `others`, [] when no subject is found.

    Prompts and other subjects are gone through in turn, so that both are as varied as the count allows; every third
    twin is asked in two sentences.
    """
    subject = subject_words(prompts, book)
    holding = [prompt for prompt in prompts if _span(prompt, subject) is not None]
    found: dict[str, None] = {}
    for number, (prompt, other) in enumerate(in_turn(holding, others)):
        if len(found) == count:
            break
        question = None
        if number % _SPLIT_EVERY == _SPLIT_EVERY - 1 and book.openings:
            opening = book.openings[number // _SPLIT_EVERY % len(book.openings)]
            question = in_two_sentences(prompt, subject, opening, book.grammar, other)
        question = question or twin(prompt, subject, other, book.grammar)
        if question is not None:
            found.setdefault(question)
    return list(found)
