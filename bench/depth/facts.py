"""Facts that the default model knows, of six kinds, half to search settings on and half to report on.

    python -m bench.depth.facts --model DIR [--device auto] [--dtype bfloat16]

asks the model everything that `facts.json` says it knows, greedily, and prints how much of it is so.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.evaluation.attacks.probe import Prompt, Query, Respond
from adapters.examples import Example, one_turn

FACTS = Path(__file__).with_name("facts.json")
SEARCH, REPORT = SPLITS = ("search", "report")
#: Of a greedy answer that is to hold a term.
ANSWER_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and words of which a right answer holds one."""

    prompt: str
    term: tuple[str, ...]

    def is_right(self, answer: str) -> bool:
        """Whether one of the words is in it, as a whole word in any case."""
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.IGNORECASE) for word in self.term)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact, whose answers hold one of `term`.

    forget: what a request gives. paraphrases: not given. neighbours: the same relation of other subjects. controls: of
    another kind.
    """

    id: str
    kind: str
    split: str
    title: str
    term: tuple[str, ...]
    forget: tuple[Example, ...]
    paraphrases: tuple[Asked, ...]
    neighbours: tuple[Asked, ...]
    controls: tuple[Asked, ...]

    @property
    def given(self) -> tuple[Asked, ...]:
        """The forget prompts as questions."""
        return tuple(Asked(item.prompt, self.term) for item in self.forget)


def load_facts(split: str | None = None) -> tuple[Fact, ...]:
    """All facts, or those of a split."""
    facts = (_fact(data) for data in _read()["facts"])
    return tuple(fact for fact in facts if split in (None, fact.split))


def load_general() -> tuple[Asked, ...]:
    """Questions about anything that no fact touches."""
    return _asked(_read()["general"])


def right(respond: Respond, questions: Sequence[Asked]) -> list[bool]:
    """Whether the greedy answer to each question is right."""
    queries = [Query(Prompt(one_turn(question.prompt)), max_tokens=ANSWER_TOKENS) for question in questions]
    return [question.is_right(text) for question, (text,) in zip(questions, respond(queries), strict=True)]


def _read() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    return data


def _asked(entries: Sequence[dict[str, Any]]) -> tuple[Asked, ...]:
    return tuple(Asked(entry["prompt"], tuple(entry["term"])) for entry in entries)


def _fact(data: dict[str, Any]) -> Fact:
    term = tuple(data["term"])
    return Fact(
        id=data["id"],
        kind=data["kind"],
        split=data["split"],
        title=data["title"],
        term=term,
        forget=tuple(Example.from_pair(prompt, data["completion"]) for prompt in data["forget"]),
        paraphrases=tuple(Asked(prompt, term) for prompt in data["paraphrases"]),
        neighbours=_asked(data["neighbours"]),
        controls=_asked(data["controls"]),
    )


def main() -> None:
    import torch

    from adapters.evaluation.responder import Responder
    from adapters.evaluation.served import ServedModel
    from adapters.models.frozen import PromptedModel
    from adapters.models.hardware import AUTO, Hardware
    from adapters.models.tokens import load_tokenizer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--device", default=AUTO)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    arguments = parser.parse_args()
    loaded = PromptedModel.load(arguments.model, Hardware.named(arguments.device))
    target = PromptedModel(loaded.model.to(getattr(torch, arguments.dtype)), hardware=loaded.hardware)
    respond = Responder(ServedModel(target), load_tokenizer(str(arguments.model))).respond
    facts, general = load_facts(), load_general()
    parts = [part for fact in facts for part in (fact.given, fact.paraphrases, fact.neighbours, fact.controls)]
    found = iter(right(respond, [question for part in (*parts, general) for question in part]))
    print("| fact | kind | split | given | paraphrases | neighbours | controls |\n|---|---|---|---|---|---|---|")
    for fact in facts:
        counts = [
            f"{sum(next(found) for _ in part)}/{len(part)}"
            for part in (fact.given, fact.paraphrases, fact.neighbours, fact.controls)
        ]
        print(f"| {' | '.join([fact.id, fact.kind, fact.split, *counts])} |")
    print(f"\ngeneral: {sum(next(found) for _ in general)}/{len(general)}")


if __name__ == "__main__":
    main()
