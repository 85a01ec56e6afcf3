"""How long it takes to find the requests that a prompt is about, and what that holds in memory.

    python -m bench.routing [--requests 10 1000 10000]

The requests are those of `bench.scope.fill`; the prompts are bundled questions, each asked once, so that no vector is
remembered, and then again. Milliseconds of processor time, of one thread where
OMP_NUM_THREADS is 1: the median and the 99th percentile. `names` is the index of
names alone on the words of one reading; `new` and `again` are the whole way; `held` is the memory they take.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.text.phrasebook import phrasebook
from adapters.text.twins import content_words
from adapters.text.words import words
from bench.scope.fill import fill
from gateway.policy.scope.background import Background
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.encoder import CachedEncoder, Encoder, UniversalSentenceEncoder
from gateway.policy.scope.entry import ScopeEntry, keyed
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.names import NameIndex
from gateway.policy.scope.naming import Name

_KEY = b"a key for words that are public"
#: About what theirs are.
_THRESHOLD = 0.3
#: So many are encoded.
_ENCODED = 1000


def entries(count: int, encoder: Encoder) -> Iterator[bytes]:
    """Of the invented requests of `bench.scope.fill`, as they are stored, all with one threshold.

    Names are the subject's and the words of each question. The vectors of the first are their texts'; of the others,
    two texts' mixed, which takes seconds in place of minutes.
    """
    subjects, mixing, hasher = list(fill(count)), np.random.default_rng(0), WordHasher(_KEY)
    known: list[NDArray[np.float32]] = []
    for subject in subjects[:_ENCODED]:
        texts = dict.fromkeys([*(item.prompt for item in subject.items), *(item.completion for item in subject.items)])
        known.append(encoder.encode(list(texts)))
    together = np.concatenate(known)
    for number, subject in enumerate(subjects):
        vectors = known[number % len(known)]
        if number >= len(known):
            vectors = vectors + together[mixing.integers(len(together), size=len(vectors))]
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        asked = (content_words(item.prompt, "en") for item in subject.items)
        names = [Name(tuple(words), len(words)) for words in dict.fromkeys((*subject.names, *asked))]
        yield ScopeEntry(keyed(names, hasher), vectors, _THRESHOLD, 1.0, encoder.digest).to_bytes()


def milliseconds(ask: Callable[[str], object], prompts: Sequence[str]) -> str:
    """The median and the 99th percentile over the prompts."""
    taken = []
    for prompt in prompts:
        started = time.thread_time()
        ask(prompt)
        taken.append(1000 * (time.thread_time() - started))
    return f"{np.percentile(taken, 50):6.2f} {np.percentile(taken, 99):6.2f}"


def _named(index: NameIndex, spoken: Mapping[str, Sequence[str]], prompt: str) -> object:
    return index.found(spoken[prompt])


def _resident() -> int:
    """Bytes of memory that the process has, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, nargs="+", default=[10, 1000, 10_000])
    arguments = parser.parse_args()
    weights = UniversalSentenceEncoder()
    background = Background(weights)
    prompts = phrasebook("en").questions
    spoken = {prompt: [word.term for word in words(prompt)] for prompt in prompts}
    print("requests   names p50, p99    new p50, p99   again p50, p99   held, MiB")
    made = list(entries(max(arguments.requests), weights))
    for count in arguments.requests:
        # Of their own, so that none knows the words of the prompts from before.
        detectors = Detectors(CachedEncoder(weights), background, WordHasher(_KEY))
        matcher, index = Matcher(detectors), NameIndex(WordHasher(_KEY))
        before = _resident()
        for number, entry in enumerate(made[:count]):
            matcher.put(str(number), ScopeEntry.from_bytes(entry))
        held = (_resident() - before) / 2**20
        for number, entry in enumerate(made[:count]):
            index.put(str(number), ScopeEntry.from_bytes(entry).names)
        names = milliseconds(partial(_named, index, spoken), prompts)
        new, again = (milliseconds(matcher.matches, prompts) for _ in range(2))
        print(f"{count:8}    {names}    {new}    {again}   {held:8.0f}")


if __name__ == "__main__":
    main()
