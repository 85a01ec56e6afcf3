"""Trains every row of a report, has a running service give its figures, and prints the table. One command:

    python -m bench.tofu.report --world WORLD [--split report …] [--rows FILE] [--log FILE] [--plot FILE.svg]

The figures come over HTTP from `unlearn serve` on vLLM: greedy chat answers, and prompt log-probabilities of answers.
A trained row is put into the service as a ready request and named in each question; before is the world's `full` model
without a plan, retrain a service on its `retain` model. What is in the log is not made again, so a run that was
interrupted goes on; artifacts lie beside the log in a folder of its name. Of several splits there is a table of each,
and one across them (`bench.tofu.across`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers.utils import logging as transformers_logging

from adapters.artifact.artifact import Artifact
from adapters.evaluation.rivals.registry import rivals
from adapters.evaluation.rivals.rival import Weights
from adapters.evaluation.tofu.scoring import METRICS, Heard, ItemScores, score
from adapters.models.frozen import PromptedModel
from adapters.registry import parse_config
from bench.tofu.across import across
from bench.tofu.client import Client
from bench.tofu.guarded import Guarded, forgotten_authors
from bench.tofu.log import ReportLog, load_log
from bench.tofu.questions import Question
from bench.tofu.search import AFTER, BEFORE, RETRAIN, Clock, Search, described
from bench.tofu.splits import FORGET_AUTHORS
from bench.tofu.table import plot, table
from bench.tofu.world import World
from tests.engine.service import Service, running

ROWS = Path(__file__).with_name("rows.json")
#: One engine for all kinds of adapters: every row is scored by the same process.
_ADAPTED = {"methods": "spul,delta,lora", "offset_reference": "own"}
_PLAIN = {"methods": "spul", "offset_layers": 0}

Hear = Callable[[Sequence[Question]], list[Heard]]
Items = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a method with the settings that are not its defaults, or a rival, which has none.

    Raises `InvalidConfig` or `UnknownMethod` for settings that are not the method's.
    """

    name: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.is_rival:
            parse_config(self.method, self.settings)

    @property
    def is_rival(self) -> bool:
        return self.method in rivals()


def load_rows(path: Path, seeds: Sequence[int] = ()) -> list[Row]:
    """The rows of a JSON list; with seeds, each that is trained once a seed.

    Raises TypeError for an entry with other fields than a row's, and what `Row` raises.
    """
    rows = [Row(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    if not seeds:
        return rows
    return [
        row if seed is None else Row(f"{row.name}, seed {seed}", row.method, {**row.settings, "seed": seed})
        for row in rows
        for seed in ((None,) if row.is_rival else seeds)
    ]


class Report:
    """The rows of one split of a world, made one after another."""

    def __init__(self, search: Search, rows: Sequence[Row], log: ReportLog, threads: int) -> None:
        self._search = search
        self._rows = rows
        self._log = log
        self._threads = threads

    def run(self) -> list[dict[str, Any]]:
        """Make what the log lacks. Returns the lines of the table, in the rows' order."""
        for row in self._rows:
            if not row.is_rival and self._log.get(self._key(row)) is None:
                self._train(row)
        self._score_adapted()
        self._score_retrain()
        known = {when: self._made(when)["items"] for when in (BEFORE, RETRAIN)}
        lines = []
        for row in self._rows:
            line = {**self._made(row), "name": row.name}
            lines.append(line if "failed" in line else {**line, "items": {**known, AFTER: line["items"]}})
        return lines

    def _key(self, what: Row | str) -> str:
        if isinstance(what, Row):
            # With the defaults: a row is made again when one of them has changed.
            config = {} if what.is_rival else asdict(parse_config(what.method, what.settings))
            pair = [] if self._search.layers is None or what.is_rival else [self._search.layers]
            return self._search.key(self._search.world.full, what.method, config, *pair)
        model = self._search.world.retain if what == RETRAIN else self._search.world.full
        return self._search.key(model, what)

    def _made(self, what: Row | str) -> dict[str, Any]:
        line = self._log.get(self._key(what))
        assert line is not None
        return line

    def _train(self, row: Row) -> None:
        """In a process of its own, so that no row's training is paid for in another's memory.

        Its line lies beside the artifact until the row has figures. Raises `subprocess.CalledProcessError`.
        """
        artifact, line = self._files(row)
        if not line.exists():
            print(f"training {row.name} …", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "bench.tofu.search", "--world", str(self._search.world.folder)]
            command += ["--split", self._search.split_name, "--method", row.method, "--threads", str(self._threads)]
            for name, value in row.settings.items():
                command += ["--set", f"{name}={json.dumps(value)}"]
            if self._search.layers is not None:
                command += ["--layers", str(self._search.layers)]
            command += ["--train-only", "--artifact", str(artifact), "--log", str(line)]
            self._log.folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        trained = self._trained(row)
        if "failed" in trained:
            self._log.add(self._key(row), trained)

    def _files(self, row: Row) -> tuple[Path, Path]:
        stem = self._log.folder / self._key(row)[:16]
        return stem.with_suffix(".safetensors"), stem.with_suffix(".json")

    def _trained(self, row: Row) -> dict[str, Any]:
        (line,) = load_log(self._files(row)[1])
        return line

    def _score_adapted(self) -> None:
        unscored = [row for row in self._rows if self._log.get(self._key(row)) is None]
        before = self._log.get(self._key(BEFORE)) is None
        if not unscored and not before:
            return
        with self._service(self._search.world.full, offset_layers=self._search.layers, **_ADAPTED) as service:
            if before:
                self._score(BEFORE, {"when": BEFORE}, self._client(service, "off").hear)
            for row in unscored:
                if row.is_rival:
                    line = {"method": row.method, "settings": {}, "train_s": 0.0, "artifact_bytes": 0}
                    self._score(row, line, self._rival(row.method, service))
                    continue
                artifact = Artifact.from_bytes(self._files(row)[0].read_bytes())
                plan = f"candidate:{service.put_artifact(artifact)}"
                self._score(row, self._trained(row), self._client(service, plan).hear)

    def _score_retrain(self) -> None:
        if self._log.get(self._key(RETRAIN)) is None:
            with self._service(self._search.world.retain, **_PLAIN) as service:
                self._score(RETRAIN, {"when": RETRAIN}, self._client(service, "off").hear)

    def _rival(self, name: str, service: Service) -> Hear:
        weights = None
        if rivals()[name].needs_weights:
            weights = Weights(PromptedModel.load(self._search.world.full), self._search.tokenizer)
        return Guarded(self._client(service, "off"), name, forgotten_authors(self._search.split.forget), weights).hear

    def _score(self, what: Row | str, line: dict[str, Any], hear: Hear) -> None:
        name = what.name if isinstance(what, Row) else what
        print(f"asking {name} …", file=sys.stderr, flush=True)
        clock = Clock()
        scores = {part: score(questions, hear(questions)) for part, questions in self._search.parts.items()}
        seconds = {"score_s": clock.read("score")["score_s"]}
        self._log.add(self._key(what), {"split": self._search.split_name, **line, **seconds, **_figures(scores)})

    def _client(self, service: Service, plan: str) -> Client:
        return Client(service.url, service.headers(plan))

    @contextmanager
    def _service(self, model: Path, **settings: Any) -> Iterator[Service]:
        print(f"starting a service on {model} …", file=sys.stderr, flush=True)
        threads = {"OMP_NUM_THREADS": str(self._threads)}
        with (
            TemporaryDirectory(prefix="tofu-report-") as folder,
            running(Path(folder), environment=threads, model=str(model), **settings) as service,
        ):
            yield service


def _figures(scores: Mapping[str, ItemScores]) -> Items:
    """{"means": {part: …}, "items": {part: …}}"""
    return {name: by_when[AFTER] for name, by_when in described({AFTER: scores}).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--split", choices=FORGET_AUTHORS, nargs="+", default=["report"])
    parser.add_argument("--rows", type=Path, default=ROWS, help="the table's rows as a JSON list")
    parser.add_argument("--layers", type=int, metavar="K", help="of the pair (default: as an engine has it)")
    parser.add_argument("--seeds", type=int, nargs="+", default=(), help="train each row once with each of these")
    parser.add_argument("--log", type=Path, help="default: report.jsonl in the world's folder")
    parser.add_argument("--plot", type=Path, help="write an SVG of the first split there")
    parser.add_argument("--metric", choices=METRICS, default="rouge_l", help="what the plot shows")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    world = World.open(arguments.world)
    log = ReportLog(arguments.log or world.folder / "report.jsonl")
    rows = load_rows(arguments.rows, arguments.seeds)
    splits = dict.fromkeys(arguments.split)
    lines = {
        split: Report(Search(world, split, arguments.layers), rows, log, arguments.threads).run() for split in splits
    }
    runs = [line for those in lines.values() for line in those]
    print(table(runs), end="")
    if len(splits) > 1:
        print("\n" + across(runs), end="")
    if arguments.plot:
        arguments.plot.write_text(plot(lines[arguments.split[0]], arguments.metric), encoding="utf-8")


if __name__ == "__main__":
    main()
