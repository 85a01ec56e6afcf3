"""How many of the attacks on the facts a scope catches, and what else it matches.

    python -m bench.scope [--per-family 6] [--split report]

Each of the facts is a `matched` request. Its attacks are those of the evidence bank, whether the model knows the answer
or not; no model is asked, so that attacks which take what it says of others have an invented name in its place.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence

from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.suite import probes
from adapters.evaluation.statistics.proportion import lower_bound
from adapters.examples import Message
from adapters.text.phrasebook import phrasebook
from bench.depth.facts import SPLITS, Fact, load_facts
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.matcher import Matcher

_KEY = b"a key for words that are public"


def _says(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
    return ["It is called Zork Blimpf."[: 4 * max_tokens] for _ in conversations]


def asked(fact: Fact, per_family: int) -> dict[str, list[str]]:
    """What is asked about a fact, and beside it, by kind."""
    book = phrasebook("en")
    found: dict[str, list[str]] = defaultdict(list)
    for probe in probes(attack_context(fact.forget, book, _says, bank=Bank.EVIDENCE), per_family=per_family):
        found[probe.family].append(probe.query.prompt.shown)
    found["other wordings"] = [each.prompt for each in fact.paraphrases]
    found["beside: neighbours"] = [each.prompt for each in fact.neighbours]
    found["beside: controls"] = [each.prompt for each in fact.controls if not each.is_right(" ".join(fact.term))]
    found["beside: bundled questions"] = list(book.control_questions)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-family", type=int, default=6, help="attacks of each family on each fact")
    parser.add_argument("--split", choices=SPLITS)
    arguments = parser.parse_args()
    detectors = Detectors.default(_KEY)
    counts: dict[str, list[bool]] = defaultdict(list)
    for fact in load_facts(arguments.split):
        matcher = Matcher(detectors)
        matcher.put(fact.id, build(fact.forget, phrasebook("en"), detectors))
        for kind, texts in asked(fact, arguments.per_family).items():
            counts[kind] += [bool(matcher.matches(text)) for text in texts]
        print(fact.id, file=sys.stderr, flush=True)
    counts["all attacks"] = [flag for kind, flags in counts.items() if not kind.startswith("beside") for flag in flags]
    for kind, flags in counts.items():
        caught, n = sum(flags), len(flags)
        print(f"{kind:28} {caught:5} of {n:5}  at least {lower_bound(caught, n):.3f}")


if __name__ == "__main__":
    main()
