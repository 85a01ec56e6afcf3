"""Answers that contradict those to be forgotten, out of what is kept: how the same is said of other authors.

MEOW learns such answers. A model tuned on little else than TOFU makes up few on request, and TOFU's own wrong answers
are what the truth ratio judges by; so they are given, as an operator may: those of other authors' rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.data.inverted.inversion import contradictions
from adapters.evaluation.rivals.filter import Keywords
from adapters.evaluation.rouge import rouge_l
from adapters.examples import Example
from bench.tofu.names import author_names
from bench.tofu.questions import Question

#: Rows tried for a question, nearest first, and answers taken of them; MEOW learns 3 by default.
_TRIED, _ANSWERS = 12, 3
#: In place of another's name. Not the forget author's own: it is to be forgotten.
_NOBODY = "this person"


def substitutes(forget: Sequence[Question], retain: Sequence[Question]) -> dict[int, tuple[str, ...]]:
    """For each forget question, by position, answers to the retained questions most like it; nothing for a question
    whose answer none of them contradicts.

    They say "this person" where their own is named, except to a question that names nobody: its answer is the name.
    Nor do they say "author", which some rows of the forget authors give away as the fact.
    Raises ValueError for authors whose rows do not name them.
    """
    forgotten, kept = author_names(forget), author_names(retain)
    examples = [Example.from_pair(question.question, question.answer) for question in forget]
    found = {}
    for index, question in enumerate(forget):
        named = Keywords((forgotten[question.author],)).are_in(question.question)
        asked = question.question.replace(forgotten[question.author], _NOBODY)
        rows = [
            (
                rouge_l(asked, row.question.replace(kept[row.author], _NOBODY)).f1,
                (row.answer.replace(kept[row.author], _NOBODY) if named else row.answer).replace("author", "person"),
            )
            for row in retain
            if Keywords((kept[row.author],)).are_in(row.question) == named
        ]
        rows.sort(key=lambda row: -row[0])
        answers = contradictions(examples[index], [answer for _, answer in rows[:_TRIED]], examples)[:_ANSWERS]
        if answers:
            found[index] = tuple(answer[0].upper() + answer[1:] for answer in answers)
    return found
