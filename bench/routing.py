"""How long it takes to find the requests that a prompt is about, and what that holds in memory.

    python -m bench.routing [--requests 10 1000 10000]

The requests are of invented words and of random vectors, 8 each; the prompts are bundled questions, each asked once, so
that no vector is remembered, and then again. Milliseconds of one thread: the median and the 99th percentile. `names` is
the index of names alone on the words of one reading; `new` and `again` are the whole way.
"""

from __future__ import annotations

import argparse
import random
import resource
import string
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from adapters.text.phrasebook import phrasebook
from adapters.text.words import words
from gateway.policy.scope.background import Background
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.encoder import CachedEncoder, Encoder, UniversalSentenceEncoder
from gateway.policy.scope.entry import ScopeEntry, keyed
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.names import NameIndex
from gateway.policy.scope.naming import Name

_HASHER = WordHasher(b"a key for words that are public")
_VECTORS = 8
#: No random vector comes so near to a sentence.
_THRESHOLD = 0.5


def invented(count: int, encoder: Encoder) -> list[ScopeEntry]:
    """Entries as requests about persons have them: a name of two words, a fact, and four questions."""
    draw, numbers = random.Random(0), np.random.default_rng(0)

    def word() -> str:
        return "".join(draw.choices(string.ascii_lowercase, k=draw.randint(4, 9)))

    made = []
    for _ in range(count):
        first, last, fact = word(), word(), word()
        names = [Name((first, last), 2), Name((fact,), 1), *(Name((first, last, word(), word()), 3) for _ in range(4))]
        vectors = numbers.normal(size=(_VECTORS, encoder.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made.append(ScopeEntry(keyed(names, _HASHER), vectors, _THRESHOLD, encoder.digest))
    return made


def milliseconds(ask: Callable[[str], object], prompts: Sequence[str]) -> str:
    """The median and the 99th percentile over the prompts."""
    taken = []
    for prompt in prompts:
        started = time.perf_counter()
        ask(prompt)
        taken.append(1000 * (time.perf_counter() - started))
    return f"{np.percentile(taken, 50):6.2f} {np.percentile(taken, 99):6.2f}"


def _named(index: NameIndex, spoken: Mapping[str, Sequence[str]], prompt: str) -> object:
    return index.found(spoken[prompt])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, nargs="+", default=[10, 1000, 10_000])
    arguments = parser.parse_args()
    weights = UniversalSentenceEncoder()
    background = Background(weights)
    prompts = phrasebook("en").questions
    spoken = {prompt: [word.term for word in words(prompt)] for prompt in prompts}
    print("requests   names p50, p99    new p50, p99   again p50, p99   largest, MiB")
    for count in arguments.requests:
        encoder = CachedEncoder(weights)
        matcher, index = Matcher(Detectors(encoder, background, _HASHER)), NameIndex(_HASHER)
        for number, entry in enumerate(invented(count, encoder)):
            matcher.put(str(number), entry)
            index.put(str(number), entry.names)
        matcher.matches("The first prompt puts the vectors under each other.")
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        names = milliseconds(partial(_named, index, spoken), prompts)
        new, again = (milliseconds(matcher.matches, prompts) for _ in range(2))
        print(f"{count:8}    {names}    {new}    {again}   {held:8.0f}")


if __name__ == "__main__":
    main()
