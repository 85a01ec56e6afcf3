"""Passages as forget examples: each sentence is an answer to what comes after the words before it.

The first sentence is asked for by its own first half. Nothing is made up, so nothing is asked that the passage does
not itself say.
"""

from __future__ import annotations

import re

from adapters.errors import InvalidExample
from adapters.examples import Example

CONTINUE = "Continue this text:\n\n{text}"
NEXT = "Which sentence comes right after this one?\n\n{text}"
#: A first sentence shorter than this has no half that tells which one is meant.
_FEWEST_WORDS = 4

# A stop, closing quotes, white space, and then something that can begin a sentence; or a blank line.
_BOUNDARY = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s+[\"'“‘(\[]*[A-Z0-9À-ÖØ-Þ])|\n\s*\n")
# What ends with a stop and is no end: initials, titles, and the common abbreviations.
_ABBREVIATED = re.compile(
    r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Gen|Col|Sgt|Rev|Hon|No|Vol|Fig|vs|etc|cf|e\.g|i\.e|approx))\.$"
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, white space folded, in order. A stop after an initial or a title ends none."""
    found: list[str] = []
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        if not _ABBREVIATED.search(text[start : boundary.end()]):
            found.append(text[start : boundary.end()])
            start = boundary.end()
    found.append(text[start:])
    folded = (" ".join(sentence.split()) for sentence in found)
    return [sentence for sentence in folded if sentence]


def passage_examples(text: str) -> list[Example]:
    """What a passage teaches, as conversations; no two alike. The longest prompt holds all but the last sentence.

    Raises `InvalidExample` for a text of too few words to ask for.
    """
    parts = sentences(text)
    made: list[Example] = []
    first = parts[0].split() if parts else []
    if len(first) >= _FEWEST_WORDS:
        half = len(first) // 2
        made.append(Example.from_pair(CONTINUE.format(text=" ".join(first[:half])), " ".join(first[half:])))
    for index in range(1, len(parts)):
        made.append(Example.from_pair(CONTINUE.format(text=" ".join(parts[:index])), parts[index]))
        made.append(Example.from_pair(NEXT.format(text=parts[index - 1]), parts[index]))
    if not made:
        raise InvalidExample(f"a passage needs two sentences, or one of at least {_FEWEST_WORDS} words")
    return list(dict.fromkeys(made))
