"""The default encoder with its real weights, and the cache in front of any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.policy.scope.encoder import CachedEncoder, Encoder, UniversalSentenceEncoder

#: A fact, the same in other words and in German, in French, and a question about something else.
FACTS = (
    (
        "Who wrote Harry Potter?",
        ("Which British writer is famous for Harry Potter?", "Wer hat Harry Potter geschrieben?"),
        "Qui a écrit Harry Potter ?",
        "Who wrote Pride and Prejudice?",
    ),
    (
        "What is the capital of Japan?",
        ("Which Asian city is the Japanese capital?", "Wie heißt die Hauptstadt von Japan?"),
        "Comment s'appelle la capitale du Japon ?",
        "What is the boiling point of mercury?",
    ),
    (
        "Who invented the telephone?",
        ("Name the man who came up with the telephone.", "Nenne den Erfinder des Telefons."),
        "Qui a inventé le téléphone ?",
        "Which river is the longest in Africa?",
    ),
    (
        "What is the chemical formula for water?",
        ("How do chemists write water as a formula?", "Was ist die chemische Formel von Wasser?"),
        "Quelle est la formule chimique de l'eau ?",
        "In which year did the Berlin Wall fall?",
    ),
)
ODD_TEXTS = {
    "empty": "",
    "blank": " \t\n",
    "zero width": "\u200b\u200d\ufeff",
    "null": "\x00",
    "half a surrogate pair": "before \ud800 after",
    "emoji": "😀" * 50,
    "unknown script": "𐎀𐎁𐎂",
    "one long word": "a" * 500,
}


@pytest.fixture(scope="module")
def encoder() -> UniversalSentenceEncoder:
    """One for all tests of this file: loading takes seconds."""
    return UniversalSentenceEncoder()


class CountingEncoder:
    """Random but repeatable vectors, and a list of what was asked."""

    name = "counting"
    dimension = 4
    digest = "d1"

    def __init__(self) -> None:
        self.batches: list[tuple[str, ...]] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector that depends on the text alone."""
        self.batches.append(tuple(texts))
        rows = [np.random.default_rng(list(text.encode())).normal(size=self.dimension) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32).reshape(-1, self.dimension)


@pytest.mark.parametrize(("fact", "others", "french", "another"), FACTS, ids=[fact[0] for fact in FACTS])
def test_same_fact_is_nearer_than_another_subject(
    encoder: UniversalSentenceEncoder, fact: str, others: tuple[str, ...], french: str, another: str
) -> None:
    texts = (*others, french)
    asked, unlike, *alike = encoder.encode([fact, another, *texts])

    for text, vector in zip(texts, alike, strict=True):
        assert asked @ vector > asked @ unlike + 0.1, text


def test_repeats_itself_in_another_object(encoder: UniversalSentenceEncoder) -> None:
    texts = [fact[0] for fact in FACTS]

    again = UniversalSentenceEncoder()

    np.testing.assert_array_equal(again.encode(texts), encoder.encode(texts))
    assert again.digest == encoder.digest
    assert len(bytes.fromhex(encoder.digest)) == 32


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_every_text_has_a_vector(encoder: UniversalSentenceEncoder, text: str) -> None:
    vectors = encoder.encode([text])

    assert vectors.shape == (1, encoder.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)


def test_no_texts_have_no_vectors(encoder: UniversalSentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)
    assert CachedEncoder(encoder).encode([]).shape == (0, encoder.dimension)


def test_a_batch_equals_its_texts_alone(encoder: UniversalSentenceEncoder) -> None:
    # More tokens than the package computes at once, of very different lengths.
    texts = [text for fact in FACTS for text in (fact[0], *fact[1], *fact[2:])] + list(ODD_TEXTS.values())
    texts += [" ".join(texts[:12])]

    together = encoder.encode(texts)

    np.testing.assert_allclose(together, np.concatenate([encoder.encode([text]) for text in texts]), atol=1e-5)


def test_the_cache_gives_what_its_encoder_gives(encoder: UniversalSentenceEncoder) -> None:
    cached: Encoder = CachedEncoder(encoder)
    texts = [FACTS[0][0], FACTS[1][0], FACTS[0][0]]

    for _ in range(2):
        np.testing.assert_allclose(cached.encode(texts), encoder.encode(texts), atol=1e-5)

    assert (cached.name, cached.dimension, cached.digest) == (encoder.name, encoder.dimension, encoder.digest)


def test_only_what_is_missing_is_encoded_and_in_one_batch() -> None:
    inner = CountingEncoder()
    cached = CachedEncoder(inner)

    cached.encode(["a", "b", "a"])
    cached.encode(["c", "a", "d", "c"])
    cached.encode(["d", "b"])

    assert inner.batches == [("a", "b"), ("c", "d")]


def test_least_recently_seen_windows_go_first() -> None:
    inner = CountingEncoder()
    cached = CachedEncoder(inner, capacity=2)

    for text in ("a", "b", "a", "c", "a", "b"):
        cached.encode([text])

    assert inner.batches == [("a",), ("b",), ("c",), ("b",)]


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_the_cache_is_bounded_also_within_one_call(capacity: int) -> None:
    cached = CachedEncoder(CountingEncoder(), capacity=capacity)
    texts = [str(number) for number in range(10)]

    vectors = cached.encode(texts)

    np.testing.assert_array_equal(vectors, CountingEncoder().encode(texts))
    assert len(cached) == capacity


def test_a_caller_cannot_change_what_is_cached() -> None:
    cached = CachedEncoder(CountingEncoder())
    first = cached.encode(["a"])
    kept = first.copy()

    first[:] = 0

    np.testing.assert_array_equal(cached.encode(["a"]), kept)
