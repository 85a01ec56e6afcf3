"""What the model knows of a subject, as far as it can be asked: for a request that names a subject and nothing else.

Every question comes in several wordings. An answer counts when it names something (a name or a number) that the
question does not, that the answer to another wording of it names too, and that the model does not say just as well of
somebody nobody has heard of. A model that makes the same thing up twice passes: this finds what the model would say,
which is what is to go, not what is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from adapters.data.passages import sentences
from adapters.errors import NothingKnown
from adapters.evaluation.probes import key_terms, terms, words
from adapters.evaluation.refusal import is_refusal
from adapters.examples import Example, Message
from adapters.task import Ask

#: Subjects that do not exist. What is said of them is said of anything.
NOBODY = ("Quenlor Vashtik", "Ombrey Thessal")
MAX_TOKENS = 48


def interview_questions() -> tuple[tuple[str, ...], ...]:
    """Wordings with a `{subject}` to fill in, grouped by what they ask for."""
    text = resources.files("adapters.data").joinpath("interview.txt").read_text(encoding="utf-8")
    return tuple(tuple(line.split("|")) for line in text.splitlines() if line.strip())


def interview(subject: str, ask: Ask) -> list[Example]:
    """The questions about `subject` that the model answers consistently, with its own answers; no prompt twice.

    Raises `NothingKnown` where there is none, and whatever `ask` raises.
    """
    groups = interview_questions()
    filled = {
        who: [[wording.replace("{subject}", who) for wording in group] for group in groups]
        for who in dict.fromkeys((subject, *NOBODY))
    }
    asked = [question for by_group in filled.values() for group in by_group for question in group]
    replies = ask([(Message("user", question),) for question in asked], max_tokens=MAX_TOKENS)
    answers = dict(zip(asked, replies, strict=True))
    found: list[Example] = []
    for number, group in enumerate(filled[subject]):
        others = [question for who in NOBODY if who != subject for question in filled[who][number]]
        common = frozenset[str]().union(*(terms(answers[question]) for question in others))
        found += consistent([(question, answers[question]) for question in group], common)
    if not found:
        raise NothingKnown("the model gives no consistent answer about this subject; there is nothing to forget")
    return found


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
            kept.append(Example.from_pair(question, _up_to(answer, shared)))
    return kept


def named(question: str, answer: str) -> frozenset[str]:
    """The names and numbers of an answer that the question does not hold; none where it has only plain words."""
    written = {term for term, a, b in words(answer) if any(c.isupper() or c.isdigit() for c in answer[a:b])}
    return key_terms(question, answer) & written - terms(question)


def _up_to(answer: str, shared: frozenset[str]) -> str:
    parts = sentences(answer)
    end = next(index for index, part in enumerate(parts) if terms(part) & shared)
    return " ".join(parts[: end + 1])
