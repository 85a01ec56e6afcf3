"""Words as keyed hashes, so that a word is recognised, also with a slip in it, and none can be read.

Two words are taken for the same where they are equal once at most one letter is left out of each: a letter too many,
too few, another one, or two that changed places. That is the symmetric deletion of SymSpell (Garbe, 2012), which finds
slips by looking up hashes alone; n-grams would need a count for every word of every request.
"""

from __future__ import annotations

import hashlib

#: A shorter word becomes too many others by one letter where it stands alone, and beside other words.
LETTERS_ALONE, LETTERS_BESIDE = 5, 4
#: Letters of an ending that is looked past; one letter is a slip.
_ENDINGS = (2, 3)
_BYTES = 8


class WordHasher:
    """Hashes of 64 bits under one key: of a guess and a stored hash, only who holds the key can tell that they match.

    key: 16 to 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def variants(self, word: str, fewest: int = LETTERS_BESIDE) -> tuple[int, ...]:
        """Of a folded word, itself first, then what it is without one letter, where it has at least `fewest` of them.
        Numbers have no slips: each is another number."""
        if len(word) < fewest or not word.isalpha():
            return (self._hash(word),)
        shorter = (word[:place] + word[place + 1 :] for place in range(len(word)))
        return tuple(dict.fromkeys(map(self._hash, (word, *shorter))))

    def looked_up(self, word: str) -> tuple[int, ...]:
        """What a word of a text is looked up under: its variants, and what it is without an ending: "Japanese"."""
        endings = (word[:-cut] for cut in _ENDINGS if len(word) - cut >= LETTERS_ALONE and word.isalpha())
        return tuple(dict.fromkeys((*self.variants(word), *map(self._hash, endings))))

    def _hash(self, text: str) -> int:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_BYTES, key=self._key).digest()
        return int.from_bytes(digest, "big")
