"""The facts the demo forgets, out of `demo_facts.json`.

Each was asked of the default model (greedy, 64 tokens, bfloat16 and float32): it names the term in every forget
prompt and paraphrase, and each control's own term in its answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from gateway.cli.failures import UsageFailed


@dataclass(frozen=True, slots=True)
class Control:
    """A question whose answer must stay: it holds one of `term`. `near` when it resembles the forgotten ones."""

    prompt: str
    term: tuple[str, ...]
    near: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: `term` is what an answer must no longer hold, any of several words."""

    id: str
    title: str
    subject: str
    term: tuple[str, ...]
    forget: tuple[tuple[str, str], ...]  # (prompt, completion)
    paraphrases: tuple[str, ...]  # not trained on
    controls: tuple[Control, ...]

    def body(self, method: str, config: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """The body of `POST /forget`: the forget prompts, settings where there are any, and further fields."""
        items = [{"prompt": prompt, "completion": completion} for prompt, completion in self.forget]
        body = {"subject": self.subject, "forget": items, "method": method, **fields}
        return {**body, "config": dict(config)} if config else body


def holds(answer: str, term: tuple[str, ...]) -> bool:
    """Whether `answer` holds one of the words, as a whole word in any case."""
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.IGNORECASE) for word in term)


def load_facts() -> tuple[Fact, ...]:
    """All facts, in their order."""
    text = resources.files(__package__).joinpath("demo_facts.json").read_text(encoding="utf-8")
    return tuple(_fact(data) for data in json.loads(text)["facts"])


def model_name() -> str:
    """The model that knows them."""
    text = resources.files(__package__).joinpath("demo_facts.json").read_text(encoding="utf-8")
    return str(json.loads(text)["model"])


def find_fact(fact_id: str) -> Fact:
    """Raises `UsageFailed` naming those there are."""
    facts = {fact.id: fact for fact in load_facts()}
    if fact_id not in facts:
        raise UsageFailed(f"no fact {fact_id!r}; there are {', '.join(facts)}")
    return facts[fact_id]


def _fact(data: dict[str, Any]) -> Fact:
    return Fact(
        id=data["id"],
        title=data["title"],
        subject=data["subject"],
        term=tuple(data["term"]),
        forget=tuple((item["prompt"], item["completion"]) for item in data["forget"]),
        paraphrases=tuple(data["paraphrases"]),
        controls=tuple(Control(c["prompt"], tuple(c["term"]), c["near"]) for c in data["controls"]),
    )
