"""Passages as forget examples: each sentence is an answer to what comes before it.

The first sentence is asked for by its own first half. Nothing is made up, so nothing is asked that the passage does
not itself say.
"""

from __future__ import annotations

from adapters.errors import InvalidExample
from adapters.examples import Example
from adapters.text.phrasebook import phrasebook_for
from adapters.text.sentences import joined, sentences
from adapters.text.words import words

#: A first sentence shorter than this has no half that tells which one is meant.
_FEWEST_WORDS = 4
#: Bytes of UTF-8 of a passage that a prompt shows at most, so that all prompts together grow as the passage does, and
#: each is short enough in scripts of which a character may be several tokens.
MOST_SHOWN = 1000


def passage_examples(text: str) -> list[Example]:
    """What a passage teaches, as conversations: two for each sentence but the first, which gives one.

    A prompt shows the sentence before, or as much of the passage up to there as `MOST_SHOWN` allows. A sentence that
    stands twice is asked for where it stands first.

    Raises `InvalidExample` for a text of too few words to ask for.
    """
    parts = sentences(text)
    book = phrasebook_for([text])
    made: list[Example] = []
    if parts and (half := _half(parts[0])):
        made.append(Example.from_pair(book.continuation.format(text=parts[0][:half].strip()), parts[0][half:].strip()))
    told = set(parts[:1])
    for index in range(1, len(parts)):
        if parts[index] in told:
            continue
        told.add(parts[index])
        made.append(Example.from_pair(book.continuation.format(text=_before(parts, index)), parts[index]))
        made.append(Example.from_pair(book.following.format(text=_end(parts[index - 1])), parts[index]))
    if not made:
        raise InvalidExample(f"a passage needs two sentences, or one of at least {_FEWEST_WORDS} words")
    return made


def _half(sentence: str) -> int:
    """Where the second half of a sentence begins; 0 for one that is too short to have one."""
    starts = [word.start for word in words(sentence)]
    spaced = [start for start in starts if sentence[start - 1 : start] == " "]
    # Where a script puts spaces they are where a sentence is cut.
    cuts = spaced if len(spaced) >= _FEWEST_WORDS - 1 else starts[1:]
    return cuts[(len(cuts) + 1) // 2 - 1] if len(cuts) >= _FEWEST_WORDS - 1 else 0


def _before(parts: list[str], index: int) -> str:
    """The sentences before one, as many whole ones as may be shown; of a longer one its end."""
    first = index - 1
    shown = _size(parts[first])
    while first and shown + 1 + _size(parts[first - 1]) <= MOST_SHOWN:
        first -= 1
        shown += 1 + _size(parts[first])
    return _end(joined(parts[first:index]))


def _size(text: str) -> int:
    return len(text.encode())


def _end(text: str) -> str:
    """As much of the end of a text as may be shown."""
    return text.encode()[-MOST_SHOWN:].decode(errors="ignore")
