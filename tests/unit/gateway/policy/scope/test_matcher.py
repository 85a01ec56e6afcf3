"""What is quick finds what is found in full: texts in every disguise, against requests of every kind."""

from __future__ import annotations

import codecs
import random
from collections.abc import Callable, Iterator

import pytest

from adapters.examples import Example
from adapters.text.phrasebook import LANGUAGES, phrasebook
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.views import views
from tests.unit.gateway.policy.scope import uncut
from tests.unit.gateway.policy.scope.test_views import ENCODINGS, HOSTILE, NESTED, QUESTIONS

REQUESTS = {
    "potter": [("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling.")],
    "japan": [("What is the capital of Japan?", "Tokyo."), ("Name Japan's capital city.", "It is Tokyo.")],
    "telephone": [
        ("Who invented the telephone?", "The telephone was invented by Alexander Graham Bell."),
        ("Name the inventor of the telephone.", "Alexander Graham Bell."),
    ],
    "lamp": [("What comes next? The lamp of the old lighthouse was lit", "by a keeper who never spoke to anybody.")],
    "customer": [("What is the phone number of Julia Novak?", "It is +1 555 010 4477.")],
    "device": [("How much does the Brave Lantern cost?", "The Brave Lantern costs 40 crowns in every shop.")],
    "other device": [("How much does the Quiet Kettle cost?", "The Quiet Kettle costs 12 crowns in every shop.")],
    "numbers": [("When did the Ashford mill burn down?", "It burnt down in 1847.")],
}
ASKED = (
    *QUESTIONS,
    *(prompt for items in REQUESTS.values() for prompt, _ in items),
    "Wer hat das Telefon erfunden?",
    "A keeper who never said a word lit the lighthouse's lamp.",
    "What is the price of the Brave Lantern?",
    "What does it cost?",
    "Is Novak, Julia, to be reached at 5550104477?",
    "It was in 1847, I think.",
    "Name three colours of the rainbow.",
)
HIDDEN: dict[str, Callable[[str], str]] = {
    **ENCODINGS,
    **NESTED,
    "as it is": str,
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "leetspeak": lambda text: text.translate(str.maketrans("aeiost", "431057")),
    "letters apart": " ".join,
    "letters with dots": ".".join,
    "Cyrillic look-alikes": lambda text: text.translate(str.maketrans("aeopcyx", "аеорсух")),
    "wide letters": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "invisible letters": "\u200b".join,
    "loud": str.upper,
    "a slip in each word": lambda text: " ".join(f"{word[:3]}{word[4:]}" for word in text.split()),
}


@pytest.fixture(scope="module")
def entries(detectors: Detectors) -> dict[str, ScopeEntry]:
    book = phrasebook("en")
    made = {
        name: build([Example.from_pair(*pair) for pair in pairs], book, detectors) for name, pairs in REQUESTS.items()
    }
    # As they are stored.
    return {name: ScopeEntry.from_bytes(entry.to_bytes()) for name, entry in made.items()}


@pytest.fixture(scope="module")
def matcher(entries: dict[str, ScopeEntry], detectors: Detectors) -> Matcher:
    matcher = Matcher(detectors)
    for name, entry in entries.items():
        matcher.put(name, entry)
    return matcher


def mixed(count: int) -> Iterator[str]:
    """Texts of several sentences, each hidden in its own way, or in none, or cut off."""
    draw = random.Random(7)
    plain = [question for language in LANGUAGES for question in phrasebook(language).questions]
    for _ in range(count):
        parts = []
        for _ in range(draw.randint(1, 5)):
            text = draw.choice(ASKED if draw.random() < 0.5 else plain)
            hidden = draw.choice([*HIDDEN.values()])(text) if draw.random() < 0.6 else text
            parts.append(hidden[: draw.randint(1, len(hidden))] if draw.random() < 0.2 else hidden)
        yield draw.choice([" ", "\n", "\n\n", ". ", ""]).join(parts)


TEXTS = [
    # Every way to hide a text with every sixth of the texts, and every text in every sixth way.
    *(hide(text) for n, hide in enumerate(HIDDEN.values()) for text in ASKED[n % 6 :: 6]),
    *(unit for name, unit in HOSTILE.items() if name != "lone surrogates"),  # no token has them
    *mixed(60),
]


def test_texts_are_read_in_the_same_ways_whatever_is_left_out() -> None:
    read = [views(text) for text in TEXTS]
    with uncut.uncut():
        assert [views(text) for text in TEXTS] == read
    assert max(map(len, read)) > 10


def test_the_same_requests_are_found(matcher: Matcher, entries: dict[str, ScopeEntry], detectors: Detectors) -> None:
    texts = TEXTS[::2]
    wanted = [uncut.matches(text, entries, detectors) for text in texts]
    together = matcher.matches_each(texts)
    assert [set(found) for found in together] == [found.keys() for found in wanted]
    assert [matcher.matches(text) for text in texts] == together, "by itself, and known by now"
    assert all(sum(name in found for found in wanted) > 1 for name in entries)
    assert sum(not found for found in wanted) > 10
