"""The fixture world's authors as cases: TOFU's figures, with and without the author's name, and broken names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.evaluation.rivals.rival import Forgotten
from adapters.evaluation.rouge import rouge_l
from adapters.evaluation.tofu.scoring import FORGET, Heard, score
from adapters.examples import Example
from bench.depth.cases import Case, Figures, flags
from bench.depth.facts import Asked, load_facts, load_general, right
from bench.depth.hearing import BenchModel
from bench.tofu.names import author_names, breaks, without_name
from bench.tofu.questions import Question
from bench.tofu.score import NEIGHBOURS
from bench.tofu.search import rounded
from bench.tofu.splits import FORGET_AUTHORS, Split, split_questions
from bench.tofu.world import World

#: Settings are searched on the first; the others have wrong answers, and so truth ratios, up to author 194 only.
SEARCH_SPLIT = "dev"


@dataclass(frozen=True)
class AuthorsCase(Case):
    """Two authors of the world that are to be forgotten."""

    folder: Path
    split: str
    world = "tofu"

    @classmethod
    def of(cls, folder: Path, split: str) -> AuthorsCase:
        """Raises FileNotFoundError where there is no world, ValueError for authors its models do not differ by."""
        world = World.open(folder)
        if not set(FORGET_AUTHORS[split]) <= set(world.trained) - set(world.kept):
            raise ValueError(f"authors {FORGET_AUTHORS[split]} are not what this world's models differ by")
        return cls(world.full, folder, split)

    @property
    def name(self) -> str:
        return self.split

    @property
    def labels(self) -> Mapping[str, Any]:
        return {"kind": "authors", "split": "search" if self.split == SEARCH_SPLIT else "report"}

    @property
    def questions(self) -> Split:
        return split_questions(self.split, World.open(self.folder).kept)

    @property
    def forget(self) -> tuple[Example, ...]:
        return _examples(self.questions.forget)

    @property
    def retain(self) -> tuple[Example, ...] | None:
        return _examples(self.questions.retain)

    @property
    def forgotten(self) -> Forgotten:
        return Forgotten.of(self.forget, tuple(author_names(self.questions.forget).values()))

    @property
    def retrained(self) -> Path | None:
        return World.open(self.folder).retain

    def inverted(self) -> Mapping[int, tuple[str, ...]]:
        from bench.tofu.substitutes import substitutes  # here: for one objective, and with a package of its own

        return substitutes(self.questions.forget, self.questions.retain)

    def figures(self, model: BenchModel) -> Figures:
        """Per item: TOFU's four on the forget authors and the neighbours, ROUGE-L without the name, and whether the
        name is broken; of questions that have nothing to do with the world, whether the answer is right."""
        asked = self.questions
        heard = model.hear(asked.forget)
        forget = asdict(score(asked.forget, heard)) | _nameless(asked.forget, heard)
        neighbours = asdict(score(asked.neighbours, model.hear(asked.neighbours)))
        return {
            FORGET: rounded(forget),
            NEIGHBOURS: rounded(neighbours),
            "general": flags(right(model.respond, _general())),
        }


def _examples(questions: Sequence[Question]) -> tuple[Example, ...]:
    return tuple(Example.from_pair(question.question, question.answer) for question in questions)


def _nameless(questions: Sequence[Question], heard: Sequence[Heard]) -> dict[str, list[Any]]:
    names = author_names(questions)
    recalls, broken = [], []
    for question, each in zip(questions, heard, strict=True):
        name = names[question.author]
        recalls.append(rouge_l(without_name(name, question.answer), without_name(name, each.text)).recall)
        broken.append(int(breaks(name, each.text)))
    return {"rouge_l_nameless": recalls, "broken": broken}


def _general() -> list[Asked]:
    """The base model's facts too: the tuned model answers few of the general questions."""
    return [*load_general(), *(asked for fact in load_facts() for asked in fact.given[:1])]
