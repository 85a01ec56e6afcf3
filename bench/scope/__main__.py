"""How much of what asks for it `matched` requests catch, and what else they match, with others in force beside them.

    python -m bench.scope [--tofu DIR] [--active 1 10 100 1000] [--per-family 6] [--split report]

The requests are the twelve facts of `bench.depth` and fifteen authors of TOFU; invented ones fill up. What asks for
them is the evidence bank, whether the model knows the answer or not; no model is asked, so that attacks which take what
it says of others have an invented name in its place. What is beside them are neighbours, questions about other authors,
and general ones. `--tofu` names a folder with TOFU's `full.json`, `real_authors.json` and `world_facts.json` (MIT,
locuslab/TOFU): without it there are no questions about real authors and the world.

A prompt beside that names the subject of a request in force, or is answered with what it forgets, is not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.text.phrasebook import phrasebook
from bench.depth.facts import REPORT, SEARCH, SPLITS
from bench.scope.counting import active_sets, count
from bench.scope.fill import fill
from bench.scope.subjects import Beside, Subject, authors, beside_authors, beside_facts, facts, general, tofu
from bench.tofu.questions import load_questions
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.matcher import Matcher

_KEY = b"a key for words that are public"
#: Of TOFU, by split: authors that are requests, and others that are asked about beside them.
_AUTHORS = {SEARCH: range(161, 181, 4), REPORT: range(181, 201, 2)}
_OTHERS = {SEARCH: range(163, 181, 4), REPORT: range(182, 201, 2)}


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


def cases(folder: Path | None, splits: Sequence[str], per_family: int) -> tuple[list[Subject], list[Beside]]:
    """Requests, and what is asked beside them."""
    rows = load_questions() if folder is None else tofu(folder)
    chosen, others = ([author for split in splits for author in of[split]] for of in (_AUTHORS, _OTHERS))
    beside = [*beside_facts(), *beside_authors(rows, others), *general(folder)]
    return (
        [*facts(splits, per_family), *authors(rows, chosen, per_family)],
        [each for each in beside if each.split in splits],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tofu", type=Path, metavar="DIR")
    parser.add_argument("--active", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--per-family", type=int, default=6, help="attacks of each family on each request")
    parser.add_argument("--split", choices=SPLITS)
    arguments = parser.parse_args()
    splits = SPLITS if arguments.split is None else (arguments.split,)
    real, beside = cases(arguments.tofu, splits, arguments.per_family)
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
