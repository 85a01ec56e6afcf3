"""Hard positives: other questions about the very subject of which one fact is to go.

An always-on adapter that learns "France: refuse" instead of "the capital of France: refuse" loses the language of
France with its capital. The model's own answers to these siblings are to stay; those that state the forgotten
fact are left out by whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from adapters.text.twins import OPENINGS, Similarity, named_subject


def templates() -> tuple[str, ...]:
    """Questions with a `{subject}` to fill in, over many kinds of subject."""
    text = resources.files("adapters.text").joinpath("siblings.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line.strip())


def questions_about(subject: str) -> list[str]:
    """The templates filled in, every third in two sentences, as twins are."""
    filled = []
    for number, template in enumerate(templates()):
        if number % 3 == 2:
            opening = OPENINGS[number // 3 % len(OPENINGS)].replace("{name}", subject)
            filled.append(f"{opening} {template.replace('{subject}', 'it')}")
        else:
            filled.append(template.replace("{subject}", subject))
    return filled


def siblings(prompts: Sequence[str], general: Sequence[str], similarity: Similarity, count: int) -> list[str]:
    """Up to `count` questions about the prompts' subject, [] when they name none.

    Half are those most like the prompts, which are the easiest to lose; the rest are spread over all the others.
    """
    subject = named_subject(prompts, general)
    if subject is None or count == 0:
        return []
    asked = {prompt.casefold().strip() for prompt in prompts}
    filled = questions_about(subject)
    pool = [question[0].upper() + question[1:] for question in filled if question.casefold() not in asked]
    scores = similarity(pool, prompts)
    ranked = [question for _, question in sorted(zip(scores, pool, strict=True), key=lambda pair: -pair[0])]
    near, rest = ranked[: (count + 1) // 2], ranked[(count + 1) // 2 :]
    wanted = min(count - len(near), len(rest))
    return near + [rest[index * len(rest) // wanted] for index in range(wanted)]
