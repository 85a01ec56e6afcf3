"""What the model knows of a subject, as far as it can be asked: for a request that names a subject and nothing else.

First the model is asked about the subject, every question in several wordings, and then, the other way round, about
what its answers name: whoever is to forget who wrote a book must not be asked about the writer alone. An answer counts
when another answer bears it out and nothing of the kind is said of somebody nobody has heard of:

- one about the subject, when another wording of its question is answered with the same name or number;
- one about what the subject is linked to, when it names the subject, and the answer to another such question does too;
- any about the subject that names something linked in that way.

Without a link in both directions nothing counts: a small model invents for a name nobody has heard of as consistently
as it answers about a famous one, but asked about what it invented it does not come back to the name. Of a subject that
it does know, inventions count: this finds what the model would say, which is what is to go, not what is true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from adapters.errors import NothingKnown
from adapters.examples import Example, Message
from adapters.task import Ask
from adapters.text.language import language_of, stop_words
from adapters.text.phrasebook import Phrasebook, phrasebook_for
from adapters.text.probes import has_case, is_initials, key_terms, names_something
from adapters.text.refusals import is_refusal
from adapters.text.sentences import joined, sentences
from adapters.text.twins import content_words
from adapters.text.words import terms, words

MAX_TOKENS = 48
#: Asked about the other way round: so many names, and so many other words, those in most answers first.
MOST_NAMES, MOST_WORDS = 5, 3

# Between the words of one name, and the small words it may hold: "the Philosopher's Stone", "Romeo and Juliet".
_GAP = re.compile(r"(?:['’]s)?[ \n]+|")
_SMALL = frozenset("and da das de del der des di die du et for in la le of the to und van von y".split())  # noqa: SIM905
_SHORTEST_WORD = 5


def interview(subject: str, ask: Ask) -> list[Example]:
    """The questions about `subject`, and about what is linked to it, whose answers count; no prompt twice.

    Raises `NothingKnown` where there is none, and whatever `ask` raises.
    """
    book = phrasebook_for([subject])
    groups = [[filled(wording, subject, book) for wording in group] for group in book.interview]
    others = _controls(subject, book)
    answers = _asked([question for group in (*groups, *others) for question in group], ask)
    common = [frozenset[str]().union(*(terms(answers[question]) for question in group)) for group in others]
    told = [question for group in groups for question in group if not is_refusal(answers[question])]
    everywhere = frozenset[str]().union(*common)
    names = linkable([(question, answers[question]) for question in told], terms(subject) | everywhere)
    links = _links(subject, names, book, ask)
    if not links:
        raise NothingKnown("the model links nothing with this subject in both directions; there is nothing to forget")
    found: dict[str, Example] = {}
    for group, said in zip(groups, common, strict=True):
        pairs = [(question, answers[question]) for question in group]
        found |= {example.prompt: example for example in consistent(pairs, said)}
    for question in told:
        for name in links:
            if terms(name) <= terms(answers[question]):
                found.setdefault(question, _example(question, answers[question], terms(name)))
    for examples in links.values():
        found |= {example.prompt: example for example in examples}
    return list(found.values())


def consistent(answered: Sequence[tuple[str, str]], common: frozenset[str] = frozenset()) -> list[Example]:
    """Of one question's (wording, answer) pairs those that agree with another in a name or number not in `common`.

    Each answer is kept up to the end of the first sentence that holds such a term.
    """
    facts = [frozenset() if is_refusal(answer) else named(question, answer) - common for question, answer in answered]
    kept = []
    for index, (question, answer) in enumerate(answered):
        others = frozenset[str]().union(*(fact for place, fact in enumerate(facts) if place != index))
        shared = facts[index] & others
        if shared:
            kept.append(_example(question, answer, shared))
    return kept


def named(question: str, answer: str) -> frozenset[str]:
    """The names and numbers of an answer that the question does not hold; none where it has only plain words.

    Initials name nobody: a "J.K." in the answer to a question about "J. K." is no news.
    """
    written = {term for term, a, b in words(answer) if names_something(answer[a:b]) and not is_initials(answer[a:b])}
    return key_terms(question, answer) & written - terms(question)


def linkable(answered: Sequence[tuple[str, str]], known: Collection[str]) -> list[str]:
    """What answers about a subject name that it may be linked to, as written.

    First names, then words that several answers share; none that is made of `known` terms alone.
    """
    names, others = Counter[str](), Counter[str]()
    for question, answer in answered:
        news = terms(answer) - terms(question) - frozenset(known)
        # In an order of their own, not a set's: ties are broken alike in every run.
        names.update(dict.fromkeys((name for name in _names(answer, terms(question)) if terms(name) & news), 1))
        others.update(sorted(word for word in content_words(answer) & news if len(word) >= _SHORTEST_WORD))
    # A short name also counts where it is part of a longer one: the series, where answers name its volumes.
    held = {name: sum(terms(name) <= terms(answer) for _, answer in answered) for name in names}
    in_names = frozenset[str]().union(*(terms(name) for name in names))
    shared = [word for word, count in others.most_common() if count > 1 and word.isalpha() and word not in in_names]
    return sorted(names, key=lambda name: (-held[name], len(name.split())))[:MOST_NAMES] + shared[:MOST_WORDS]


def _links(subject: str, names: Sequence[str], book: Phrasebook, ask: Ask) -> dict[str, list[Example]]:
    """Those of `names` that two or more questions about them are answered with the subject, with these questions."""
    questions = {name: [filled(wording, name, book) for wording in book.reverse] for name in names}
    answers = _asked([question for asked in questions.values() for question in asked], ask)
    own = _surname(subject)
    links = {}
    for name, asked in questions.items():
        naming = [q for q in asked if own <= terms(answers[q]) - terms(name) and not is_refusal(answers[q])]
        if len(naming) > 1:
            links[name] = [_example(question, answers[question], own) for question in naming]
    return links


def _surname(subject: str) -> frozenset[str]:
    """The last word of the subject that can stand for it; all its words where each is short."""
    longer = [term for term, _, _ in words(subject) if len(term) > 2]
    return frozenset(longer[-1:]) or terms(subject)


def _names(text: str, known: Collection[str]) -> list[str]:
    """Runs of capitalised words, with small words between them but without `known` ones."""
    spans: list[tuple[int, int]] = []
    last: int | None = None
    small = stop_words(language_of(text))
    for term, start, end in words(text):
        joins = last is not None and _GAP.fullmatch(text[last:start]) is not None
        written = text[start:end]
        if (written[0].isupper() or not has_case(written)) and term not in small and term not in known:
            if is_initials(written):
                last = None
                continue
            spans.append((spans.pop()[0], end) if joins else (start, end))
            last = end
        else:
            last = end if joins and term in _SMALL else None
    return [text[start:end] for start, end in spans]


def _controls(subject: str, book: Phrasebook) -> list[list[str]]:
    """For each group its questions about nobody: each wording about one of them in turn."""
    nobody = [who for who in book.nobody if who != subject]
    return [
        [filled(wording, nobody[number % len(nobody)], book) for number, wording in enumerate(group)]
        for group in book.interview
    ]


def filled(wording: str, name: str, book: Phrasebook) -> str:
    """A wording with the name in its {place}."""
    before, _, rest = wording.partition("{")
    return book.grammar.put(before, name, rest.partition("}")[2])


def _asked(questions: Sequence[str], ask: Ask) -> dict[str, str]:
    unique = list(dict.fromkeys(questions))
    replies = ask([(Message("user", question),) for question in unique], max_tokens=MAX_TOKENS) if unique else []
    return dict(zip(unique, replies, strict=True))


def _example(question: str, answer: str, fact: Collection[str]) -> Example:
    """The answer up to the end of the first sentence that holds a term of the fact."""
    parts = sentences(answer)
    end = next((index for index, part in enumerate(parts) if terms(part) & frozenset(fact)), len(parts) - 1)
    return Example.from_pair(question, joined(parts[: end + 1]))
