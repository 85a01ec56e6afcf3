"""Trains one setting on the authors a split is to forget and says how near it comes to never having read of them.

    python -m bench.tofu.search --world DIR [--split dev] --method delta --set objective=npo \\
        --set objective_settings.beta=0.1 [--log FILE]
    python -m bench.tofu.table FILE

Prints one JSON line a run, and appends it to FILE: for forget authors, for the same with their names misspelt, and for
unseen rows of authors that are to be kept, the means and every item of `bench.tofu.score` before, after, and of the
retrained model; the configuration; seconds on the clock and of the processor, and bytes. What does not depend on the
setting is measured, and asked of the model, once a world and kept in its folder: what a run says of its seconds is
without that where another one came before. Without --method nothing is trained.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from adapters.artifact.artifact import Artifact, model_digest
from adapters.artifact.spec import PairSpec, default_layers
from adapters.errors import InvalidExample, TrainingDiverged
from adapters.evaluation.served import ServedModel
from adapters.evaluation.tofu.scoring import FORGET, ItemScores
from adapters.examples import Example
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import load_tokenizer
from adapters.objectives.meow import Meow
from adapters.progress import Progress
from adapters.registry import get_method, methods, parse_config
from adapters.task import TrainingTask
from bench.tofu.answers import KeptAnswers
from bench.tofu.kept import read_kept, write_kept
from bench.tofu.questions import Question
from bench.tofu.score import MISSPELT, NEIGHBOURS, measure_parts
from bench.tofu.splits import FORGET_AUTHORS, Split, split_questions
from bench.tofu.substitutes import substitutes
from bench.tofu.world import World

SCORES_FILE = "scores.json"
BEFORE, AFTER, RETRAIN = "before", "after", "retrain"
#: Raise when scoring changes, so that figures kept from before are not compared with new ones.
_SCORING = 1

Report = Callable[[Progress], None]


class Search:
    """A split of a world: what is known about it before any training, and runs on it."""

    def __init__(self, world: World, split: str, layers: int | None = None) -> None:
        """layers: K of the pair; None: what an engine has by default.

        Raises ValueError for a world whose models do not differ by the split's authors.
        """
        if not set(FORGET_AUTHORS[split]) <= set(world.trained) - set(world.kept):
            raise ValueError(f"authors {FORGET_AUTHORS[split]} are not what this world's models differ by")
        self.world = world
        self.split_name = split
        self.layers = layers
        self.split: Split = split_questions(split, world.kept)
        self.tokenizer = load_tokenizer(str(world.full))
        self._target: PromptedModel | None = None

    @property
    def target(self) -> PromptedModel:
        """The model that unlearns, loaded when it is first needed."""
        if self._target is None:
            self._target = PromptedModel.load(self.world.full)
        return self._target

    @property
    def parts(self) -> dict[str, Sequence[Question]]:
        return {FORGET: self.split.forget, MISSPELT: self.split.misspelt, NEIGHBOURS: self.split.neighbours}

    def known(self) -> dict[str, dict[str, ItemScores]]:
        """What does not depend on any setting."""
        return {BEFORE: self.before(), RETRAIN: self.retrain()}

    def before(self) -> dict[str, ItemScores]:
        """Scores of the model as it is."""
        return self._kept(self.world.full, lambda: self.target)

    def retrain(self) -> dict[str, ItemScores]:
        """Scores of the model that never read of the forget authors."""
        return self._kept(self.world.retain, lambda: PromptedModel.load(self.world.retain))

    def _kept(self, path: Path, load: Callable[[], PromptedModel]) -> dict[str, ItemScores]:
        """Scores kept in the world's folder for these weights, questions and way of scoring, or made now."""
        file = self.world.folder / SCORES_FILE
        kept = read_kept(file)
        key = self.key(path)
        if key not in kept:
            scores = measure_parts(ServedModel(load()), self.tokenizer, self.parts)
            kept[key] = {name: asdict(items) for name, items in scores.items()}
            write_kept(file, kept)
        return {name: ItemScores(**items) for name, items in kept[key].items()}

    def key(self, model: Path, *what: Any) -> str:
        """A digest, in hex, of a way of scoring, a model's weights, the questions, and what else matters, as JSON."""
        asked = {name: [asdict(question) for question in questions] for name, questions in self.parts.items()}
        parts = json.dumps([_SCORING, model_digest(model), asked, *what], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()

    def task(self, method: str, config: Any, report: Report) -> TrainingTask:
        """The request: forget these authors, keep the rows given."""
        pair = None
        if get_method(method).footprint(config).offset_rank:
            layers = self.layers or default_layers(self.target.model.config.get_text_config().num_hidden_layers)
            own = get_method(method).needs_own_reference(config)
            pair = PairSpec(layers, own_reference=own)
        forget, retain = (
            tuple(Example.from_pair(question.question, question.answer) for question in questions)
            for questions in (self.split.forget, self.split.retain)
        )
        inverted = {}
        if getattr(config, "objective", "") == Meow.name:
            inverted = substitutes(self.split.forget, self.split.retain)
        answers = self.world.folder / f"answers-{model_digest(self.world.full)[:16]}.json"
        ask = KeptAnswers(answers, lambda: self.target, self.tokenizer)
        return TrainingTask(
            self.world.full, forget, retain, config, report, lambda: False, ask=ask, pair=pair, inverted=inverted
        )

    def train(
        self, method: str, settings: dict[str, Any], report: Report
    ) -> tuple[dict[str, Any], bytes | None, PairSpec | None]:
        """A line of the log without figures, the artifact's bytes, and the pair it is for.

        A run that diverges, or that finds nothing to train on, has `failed` in its line and no artifact.
        Raises `InvalidConfig` or `UnknownMethod` for settings that are not the method's.
        """
        config = parse_config(method, settings)
        line: dict[str, Any] = {"split": self.split_name, "method": method, "settings": settings}
        line |= {"config": asdict(config), "seed": config.seed, "model": model_digest(self.world.full)}
        task = self.task(method, config, report)
        if task.pair is not None:
            line["layers"] = task.pair.layers
        clock = Clock()
        try:
            trained = get_method(method).train(task).to_bytes()
        except (TrainingDiverged, InvalidExample) as error:
            return line | {"failed": str(error), **clock.read("train")}, None, task.pair
        return line | {"artifact_bytes": len(trained), **clock.read("train")}, trained, task.pair

    def run(
        self, method: str, settings: dict[str, Any], report: Report, artifact: Path | None = None
    ) -> dict[str, Any]:
        """One line of the log, as `train`, with the figures. artifact: where to keep its bytes."""
        known = self.known()
        line, trained, pair = self.train(method, settings, report)
        if trained is None:
            return line
        line |= keep(trained, artifact)
        clock = Clock()
        # From its bytes, as the engine has it: rounded to the checkpoint's format.
        served = ServedModel(self.target, Artifact.from_bytes(trained), pair)
        scores = known | {AFTER: measure_parts(served, self.tokenizer, self.parts)}
        return line | clock.read("score") | described(scores)

    def run_training(
        self, method: str, settings: dict[str, Any], report: Report, artifact: Path | None = None
    ) -> dict[str, Any]:
        """As `run`, without figures: a service is to give them."""
        line, trained, _ = self.train(method, settings, report)
        return line if trained is None else line | keep(trained, artifact)


def keep(trained: bytes, artifact: Path | None) -> dict[str, str]:
    """{"artifact": path} with the bytes written there, or nothing where there is no path."""
    if artifact is None:
        return {}
    artifact.parent.mkdir(parents=True, exist_ok=True)
    artifact.write_bytes(trained)
    return {"artifact": str(artifact)}


class Clock:
    """Seconds since it was made, on the clock and of this process on the processors."""

    def __init__(self) -> None:
        self._wall, self._processor = time.monotonic(), time.process_time()

    def read(self, what: str) -> dict[str, float]:
        """{what_s, what_cpu_s}."""
        wall, processor = time.monotonic() - self._wall, time.process_time() - self._processor
        return {f"{what}_s": round(wall, 1), f"{what}_cpu_s": round(processor, 1)}


def described(scores: Mapping[str, Mapping[str, ItemScores]]) -> dict[str, Any]:
    """{"means": …, "items": …} of {when: {part: scores}}, each in that nesting."""
    return {
        "means": rounded({when: {p: items.means(p) for p, items in parts.items()} for when, parts in scores.items()}),
        "items": rounded({when: {p: asdict(items) for p, items in parts.items()} for when, parts in scores.items()}),
    }


def rounded(value: Any) -> Any:
    """Numbers of nested lists and dictionaries to five significant digits, so that lines stay short."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def parse_settings(items: Sequence[str]) -> dict[str, Any]:
    """["a=1", "b.c=x"] as {"a": 1, "b": {"c": "x"}}: values are JSON where they read as such, else text."""
    settings: dict[str, Any] = {}
    for item in items:
        path, _, text = item.partition("=")
        *outer, name = path.split(".")
        inner = settings
        for part in outer:
            inner = inner.setdefault(part, {})
        try:
            inner[name] = json.loads(text)
        except json.JSONDecodeError:
            inner[name] = text
    return settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--split", choices=sorted(FORGET_AUTHORS), default="dev")
    parser.add_argument("--method", choices=sorted(methods()))
    parser.add_argument("--layers", type=int, metavar="K", help="of the pair (default: as an engine has it)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--log", type=Path, help="append the line there")
    parser.add_argument("--artifact", type=Path, metavar="FILE", help="keep what was trained there, as safetensors")
    parser.add_argument("--train-only", action="store_true", help="make no figures; a service is to give them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="say on standard error how training goes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    def report(progress: Progress) -> None:
        if arguments.show and progress.phase == "training" and progress.step % 10 == 0:
            metrics = " ".join(f"{name} {value:.3f}" for name, value in progress.metrics.items())
            print(f"step {progress.step} of {progress.steps}: {metrics}", file=sys.stderr, flush=True)

    search = Search(World.open(arguments.world), arguments.split, arguments.layers)
    if arguments.method is None:
        clock = Clock()
        scores = described(search.known())
        print(json.dumps({"split": arguments.split, "means": scores["means"], **clock.read("score")}))
        return
    run = search.run_training if arguments.train_only else search.run
    settings = parse_settings(arguments.set)
    line = json.dumps(run(arguments.method, settings, report, arguments.artifact), ensure_ascii=False)
    print(line, flush=True)
    if arguments.log:
        with arguments.log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")


if __name__ == "__main__":
    main()
