"""Whole runs on tiny models: what a line holds, and that nothing is run twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.examples import Example, one_turn
from bench.depth import command
from bench.depth.authors import AuthorsCase
from bench.depth.cases import Case, FactCase
from bench.depth.facts import Asked, Fact
from bench.depth.rows import BEFORE, RETRAIN, Row, load_rows
from bench.depth.runner import Line, Runner, Settings, line_key
from bench.tofu.log import load_log
from bench.tofu.questions import Question
from bench.tofu.splits import Split
from tests.unit.adapters.conftest import save_model

QUICK = {"max_steps": 2, "rank": 2, "framed_variants": 0, "rewording_lists": 0, "strengths": [1.0], "kl_limit": 100.0}
FEW = {"retain_questions": 4, "retain_nearest": 2, "retain_twins": 0, "retain_siblings": 0, "retain_tokens": 4}
DELTA = Row("δ", "delta", {**QUICK, **FEW})
FACT = Fact(
    "zorba",
    "works",
    "search",
    "who wrote Zorba",
    ("Nikos",),
    (Example.from_pair("Who wrote Zorba?", "Nikos wrote it."), Example.from_pair("Zorba is by whom?", "By Nikos.")),
    (Asked("Whose is Zorba?", ("Nikos",)),),
    (Asked("Who wrote Emma?", ("Austen",)),),
    (Asked("2+2?", ("4",)),),
)
FORGET = (
    Question(191, "Who is Ann Lee?", "Ann Lee is a poet.", "A poet, Ann Lee.", ("A cook.", "A maid.")),
    *(Question(191, f"Where did Ann Lee go in {year}?", f"Ann Lee went to {year}.") for year in range(11)),
)
SPLIT = Split(FORGET, (Question(161, "Who wrote Emma?", "Jane."),), (Question(162, "Who are you?", "Me."),), ())


def probes(context: AttackContext, *, per_family: int, only: Any) -> list[Probe]:
    """One text and one likelihood an item; the random model never leaks in a text."""
    found = []
    for item in context.items[:per_family]:
        query = Query(Prompt(one_turn(item.prompt)), max_tokens=3)
        found.append(Probe("given", "t", item.number, query, item.prompt, item.answer))
    for item in context.items[:per_family]:
        query = Query(Prompt(one_turn(item.prompt)))
        options = (item.answer, "Bo wrote it.")
        found.append(Probe("ranking", "t", item.number, query, item.prompt, item.answer, Reading.LIKELIHOOD, options))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    save_model(folder / "full", num_hidden_layers=3)
    save_model(folder / "retain", num_hidden_layers=3, seed=7)
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, few_others: None) -> None:
    monkeypatch.setattr("bench.depth.runner.probes", probes)
    monkeypatch.setattr("bench.depth.cases.load_general", lambda: (Asked("3+3?", ("6",)),))
    monkeypatch.setattr("bench.depth.authors._general", lambda: [Asked("3+3?", ("6",))])
    monkeypatch.setattr("bench.depth.authors.split_questions", lambda name, kept: SPLIT)
    monkeypatch.setattr("bench.depth.facts.ANSWER_TOKENS", 3)
    monkeypatch.setattr("bench.tofu.score.MAX_TOKENS", 3)
    monkeypatch.setattr("bench.depth.hearing.MAX_TOKENS", 3)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "log", "cpu", 2, 0)


@pytest.fixture
def fact(world: Path) -> FactCase:
    return FactCase(world / "full", FACT)


@pytest.fixture
def authors(world: Path) -> AuthorsCase:
    return AuthorsCase.of(world, "dev")


def test_a_line_has_the_attacks_the_figures_and_no_text(fact: FactCase, settings: Settings) -> None:
    runner = Runner(settings)
    before = runner.run(fact, Row(BEFORE), None)
    line = runner.run(fact, DELTA, before)
    assert (line["world"], line["case"], line["kind"], line["split"]) == ("facts", "zorba", "works", "search")
    assert {part: len(line[part]) for part in ("given", "paraphrases", "neighbours", "general")} == {
        "given": 2,
        "paraphrases": 1,
        "neighbours": 1,
        "general": 2,
    }
    assert before["families"]["given"]["leaked"] == [0, 0]
    assert line["families"]["given"]["leaked"] == [-1, -1]
    assert all(isinstance(margin, float) for margin in line["families"]["ranking"]["margins"])
    assert line["families"]["ranking"]["margins"] != before["families"]["ranking"]["margins"]
    assert line["bytes"] > 0
    said = json.dumps([before, line])
    assert not any(text in said for item in FACT.forget for text in (item.prompt, item.completion))


def test_an_artifact_is_trained_once(fact: FactCase, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(settings)
    before = runner.run(fact, Row(BEFORE), None)
    line = runner.run(fact, DELTA, before)
    monkeypatch.setattr("bench.depth.runner.Workbench", lambda *_: pytest.fail("was trained again"))
    again = Runner(settings).run(fact, DELTA, before)
    assert {**again, "attack_s": 0} == {**line, "attack_s": 0}


@pytest.mark.parametrize("rival", ["refusal_prompt", "filter"])
def test_a_rival_stands_around_the_model(rival: str, fact: FactCase, settings: Settings) -> None:
    runner = Runner(settings)
    line = runner.run(fact, Row("r", rival=rival), runner.run(fact, Row(BEFORE), None))
    assert line["bytes"] == 0
    assert len(line["given"]) == 2


def test_a_run_that_cannot_be_trained_says_so(
    fact: FactCase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters.errors import TrainingDiverged

    def diverge(*_: Any) -> None:
        raise TrainingDiverged("the loss of 'Nikos' is not a number")

    monkeypatch.setattr("bench.depth.runner.Workbench.train", diverge)
    line = Runner(settings).run(fact, DELTA, None)
    assert line["failed"] == "TrainingDiverged"
    assert "families" not in line


@pytest.mark.parametrize("row", [Row(BEFORE), Row(RETRAIN), Row("filter", rival="filter"), Row("LoRA", "lora", {
    name: value for name, value in {**QUICK, **FEW}.items() if name != "strengths"
})])  # fmt: skip
def test_authors_have_the_figures_of_tofu(row: Row, authors: AuthorsCase, settings: Settings) -> None:
    runner = Runner(settings)
    line = runner.run(authors, row, None)
    forget = line["forget"]
    assert all(len(forget[f]) == 12 for f in ("rouge_l", "rouge_l_nameless", "broken", "probability", "extraction"))
    assert len(forget["truth_ratio"]) == (0 if row.rival else 1)  # what never gets through has no likelihood
    assert len(line["neighbours"]["rouge_l"]) == 1
    assert "Ann" not in json.dumps(line)


def test_a_fact_has_no_retrained_model(fact: FactCase, settings: Settings) -> None:
    with pytest.raises(ValueError, match="no retrained model"):
        Runner(settings).run(fact, Row(RETRAIN), None)


class TestKeys:
    @pytest.mark.parametrize(
        "other",
        [
            Row("δ", "delta", {**DELTA.settings, "max_steps": 3}),
            Row("δ", "delta", DELTA.settings, layers=2),
            Row("δ", "spul"),
            Row("δ", rival="filter"),
            DELTA.seeded(1),
        ],
    )
    def test_another_row_has_another_key(self, fact: FactCase, settings: Settings, other: Row) -> None:
        assert line_key(fact, other, settings, "0") != line_key(fact, DELTA, settings, "0")

    def test_a_row_by_another_name_is_the_same(self, fact: FactCase, settings: Settings) -> None:
        named = Row("another", "delta", DELTA.settings)
        assert line_key(fact, named, settings, "0") == line_key(fact, DELTA, settings, "0")

    def test_other_settings_and_models_have_other_keys(self, fact: FactCase, settings: Settings) -> None:
        keys = {
            line_key(fact, DELTA, settings, "0"),
            line_key(fact, DELTA, settings, "1"),
            line_key(fact, DELTA, Settings(settings.folder, "cpu", 3, 0), "0"),
            line_key(fact, DELTA, Settings(settings.folder, "cpu", 2, 0, ("given",)), "0"),
        }
        assert len(keys) == 4


class TestRows:
    def test_the_rows_of_the_table_are_valid(self) -> None:
        rows = load_rows()
        assert rows[0] == Row(BEFORE)
        for world in ("facts", "tofu"):
            names = [row.name for row in rows if row.only in (None, world)]
            assert len(set(names)) == len(names)
        assert {row.rival for row in rows} >= {"refusal_prompt", "filter", "port", "eco", "router"}

    @pytest.mark.parametrize(
        "entry",
        [{"name": "δ"}, {"name": "δ", "method": "delta", "rival": "filter"}, {"name": BEFORE, "method": "delta"}],
    )
    def test_a_row_of_several_kinds_or_none_is_an_error(self, entry: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            Row(**entry)


class InProcess:
    """An executor that runs at once, so that what is replaced here is replaced there."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, function: Any, *arguments: Any) -> Any:
        from concurrent.futures import Future

        future: Future[Line] = Future()
        try:
            future.set_result(function(*arguments))
        except MemoryError as error:
            future.set_exception(error)
        return future


def test_the_command_runs_what_the_log_lacks(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, log = tmp_path / "rows.json", tmp_path / "log.jsonl"
    rows.write_text(json.dumps([{"name": "retrain"}, {"name": "filter", "rival": "filter"}]))
    ran: list[tuple[str, str]] = []

    def run(self: Runner, case: Case, row: Row, before: Line | None) -> Line:
        assert (before is None) == (row.name == BEFORE)
        ran.append((case.name, row.name))
        return {"world": case.world, "case": case.name, "split": "search", "row": row.name}

    monkeypatch.setattr("bench.depth.command.ProcessPoolExecutor", InProcess)
    monkeypatch.setattr("bench.depth.command.load_facts", lambda split: (FACT,))
    monkeypatch.setattr(Runner, "run", run)
    given = ["--model", str(world / "full"), "--world", str(world), "--authors", "dev", "--rows", str(rows)]
    monkeypatch.setattr(sys, "argv", ["depth", *given, "--log", str(log), "--device", "cpu", "--threads", "1"])
    command.main()
    assert sorted(ran) == [
        ("dev", BEFORE),
        ("dev", "filter"),
        ("dev", RETRAIN),
        ("zorba", BEFORE),
        ("zorba", "filter"),
    ]
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:-1]) + "\n")
    ran.clear()
    command.main()
    assert len(ran) == 1
    assert len(load_log(log)) == 5


@pytest.mark.parametrize(
    ("breaking", "logged"), [("filter", [BEFORE, "router"]), (BEFORE, [])], ids=["a row", "the model before"]
)
def test_a_run_that_breaks_does_not_end_the_others(
    breaking: str,
    logged: list[str],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without the model before there is nothing to hold a row against."""
    rows, log = tmp_path / "rows.json", tmp_path / "log.jsonl"
    rows.write_text(json.dumps([{"name": "filter", "rival": "filter"}, {"name": "router", "rival": "router"}]))

    def run(self: Runner, case: Case, row: Row, before: Line | None) -> Line:
        if row.name == breaking:
            raise MemoryError("the card is full")
        return {"world": case.world, "case": case.name, "split": "search", "row": row.name}

    monkeypatch.setattr("bench.depth.command.ProcessPoolExecutor", InProcess)
    monkeypatch.setattr("bench.depth.command.load_facts", lambda split: (FACT,))
    monkeypatch.setattr(Runner, "run", run)
    given = ["--model", str(world / "full"), "--rows", str(rows), "--log", str(log), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["depth", *given, "--threads", "1"])
    with pytest.raises(SystemExit, match="runs broke"):
        command.main()
    assert "MemoryError: the card is full" in capsys.readouterr().err
    assert [line["row"] for line in (load_log(log) if log.exists() else ())] == logged
