"""One run: a row of the benchmark on one case. It is trained as a worker would train it, then attacked and asked."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from adapters.artifact.artifact import Artifact, model_digest
from adapters.artifact.spec import PairSpec, default_layers
from adapters.errors import AdapterError
from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.probe import Probe
from adapters.evaluation.attacks.run import run
from adapters.evaluation.attacks.suite import probes
from adapters.evaluation.responder import Responder
from adapters.evaluation.rivals.rival import Respondent, Weights
from adapters.evaluation.served import ServedModel
from adapters.models.frozen import PromptedModel
from adapters.models.hardware import Hardware
from adapters.models.tokens import load_tokenizer
from adapters.models.workbench import Workbench
from adapters.objectives.meow import Meow
from adapters.progress import Progress
from adapters.registry import get_method, parse_config
from adapters.task import Ask, TrainingTask
from adapters.text.phrasebook import phrasebook_for
from adapters.training.red_team import RedTeamed
from bench.depth.cases import Case
from bench.depth.hearing import BenchModel
from bench.depth.results import asked_again, to_numbers
from bench.depth.rows import RETRAIN, Row
from bench.tofu.answers import KeptAnswers

#: Raise when what a line says changes, so that lines from before are not compared with new ones.
_VERSION = 1

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for every run.

    folder: where artifacts and the model's own answers are kept. per_family: probes of each family; only: the names of
    those there are, None: all. service: the URL of one to run against; None: in this process.
    """

    folder: Path
    device: str
    per_family: int
    seed: int
    only: tuple[str, ...] | None = None
    service: str | None = None

    @property
    def suite(self) -> str:
        """Names what is asked, and where: lines of one suite are of the same probes."""
        return _digest([self.per_family, self.seed, self.only, self.service is not None])[:8]


def line_key(case: Case, row: Row, settings: Settings, digest: str) -> str:
    """Of a line of the log. digest: of the checkpoint that unlearns."""
    return _digest([_VERSION, digest, case.world, case.name, row.key(), settings.suite])


def commit() -> str:
    """The checked-out commit; "" where this is no checkout."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


class Runner:
    """One process's: checkpoints are loaded once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models: dict[Path, PromptedModel] = {}
        self._workbenches: dict[tuple[str, str], Workbench] = {}
        self._probes: dict[tuple[str, str], list[Probe]] = {}

    @cached_property
    def hardware(self) -> Hardware:
        return Hardware.named(self._settings.device)

    def run(self, case: Case, row: Row, before: Line | None) -> Line:
        """The line of one run, without its key. before: that of the model as it is, which says what is asked again.

        A run that cannot be trained has `failed` in its line, and nothing measured.
        """
        line: Line = {"world": case.world, "case": case.name, **case.labels}
        line |= {"row": row.name, "seed": self._settings.seed, "suite": self._settings.suite}
        try:
            with self.made(case, row) as (model, made):
                started = time.monotonic()
                asked = self._suite(case)
                wanted = asked if before is None else asked_again(before["families"], asked)
                found = run(wanted, model.respond, model.score)
                made |= {"attack_s": round(time.monotonic() - started, 1), "families": to_numbers(asked, found)}
                return line | made | case.figures(model)
        except AdapterError as error:
            return line | {"failed": type(error).__name__}

    @contextmanager
    def made(self, case: Case, row: Row) -> Iterator[tuple[BenchModel, Line]]:
        """What is asked, and what making it took. Raises `AdapterError`."""
        yield self._made(case, row)

    def ask(self, case: Case) -> Ask:
        """What the model before answers, kept beside the log for those that go on with it."""
        file = self._file("answers", case.world, case.name)
        return KeptAnswers(file, lambda: self._model(case.model), load_tokenizer(str(case.model)))

    def _made(self, case: Case, row: Row) -> tuple[BenchModel, Line]:
        tokenizer = load_tokenizer(str(case.model))
        if row.name == RETRAIN:
            if case.retrained is None:
                raise ValueError(f"{case.name} has no retrained model")
            return BenchModel.plain(Responder(ServedModel(self._model(case.retrained)), tokenizer)), {}
        target = self._model(case.model)
        if row.method is not None:
            artifact, pair, made = self._trained(case, row)
            return BenchModel.plain(Responder(ServedModel(target, artifact, pair), tokenizer)), made
        plain = Responder(ServedModel(target), tokenizer)
        if row.rival is None:
            return BenchModel.plain(plain), {}
        from adapters.evaluation.rivals.registry import rivals  # here: one of them needs a package that methods do not

        started = time.monotonic()
        respondent = Respondent(plain.respond, plain.score, Weights(target, tokenizer))
        guard = rivals()[row.rival].around(respondent, case.forgotten)
        made = {"train_s": round(time.monotonic() - started, 1), "bytes": 0}
        return BenchModel.guarded(guard, plain), made

    def _model(self, path: Path) -> PromptedModel:
        if path not in self._models:
            self._models[path] = PromptedModel.load(path, self.hardware)
        return self._models[path]

    def _workbench(self, case: Case) -> Workbench:
        """What the model says of a case is the same for every row."""
        bench = self._workbenches.setdefault((case.world, case.name), Workbench(case.model, self.hardware))
        bench.keeps_target = True
        return bench

    def _suite(self, case: Case) -> list[Probe]:
        """The probes on a case: the same for every row of it, in every process."""
        key = (case.world, case.name)
        if key not in self._probes:
            items = case.forget
            book = phrasebook_for(text for item in items for text in (item.prompt, item.completion))
            context = attack_context(items, book, self.ask(case), bank=Bank.EVIDENCE, seed=self._settings.seed)
            self._probes[key] = probes(context, per_family=self._settings.per_family, only=self._settings.only)
        return self._probes[key]

    def _trained(self, case: Case, row: Row) -> tuple[Artifact, PairSpec | None, Line]:
        """As a worker trains it, or what is kept of that. Raises `AdapterError`."""
        assert row.method is not None
        method, config = get_method(row.method), parse_config(row.method, row.settings)
        pair = None
        if method.footprint(config).offset_rank:
            depth = self._model(case.model).model.config.get_text_config().num_hidden_layers
            pair = PairSpec(row.layers or default_layers(depth), own_reference=method.needs_own_reference(config))
        file = self._file(_digest([model_digest(case.model), case.world, case.name, row.key()])[:24])
        if not file.is_file():
            bench = self._workbench(case)
            inverted = case.inverted() if getattr(config, "objective", "") == Meow.name else {}
            task = TrainingTask(
                case.model, case.forget, case.retain, config, _silent, _never, pair=pair, inverted=inverted
            )
            started = time.monotonic()
            trained = bench.train(RedTeamed(method), task).to_bytes()
            made = {"train_s": round(time.monotonic() - started, 1), "bytes": len(trained)}
            file.with_suffix(".safetensors").write_bytes(trained)
            file.write_text(json.dumps(made), encoding="utf-8")
        made = json.loads(file.read_text(encoding="utf-8"))
        # From its bytes, as the engine has it: rounded to the checkpoint's format.
        return Artifact.from_bytes(file.with_suffix(".safetensors").read_bytes()), pair, made

    def _file(self, *name: str) -> Path:
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        return self._settings.folder / f"{'-'.join(name)}.json"


def _silent(progress: Progress) -> None:
    """A run's progress is nobody's concern here."""


def _never() -> bool:
    return False


def _digest(what: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
