"""How much of what asks for it `matched` requests catch, and what else they match, with others in force beside them.

    python -m bench.scope [--tofu DIR] [--active 1 10 100 1000] [--per-family 6] [--split report]

The requests are the twelve facts of `bench.depth` and ten authors of TOFU; invented ones fill up. What asks for them is
the evidence bank, whether the model knows the answer or not; no model is asked, so that attacks which take what it says
of others have an invented name in its place. `--tofu` names a folder with TOFU's `full.json`, `real_authors.json` and
`world_facts.json` (MIT, locuslab/TOFU); without it there are the authors that the repository holds, and no questions
about real authors and the world.

A prompt beside that names the subject of a request in force, or is answered with what it forgets, is not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.text.phrasebook import phrasebook
from bench.depth.facts import SPLITS
from bench.scope.counting import active_sets, count
from bench.scope.fill import fill
from bench.scope.subjects import Beside, Subject, authors, beside_authors, beside_facts, facts, general, tofu
from bench.tofu.questions import load_questions
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.matcher import Matcher

_KEY = b"a key for words that are public"
#: Every so many of TOFU's authors are requests; as many others are asked about beside them.
_AUTHORS, _OTHERS = (range(161, 181, 4), range(181, 201, 4)), range(163, 201, 4)


def _say(*said: object) -> None:
    print(*said, file=sys.stderr, flush=True)


def matches(subjects: Sequence[Subject], prompts: Sequence[str]) -> dict[str, frozenset[str]]:
    """Of each prompt the subjects' requests that match it."""
    detectors = Detectors.default(_KEY)
    matcher = Matcher(detectors)
    for number, subject in enumerate(subjects):
        matcher.put(subject.id, build(subject.items, phrasebook("en"), detectors))
        if number % 100 == 0:
            _say(f"{number} of {len(subjects)} entries")
    _say(f"{len(prompts)} prompts")
    return {prompt: frozenset(matcher.matches(prompt)) for prompt in prompts}


def cases(folder: Path | None, split: str | None, per_family: int) -> tuple[list[Subject], list[Beside]]:
    """Those of the split, and what is asked beside them."""
    rows = load_questions() if folder is None else tofu(folder)
    chosen = [author for part in _AUTHORS for author in part]
    real = [*facts(per_family), *authors(rows, chosen, per_family)]
    beside = [*beside_facts(), *beside_authors(rows, _OTHERS), *general(folder)]
    return (
        [each for each in real if split in (None, each.split)],
        [each for each in beside if split in (None, each.split)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tofu", type=Path, metavar="DIR")
    parser.add_argument("--active", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--per-family", type=int, default=6, help="attacks of each family on each request")
    parser.add_argument("--split", choices=SPLITS)
    arguments = parser.parse_args()
    real, beside = cases(arguments.tofu, arguments.split, arguments.per_family)
    filling = list(fill(max(0, max(arguments.active) - len(real))))
    prompts = [prompt for subject in (*real, *filling) for asked in subject.asking.values() for prompt in asked]
    matched = matches([*real, *filling], list(dict.fromkeys([*prompts, *(each.prompt for each in beside)])))
    for number in arguments.active:
        counts = count(active_sets(real, filling, number), beside, matched)
        print(f"\n{number} in force; at most {counts.most} match a prompt beside")
        for title, found in (("caught", counts.caught), ("untouched", counts.untouched), ("", counts.refused)):
            for kind, each in sorted(found.items()):
                print(f"{title:10} {kind:28} {each}")


if __name__ == "__main__":
    main()
