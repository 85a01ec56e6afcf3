"""Matching as it is defined, in full for every text and every request: what is quick is held against it."""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate, pairwise

import numpy as np
import pytest

from adapters.text import words as text_words
from adapters.text.words import Word, fold, words
from gateway.policy.scope import decodings, letter_pairs
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.matcher import MOST_WINDOWS
from gateway.policy.scope.names import SPAN, KeyedName
from gateway.policy.scope.views import views
from gateway.policy.scope.windows import windows


@contextmanager
def uncut() -> Iterator[None]:
    """Texts are read without any short way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letter_pairs, "log_likelihood", log_likelihood)
        patch.setattr(decodings, "decode_escapes", _decode_escapes)
        patch.setattr(decodings, "_from_base64", _from_base64)
        patch.setattr(decodings, "_where_it_reads_better", _where_it_reads_better)
        patch.setattr(decodings, "_with_leet", _with_leet)
        patch.setattr(text_words, "_plain", _plain)
        yield


def matches(text: str, entries: Mapping[str, ScopeEntry], detectors: Detectors) -> dict[str, float]:
    """The requests that a text is about, with how far it is above the threshold of meaning; 0.0 for a name alone."""
    with uncut():
        read = views(text)
        cut = list(dict.fromkeys(window for view in read for window in windows(view, most=MOST_WINDOWS)))
        spoken = [[word.term for word in words(view)] for view in read]
    vectors = detectors.encoder.encode(cut).astype(np.float64)
    background = detectors.background.nearness(vectors.astype(np.float32))
    found: dict[str, float] = {}
    for request_id, entry in entries.items():
        margins = entry.vectors @ vectors.T - entry.background * background - entry.threshold
        margin = float(margins.max(initial=-1.0))
        if margin >= 0 or any(stands_in(said, name, detectors.hasher) for said in spoken for name in entry.names):
            found[request_id] = max(margin, 0.0)
    return found


def stands_in(said: Sequence[str], name: KeyedName, hasher: WordHasher) -> bool:
    """Whether enough words of a name, each once, are among so many words in a row."""
    heard = hasher.looked_up(said)
    held = [{number for number, word in enumerate(name.words) if set(word) & set(heard[each])} for each in said]
    ends = (end for end, of_word in enumerate(held) if of_word)
    return any(len(set[int]().union(*held[max(0, end - SPAN + 1) : end + 1])) >= name.needed for end in ends)


def log_likelihood(word: str) -> float:
    seen, unseen = _log_likelihoods()
    letters = pairwise(f" {word.lower()} ")
    return sum(seen.get(pair) or unseen.get(pair[0], -math.log(letter_pairs._LETTERS)) for pair in letters)


@cache
def _log_likelihoods() -> tuple[Mapping[tuple[str, str], float], Mapping[str, float]]:
    pairs = Counter(pair for word in letter_pairs._known() for pair in pairwise(f" {word.lower()} "))
    firsts: Counter[str] = Counter()
    for (first, _), count in pairs.items():
        firsts[first] += count
    totals = {first: count + letter_pairs._UNSEEN * letter_pairs._LETTERS for first, count in firsts.items()}
    return (
        {pair: math.log((count + letter_pairs._UNSEEN) / totals[pair[0]]) for pair, count in pairs.items()},
        {first: math.log(letter_pairs._UNSEEN / total) for first, total in totals.items()},
    )


def _decode_escapes(text: str) -> str:
    text = decodings._PERCENT.sub(lambda found: decodings._from_percent(found.group()), text)
    text = html.unescape(text) if "&" in text else text
    text = decodings._ESCAPES.sub(lambda found: chr(int(found.group(1), 16)), text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _from_base64(written: str) -> str:
    whole = decodings._decoded(decodings._base64_bytes(written), written)
    if whole != written:
        return whole
    return decodings._BETWEEN_SIGNS.sub(
        lambda part: decodings._decoded(decodings._base64_bytes(part.group()), part.group()), written
    )


def _where_it_reads_better(text: str, read: Callable[[str], str], enough: float) -> str:
    gains = letter_pairs.gains_by(read)
    if sum(gains(text)) > decodings._ENOUGH_OF_WHOLE:
        return read(text)

    def better(sentence: re.Match[str]) -> str:
        runs = accumulate(gains(sentence.group()), lambda run, gain: max(run, 0.0) + gain)
        stop_first = read is decodings._reversed and decodings._STOP_FIRST.match(text, sentence.start()) is not None
        return read(sentence.group()) if stop_first or max(runs, default=0.0) > enough else sentence.group()

    return decodings._SENTENCE.sub(better, text)


def _with_leet(text: str, read: Callable[[str], str]) -> str:
    if not any(decodings._LEET_WORD.fullmatch(token.group()) for token in decodings._LEET_TOKEN.finditer(text)):
        return text
    return decodings._LEET_TOKEN.sub(lambda token: decodings._in_letters(token.group(), read), text)


def _plain(text: str, start: int, end: int) -> Iterator[Word]:
    written = text[start:end]
    if not any(character.isalnum() for character in written):
        return
    if written[0].isdecimal() and not any(character.isalpha() for character in written):
        yield from text_words._number(text, start, end)
        return
    elided = text_words._ELIDED.match(written)
    if elided is not None:
        start += elided.end()
        written = text[start:end]
    possessive = text_words._POSSESSIVE.search(written)
    if possessive is not None:
        end -= len(possessive.group())
        written = text[start:end]
    yield Word(fold(written), start, end)
