"""Hard positives: other questions about the very subject of which one fact is to go.

An always-on adapter that learns "France: refuse" instead of "the capital of France: refuse" loses the language of
France with its capital. The model's own answers to these siblings are to stay; those that state the forgotten
fact are left out by whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.text.phrasebook import Phrasebook
from adapters.text.twins import Similarity, named_subject, opened


def questions_about(subject: str, book: Phrasebook) -> list[str]:
    """The templates filled in, every third in two sentences, as twins are, where a pronoun can stand in it."""
    filled = []
    for number, template in enumerate(book.siblings):
        before, _, after = template.partition("{subject}")
        referring = book.grammar.referred(before, after) if number % 3 == 2 else None
        if referring is None:
            filled.append(book.grammar.put(before, subject, after))
        else:
            filled.append(opened(book.openings[number // 3 % len(book.openings)], subject, referring, book.grammar))
    return filled


def siblings(prompts: Sequence[str], book: Phrasebook, similarity: Similarity, count: int) -> list[str]:
    """Up to `count` questions about the prompts' subject, [] when they name none.

    Half are those most like the prompts, which are the easiest to lose; the rest are spread over all the others.
    """
    subject = named_subject(prompts, book)
    if subject is None or count == 0 or not book.siblings:
        return []
    asked = {prompt.casefold().strip() for prompt in prompts}
    filled = questions_about(subject, book)
    pool = [question[0].upper() + question[1:] for question in filled if question.casefold() not in asked]
    scores = similarity(pool, prompts)
    ranked = [question for _, question in sorted(zip(scores, pool, strict=True), key=lambda pair: -pair[0])]
    near, rest = ranked[: (count + 1) // 2], ranked[(count + 1) // 2 :]
    wanted = min(count - len(near), len(rest))
    return near + [rest[index * len(rest) // wanted] for index in range(wanted)]
