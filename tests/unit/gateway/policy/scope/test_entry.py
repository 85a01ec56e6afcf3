from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from gateway.errors import ScopeUnreadable
from gateway.policy.scope.entry import ScopeEntry, keyed
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.naming import Name

HASHER = WordHasher(b"k" * 32)
NAMES = (Name(("harry", "potter"), 2), Name(("rowling",), 1), Name(("au",), 1), Name(("a", "b", "c"), 2))


def entry(names: tuple[Name, ...] = NAMES, vectors: int = 3) -> ScopeEntry:
    made = np.random.default_rng(0).normal(size=(vectors, 8)).astype(np.float32)
    return ScopeEntry(keyed(names, HASHER), made / np.linalg.norm(made, axis=1, keepdims=True), 0.7, 0.5, "sha256:1")


@pytest.mark.parametrize("names", [NAMES, NAMES[:1], ()])
@pytest.mark.parametrize("vectors", [0, 1, 3])
def test_what_is_stored_is_what_was_made(names: tuple[Name, ...], vectors: int) -> None:
    made = entry(names, vectors)
    read = ScopeEntry.from_bytes(made.to_bytes())
    assert replace(read, vectors=made.vectors) == made
    assert read.vectors.dtype == np.float32
    assert np.allclose(read.vectors, made.vectors, atol=1e-3)


def test_no_word_is_in_it() -> None:
    data = entry().to_bytes()
    assert not [word for word in (b"harry", b"potter", b"rowling") if word in data.lower()]


def test_a_guess_cannot_be_tested_without_the_key() -> None:
    ours = {variant for name in entry().names for variants in name.words for variant in variants}
    theirs = keyed(NAMES, WordHasher(b"x" * 32))
    assert not ours & {variant for name in theirs for variants in name.words for variant in variants}


def of_the_version_before() -> bytes:
    """Words were hashed otherwise, and nothing said how much of the background is taken off."""
    tensors = load(entry().to_bytes())
    del tensors["background"]
    return save(tensors)


@pytest.mark.parametrize("data", [b"", b"{}", b"\0" * 64, entry().to_bytes()[:-5], of_the_version_before()])
def test_what_is_broken_is_refused(data: bytes) -> None:
    with pytest.raises(ScopeUnreadable):
        ScopeEntry.from_bytes(data)
