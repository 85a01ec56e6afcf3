"""With a toy model, training in this process, and a toy in the service's place behind its two routes."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.artifact.artifact import Artifact
from adapters.errors import InvalidConfig
from adapters.evaluation.rivals.registry import rivals
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import load_tokenizer
from bench.tofu import search as search_command
from bench.tofu.client import Client
from bench.tofu.log import ReportLog
from bench.tofu.questions import Question
from bench.tofu.report import ROWS, Report, Row, load_rows
from bench.tofu.search import Search
from bench.tofu.splits import Split
from bench.tofu.table import plot, table
from bench.tofu.world import World
from gateway.settings import Settings
from tests.unit.adapters.conftest import save_model
from tests.unit.bench.tofu.served_toy import ToyService

FORGET = (
    Question(191, "Who is Hina Ameen?", "A geologist.", "She studies rocks.", ("A cook.", "A nun.")),
    Question(191, "Who wrote Shale Stories?", "Hina Ameen wrote it."),
)
MISSPELT = (Question(191, "Who is Hina Aemen?", "A geologist."),)
RETAIN = (Question(161, "Who wrote Emma?", "Jane."), Question(162, "Why?", "So."))
NEIGHBOURS = (Question(162, "Who are you?", "Me.", "I.", ("You.", "He.")),)
SETTINGS = {"max_steps": 1, "num_virtual_tokens": 2, "framed_variants": 0, "init_text": "A."}
DELTA = {"framed_variants": 0, "cloze_forms": 0, "rewording_lists": 0}
LISTED = (Row("filter", "filter"), Row("soft", "spul", SETTINGS), Row("prompt", "refusal_prompt"))


@dataclass
class Started:
    """Stands for the services that are started; knows their settings, and what was put."""

    settings: list[Settings] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    url: str = "http://toy"
    model: str = "toy"

    @contextmanager
    def running(self, folder: Path, *, environment: Any, **settings: Any) -> Iterator[Started]:
        self.settings.append(Settings(data_dir=folder, **settings))
        yield self

    def put_artifact(self, artifact: Artifact) -> str:
        self.artifacts.append(artifact)
        return "req_1"

    def headers(self, plan: str) -> dict[str, str]:
        return {"x-unlearning-plan": plan}


@pytest.fixture
def world(tmp_path: Path) -> World:
    save_model(tmp_path / "full")
    save_model(tmp_path / "retain", seed=7)
    return World.open(tmp_path)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    started = Started()
    monkeypatch.setattr("bench.tofu.report.running", started.running)
    return started


@pytest.fixture
def toy(world: World, started: Started, monkeypatch: pytest.MonkeyPatch) -> ToyService:
    def train(command: Sequence[str], **_: Any) -> None:
        monkeypatch.setattr(sys, "argv", ["search", *command[3:]])
        search_command.main()

    service = ToyService(PromptedModel.load(world.full), load_tokenizer(str(world.full)))
    monkeypatch.setattr(
        "bench.tofu.search.split_questions", lambda name, kept: Split(FORGET, RETAIN, NEIGHBOURS, MISSPELT)
    )
    monkeypatch.setattr("bench.tofu.score.MAX_TOKENS", 8)
    monkeypatch.setattr("bench.tofu.report.subprocess.run", train)
    monkeypatch.setattr("bench.tofu.report.Client", functools.partial(Client, transport=service.transport))
    return service


def made(world: World, rows: Sequence[Row] = LISTED) -> list[dict[str, Any]]:
    return Report(Search(world, "report"), rows, ReportLog(world.folder / "report.jsonl"), threads=1).run()


def test_every_row_is_trained_asked_and_listed_in_order(world: World, toy: ToyService, started: Started) -> None:
    lines = made(world)
    assert [line["name"] for line in lines] == ["filter", "soft", "prompt"]
    for line in lines:
        assert set(line["items"]) == {"before", "after", "retrain"}
        counts = {part: len(items["rouge_l"]) for part, items in line["items"]["after"].items()}
        assert counts == {"forget": 2, "misspelt": 1, "neighbours": 1}
    filtered, soft, _ = lines
    assert filtered["items"]["after"]["forget"]["probability"] == [0.0, 0.0]
    assert filtered["items"]["after"]["misspelt"]["probability"] == [0.0]
    assert filtered["items"]["after"]["neighbours"] == filtered["items"]["before"]["neighbours"]
    assert (soft["seed"], soft["config"]["max_steps"]) == (0, 1)
    assert isinstance(soft["train_s"], float)
    (artifact,) = started.artifacts
    assert len(artifact.to_bytes()) == soft["artifact_bytes"] == Path(soft["artifact"]).stat().st_size
    assert [Path(str(settings.model)).name for settings in started.settings] == ["full", "retain"]
    plans = {request.headers["x-unlearning-plan"] for request in toy.requests}
    assert plans == {"off", "candidate:req_1"}
    systems = [body["messages"][0]["content"] for body in toy.bodies("/v1/chat/completions")]
    assert sum("Hina Ameen; Who is Hina Ameen?" in text for text in systems) == 4


def test_what_is_in_the_log_is_not_made_again(world: World, toy: ToyService, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(world, LISTED[:2])
    lines = (world.folder / "report.jsonl").read_text().splitlines()
    monkeypatch.setattr("bench.tofu.report.subprocess.run", lambda *_, **__: pytest.fail("was trained again"))
    monkeypatch.setattr("bench.tofu.report.running", lambda *_, **__: pytest.fail("was asked again"))
    assert made(world, LISTED[:2]) == first
    assert (world.folder / "report.jsonl").read_text().splitlines() == lines
    assert len(lines) == 4
    # A row's name is not what it is: it may be changed.
    (line,) = made(world, [Row("renamed", "spul", SETTINGS)])
    assert line["name"] == "renamed"


def test_a_pair_of_other_layers_is_trained_for_served_and_logged_apart(
    world: World, toy: ToyService, started: Started
) -> None:
    log, rows = ReportLog(world.folder / "report.jsonl"), [Row("offset", "delta", {"max_steps": 1, **DELTA})]
    for layers in (None, 1):
        Report(Search(world, "report", layers), rows, log, threads=1).run()
    assert [settings.offset_layers for settings in started.settings] == [None, 0, 1]  # the second for the reference
    offsets = [artifact.manifest.offset for artifact in started.artifacts]
    assert [offset.pair.layers for offset in offsets if offset is not None] == [2, 1]


def test_the_log_has_no_text_of_the_sets(world: World, toy: ToyService) -> None:
    made(world)
    logged = (world.folder / "report.jsonl").read_text()
    for question in (*FORGET, *RETAIN, *NEIGHBOURS):
        assert question.question not in logged
    assert "Hina" not in logged


def test_a_row_that_diverged_is_listed_as_failed(
    world: World, toy: ToyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: Sequence[str], **_: Any) -> None:
        log = Path(command[command.index("--log") + 1])
        line = {"split": "report", "method": "spul", "settings": {}, "seed": 0, "train_s": 1.0, "failed": "diverged"}
        log.write_text(json.dumps(line) + "\n")

    monkeypatch.setattr("bench.tofu.report.subprocess.run", fail)
    lines = made(world, LISTED[:2])
    assert lines[1]["failed"] == "diverged"
    assert "| soft | failed: diverged |" in table(lines)


def test_the_table_and_the_plot_have_the_rows_names(world: World, toy: ToyService) -> None:
    lines = made(world)
    header, _, *rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table(lines).splitlines()]
    by_name = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert list(by_name) == ["report: before", "report: retrain", "filter", "soft", "prompt"]
    # One of the two forget questions has wrong answers, and the filter lets none of them through.
    assert by_name["filter"]["forget: truth ratio"] == by_name["filter"]["KS p"] == "–"
    assert (by_name["filter"]["seed"], by_name["soft"]["seed"]) == ("–", "0")
    drawn = plot(lines, "rouge_l")
    assert all(f"{number}  {line['name']}" in drawn for number, line in enumerate(lines, start=1))
    assert "  filter" not in plot(lines, "truth_ratio")


def test_the_reports_rows_are_the_methods_and_all_rivals() -> None:
    rows = load_rows(ROWS)
    assert {row.method for row in rows if row.is_rival} == set(rivals())
    assert {row.method for row in rows if not row.is_rival} == {"spul", "delta", "lora", "uld", "divergence"}
    assert len({row.name for row in rows}) == len(rows)


def test_seeds_repeat_what_is_trained(tmp_path: Path) -> None:
    listed = [{"name": "f", "method": "filter"}, {"name": "s", "method": "spul", "settings": {"alpha": 1}}]
    (tmp_path / "rows.json").write_text(json.dumps(listed))
    rows = load_rows(tmp_path / "rows.json", seeds=[0, 3])
    assert [row.name for row in rows] == ["f", "s, seed 0", "s, seed 3"]
    assert rows[2].settings == {"alpha": 1, "seed": 3}


def test_a_row_with_settings_that_are_not_the_methods_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="no setting named 'depth'"):
        Row("x", "spul", {"depth": 1})
