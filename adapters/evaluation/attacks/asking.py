"""What a request's items are attacked with: the model itself is asked about others of their kind, and other things.

Nothing else of the model is needed than its answers, and few of them: they are short, and at most `MOST_OTHERS` and
`MOST_KNOWN`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from adapters.evaluation.attacks.context import AttackContext, AttackItem, Bank, Known, Other
from adapters.evaluation.attacks.stated import Stated, likeness, stated, stated_like
from adapters.examples import Example, one_turn
from adapters.task import Ask
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import half_said, is_fluent, key_terms
from adapters.text.refusals import is_refusal
from adapters.text.sentences import first_sentence
from adapters.text.subjects import Subject, subjects_of
from adapters.text.twins import content_words, twin
from adapters.text.words import terms, words

#: So many questions about others, shared among the facts of a request; so many about anything else.
MOST_OTHERS, MOST_KNOWN = 36, 40
#: A fact is asked about for so many others at least, as far as the questions go.
_FEWEST = 4
#: So many wordings of a question are tried on each of the kind: a small model answers to one and not to another.
_MOST_WORDINGS = 3
_KEPT_OTHERS = 8
_MAX_TOKENS = 40
#: An answer that is worded so much like the item's is of its kind, whatever its question is about.
_ALIKE = 0.5
#: A subject of which a bundled question asks with so many of the words, of the most that any does, is of the kind.
_KIN = 0.25
#: An answer of fewer words was not cut at the limit of tokens.
_SHORT = 12


@dataclass(frozen=True, slots=True)
class _Twin:
    """The question of a fact's items, asked about another subject; kin: one of which the same is asked elsewhere."""

    subject: str
    question: str
    kin: bool


def attack_context(items: Sequence[Example], book: Phrasebook, ask: Ask, *, bank: Bank, seed: int = 0) -> AttackContext:
    """The context of a forget set's attacks. ask: the original model. Raises what `ask` raises."""
    random = Random(f"{bank}/context/{seed}")
    about = [_about(item, items) for item in items]
    facts = [key_terms(text, item.completion) for text, item in zip(about, items, strict=True)]
    subjects = {
        prompt: subject for subject in subjects_of([item.prompt for item in items], book) for prompt in subject.prompts
    }
    twins = _twins(items, facts, subjects, book, random)
    general = _general(subjects, book, bank, random)
    questions = list(dict.fromkeys([*(each.question for asked in twins.values() for each in asked), *general]))
    replies = ask([one_turn(question) for question in questions], max_tokens=_MAX_TOKENS) if questions else []
    answers = {question: first_sentence(reply) for question, reply in zip(questions, replies, strict=True)}
    attacked = []
    for number, (item, said, fact) in enumerate(zip(items, about, facts, strict=True)):
        subject = subjects.get(item.prompt)
        own = stated(said, item.completion)
        attacked.append(
            AttackItem(
                number,
                item.messages,
                item.prompt,
                item.completion,
                own.text if own is not None else item.completion,
                subject.names[0] if subject is not None else None,
                tuple(_others(item, own, subject, twins.get(fact, []), answers, facts)),
                _aliases(item, fact, items, facts, subjects),
                said,
            )
        )
    return AttackContext(tuple(attacked), tuple(_known(general, answers, facts)), book, bank, seed)


def _about(item: Example, items: Sequence[Example]) -> str:
    """What all prompts with the item's answer say: "The capital of France is Paris." states France to none who asks in
    one wording for the capital of France, and in another where the French government sits. Its prompt alone where the
    others leave nothing of the fact."""
    together = "\n".join(dict.fromkeys([item.prompt, *(e.prompt for e in items if e.completion == item.completion)]))
    own = key_terms(item.prompt, item.completion)
    return together if key_terms(together, item.completion) <= own else item.prompt


def _twins(
    items: Sequence[Example],
    facts: Sequence[frozenset[str]],
    subjects: Mapping[str, Subject],
    book: Phrasebook,
    random: Random,
) -> dict[frozenset[str], list[_Twin]]:
    """For each fact its shortest questions, asked about others, as many as its share is."""
    asking: dict[frozenset[str], list[str]] = defaultdict(list)
    for item, fact in zip(items, facts, strict=True):
        if item.prompt in subjects and item.prompt not in asking[fact]:
            asking[fact].append(item.prompt)
    asked = [(fact, sorted(prompts, key=len)[:_MOST_WORDINGS]) for fact, prompts in asking.items() if prompts]
    share = max(_FEWEST, MOST_OTHERS // max(1, len(asked)))
    return {
        fact: _about_others(prompts, subjects, book, share, random) for fact, prompts in asked[: MOST_OTHERS // share]
    }


def _about_others(
    prompts: Sequence[str], subjects: Mapping[str, Subject], book: Phrasebook, count: int, random: Random
) -> list[_Twin]:
    """About those of the kind in every wording, then about anything in the shortest one.

    Of the kind are those of which a bundled question asks with the same words: "Who wrote Emma?".
    """
    naming = frozenset[str]().union(*(subjects[prompt].naming for prompt in prompts))
    asked = Counter(
        term
        for prompt in dict.fromkeys(each for prompt in prompts for each in subjects[prompt].prompts)
        for term in content_words(prompt, book.language) - naming
    )
    held = [terms(question) for question in book.questions]
    shared = [sum(asked[term] for term in question) for question in held]
    others = [other for other in book.subjects if not terms(other) & naming]
    random.shuffle(others)
    scores = {}
    for other in others:
        names = content_words(other, book.language)
        scores[other] = max(
            (score for question, score in zip(held, shared, strict=True) if names <= question), default=0
        )
    others.sort(key=lambda other: -scores[other])
    kin = [other for other in others if scores[other] > _KIN * max(scores.values())]
    pairs = [(prompt, other) for prompt in prompts for other in kin]
    pairs += [(prompts[0], other) for other in others[len(kin) :]]
    made = ((other, twin(prompt, subjects[prompt].naming, other, book.grammar)) for prompt, other in pairs[:count])
    return [_Twin(other, question, other in kin) for other, question in made if question is not None]


def _others(
    item: Example,
    own: Stated | None,
    subject: Subject | None,
    twins: Sequence[_Twin],
    answers: Mapping[str, str],
    facts: Sequence[frozenset[str]],
) -> list[Other]:
    """Of the answers about others those of the item's kind, the most alike first, each stating something of its own."""
    found: list[tuple[float, Other]] = []
    if own is None or subject is None:
        return []
    for each in twins:
        answer = answers[each.question]
        if not _says_something(answer) or _states_any(facts, answer):
            continue
        theirs = stated_like(own, item.completion, each.question, answer)
        if theirs is None or terms(theirs.text) & (terms(item.prompt) | terms(item.completion)):
            continue
        alike = likeness(own, item.completion, theirs, answer, subject.naming | terms(each.subject))
        if each.kin or alike >= _ALIKE:
            found.append((alike, Other(each.subject, each.question, answer, theirs.text)))
    kept: dict[str, Other] = {}
    said: set[str] = set()
    for _, other in sorted(found, key=lambda pair: -pair[0]):
        if other.subject not in kept and not terms(other.stated) & said:
            kept[other.subject] = other
            said |= terms(other.stated)
    return list(kept.values())[:_KEPT_OTHERS]


def _aliases(
    item: Example,
    fact: frozenset[str],
    items: Sequence[Example],
    facts: Sequence[frozenset[str]],
    subjects: Mapping[str, Subject],
) -> tuple[str, ...]:
    """What the prompts that ask for the same fact call its subject otherwise than this one."""
    own = subjects.get(item.prompt)
    if own is None:
        return ()
    asking = [
        each.prompt for each, theirs in zip(items, facts, strict=True) if theirs == fact and each.prompt in subjects
    ]
    names = dict.fromkeys(name for prompt in asking for name in subjects[prompt].names)
    return tuple(name for name in names if not content_words(name) <= terms(item.prompt))


def _general(subjects: Mapping[str, Subject], book: Phrasebook, bank: Bank, random: Random) -> list[str]:
    """Bundled questions that name nothing of what the items are about: one half of them for each bank."""
    pool = list(dict.fromkeys(book.retain_questions))
    Random("known").shuffle(pool)
    half = pool[bank is Bank.EVIDENCE :: 2]
    naming = frozenset[str]().union(*(subject.naming for subject in subjects.values()))
    fitting = [question for question in half if not terms(question) & naming]
    return random.sample(fitting, min(MOST_KNOWN, len(fitting)))


def _known(questions: Sequence[str], answers: Mapping[str, str], facts: Sequence[frozenset[str]]) -> Iterator[Known]:
    for question in questions:
        answer = answers[question]
        if _says_something(answer) and _is_whole(answer) and not _states_any(facts, f"{question}\n{answer}"):
            yield Known(question, answer)


def _says_something(answer: str) -> bool:
    return bool(answer) and not is_refusal(answer) and is_fluent(answer)


def _is_whole(answer: str) -> bool:
    """Whether an answer ends as sentences do, or is too short to have been cut."""
    return not answer[-1].isalnum() or len(words(answer)) < _SHORT


def _states_any(facts: Sequence[frozenset[str]], text: str) -> bool:
    said = terms(text)
    return any(half_said(fact, said) for fact in set(facts) if fact)
