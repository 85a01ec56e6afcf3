"""Words as keyed hashes, so that a word is recognised, also with a slip in it, and none can be read.

Two words are taken for the same where they are equal once at most one letter is left out of each: a letter too many,
too few, another one, or two that changed places. That is the symmetric deletion of SymSpell (Garbe, 2012), which finds
slips by looking up hashes alone; n-grams would need a count for every word of every request.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Collection, Sequence

from gateway.policy.scope.recent import Recent

#: A shorter word becomes too many others by one letter: where it is enough by itself, where it is one of several that
#: need not all be there, and where all are.
LETTERS_ALONE, LETTERS_AMONG, LETTERS_BESIDE = 7, 6, 4
#: Letters of an ending that is looked past, and of what is left; one letter is an ending only where it is an s.
_ENDINGS, _STEM, _SHORT_STEM = (2, 3), 5, 4
_BYTES = 8
#: Words of texts whose hashes are kept: 3 MiB of them.
_WORDS = 8192
#: What is hashed with a word: it is the word itself, the word where the other has a letter too many, or the word
#: without one of its letters. Apart, so that an ending is looked past or a letter, and not both.
_ITSELF, _SHORTER, _WITHOUT = "", "+", "-"


class WordHasher:
    """Hashes of 64 bits under one key: of a guess and a stored hash, only who holds the key can tell that they match.

    key: 16 to 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._recent = Recent[Sequence[int]](_WORDS)

    def variants(self, word: str, fewest: int = LETTERS_BESIDE) -> tuple[int, ...]:
        """What a folded word is stored under: itself first, and where it has at least `fewest` letters also what finds
        it with a slip. Numbers have no slips: each is another number."""
        itself = self._hash(_ITSELF, word)
        if len(word) < fewest or not word.isalpha():
            return (itself,)
        without = (self._hash(_WITHOUT, shorter) for shorter in _shorter(word))
        return tuple(dict.fromkeys((itself, self._hash(_SHORTER, word), *without)))

    def looked_up(self, words: Collection[str]) -> dict[str, Sequence[int]]:
        """What each word of a text is looked up under, also without an ending: "Japanese"."""
        known = self._recent.recall(words)
        made = {word: array("Q", self._looked_up(word)) for word in words if word not in known}
        self._recent.remember(made)
        return {**known, **made}

    def _looked_up(self, word: str) -> dict[int, None]:
        found = [self._hash(_ITSELF, word)]
        if word.isalpha():
            endings = [word[:-cut] for cut in _ENDINGS if len(word) - cut >= _STEM]
            if word.endswith("s") and len(word) > _SHORT_STEM:
                endings.append(word[:-1])
            found += [self._hash(_ITSELF, stem) for stem in endings]
        if word.isalpha() and len(word) >= LETTERS_BESIDE - 1:
            found.append(self._hash(_WITHOUT, word))
            found += [self._hash(kind, shorter) for shorter in _shorter(word) for kind in (_SHORTER, _WITHOUT)]
        return dict.fromkeys(found)

    def _hash(self, kind: str, text: str) -> int:
        data = (kind + text).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(data, digest_size=_BYTES, key=self._key).digest(), "big")


def _shorter(word: str) -> list[str]:
    """The word without one of its letters, each of them in turn."""
    return [word[:place] + word[place + 1 :] for place in range(len(word))]
