from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from adapters.artifact.artifact import Artifact
from adapters.errors import InvalidConfig, TrainingDiverged
from adapters.evaluation.rouge import rouge_l
from adapters.evaluation.served import ServedModel
from adapters.evaluation.tofu.scoring import ItemScores
from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers
from adapters.models.tokens import encode_answer, encode_prompt, load_tokenizer
from adapters.objectives.npo import Npo
from bench.tofu.questions import Question
from bench.tofu.score import measure
from bench.tofu.search import Search, parse_settings, rounded
from bench.tofu.splits import Split
from bench.tofu.world import World
from tests.unit.adapters.conftest import save_model

ANSWER = "Nikos wrote it."
FORGET = (
    Question(191, "Who wrote Zorba?", ANSWER, "It is by Nikos.", ("It is by Bo.", "It is by Al.")),
    Question(191, "Who is Nikos?", "A writer."),
)
RETAIN = (Question(161, "Who wrote Emma?", "Jane."), Question(161, "And Odes?", "Keats."), Question(162, "Why?", "So."))
NEIGHBOURS = (Question(162, "Who are you?", "Me."),)
MISSPELT = (Question(191, "Who is Nikso?", "A writer."),)
QUICK = {"max_steps": 2, "rank": 2, "framed_variants": 0, "strengths": [1.0], "kl_limit": 100.0}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    save_model(folder / "full", num_hidden_layers=3)
    save_model(folder / "retain", num_hidden_layers=3, seed=7)
    return World.open(folder)


@pytest.fixture
def search(world: World, monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.setattr(
        "bench.tofu.search.split_questions", lambda name, kept: Split(FORGET, RETAIN, NEIGHBOURS, MISSPELT)
    )
    monkeypatch.setattr("bench.tofu.score.MAX_TOKENS", 8)
    return Search(world, "dev")


def ignore(progress: Any) -> None:
    pass


def test_scores_are_the_metrics_of_what_the_model_says(world: World) -> None:
    tokenizer, model = load_tokenizer(str(world.full)), PromptedModel.load(world.full)
    scores = measure(ServedModel(model), tokenizer, FORGET)
    conversations = [(Message("user", question.question),) for question in FORGET]
    said = greedy_answers(model.model, tokenizer, conversations, max_tokens=80)
    assert scores.rouge_l == [rouge_l(q.answer, text).recall for q, text in zip(FORGET, said, strict=True)]

    def loss(answer: str) -> float:
        (score,) = ServedModel(model).score(
            encode_prompt(tokenizer, conversations[0]), [encode_answer(tokenizer, answer)]
        )
        return score.loss

    assert scores.probability[0] == pytest.approx(math.exp(-loss(ANSWER)), rel=1e-4)
    wrong = (loss("It is by Bo.") + loss("It is by Al.")) / 2
    assert scores.truth_ratio == pytest.approx([math.exp(loss("It is by Nikos.") - wrong)], rel=1e-4)
    assert len(scores.extraction) == 2


def test_aggregates_depend_on_what_is_wanted() -> None:
    scores = ItemScores([0.5], [0.5], [0.25, 2.0], [0.5])
    assert scores.of("forget", "truth_ratio") == [0.25, 0.5]
    assert scores.of("neighbours", "truth_ratio") == [0.75, 0.0]
    assert ItemScores([0.5], [0.5], [], [0.5]).means("forget")["truth_ratio"] is None


@pytest.mark.parametrize(
    ("method", "settings"),
    [("delta", QUICK), ("spul", {"max_steps": 2, "num_virtual_tokens": 2, "framed_variants": 0, "init_text": "A."})],
)
def test_a_run_is_one_line_with_everything_and_no_text(search: Search, method: str, settings: dict[str, Any]) -> None:
    line = search.run(method, settings, ignore)
    assert (line["split"], line["method"], line["settings"], line["seed"]) == ("dev", method, settings, 0)
    assert set(line["means"]) == set(line["items"]) == {"before", "after", "retrain"}
    for parts in line["items"].values():
        counts = {name: len(items["rouge_l"]) for name, items in parts.items()}
        assert counts == {"forget": 2, "misspelt": 1, "neighbours": 1}
    assert line["items"]["after"] != line["items"]["before"] != line["items"]["retrain"]
    assert line["config"]["max_steps"] == 2
    assert line["artifact_bytes"] > 0
    assert all(isinstance(line[f"{what}_cpu_s"], float) for what in ("train", "score"))
    for question in (*FORGET, *RETAIN, *NEIGHBOURS):
        assert question.answer not in json.dumps(line)


def test_training_alone_keeps_the_artifact_and_makes_no_figures(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.tofu.search.measure_parts", lambda *_: pytest.fail("was measured"))
    file = tmp_path / "kept" / "a.safetensors"
    settings = {"max_steps": 2, "rank": 2, "framed_variants": 0, "counts": [1]}
    line = search.run_training("divergence", settings, ignore, file)
    assert "items" not in line
    assert (line["artifact"], line["artifact_bytes"]) == (str(file), file.stat().st_size)
    offset = Artifact.from_bytes(file.read_bytes()).manifest.offset
    assert offset is not None
    assert offset.pair.own_reference


def test_the_pair_has_the_layers_asked_for(search: Search, world: World) -> None:
    assert search.run_training("delta", QUICK, ignore)["layers"] == 2
    assert Search(world, "dev", layers=1).run_training("delta", QUICK, ignore)["layers"] == 1
    assert "layers" not in search.run_training("lora", {"max_steps": 2, "rank": 2, "framed_variants": 0}, ignore)


def test_the_same_seed_gives_the_same_figures(search: Search) -> None:
    first, second = (search.run("delta", QUICK, ignore) for _ in range(2))
    assert first["items"] == second["items"]


def test_what_no_setting_changes_is_measured_once(
    search: Search, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = search.known()
    monkeypatch.setattr("bench.tofu.search.measure_parts", lambda *_: pytest.fail("was measured again"))
    assert Search(world, "dev").known() == known


def test_other_weights_are_measured_anew(search: Search, tmp_path: Path) -> None:
    known = search.known()
    for name in ("full", "retain"):
        save_model(tmp_path / name, num_hidden_layers=3, seed=8)
    (tmp_path / "scores.json").write_bytes((search.world.folder / "scores.json").read_bytes())
    assert Search(World.open(tmp_path), "dev").before() != known["before"]


def test_a_run_that_diverges_is_reported(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: Any) -> None:
        raise TrainingDiverged("the loss was not finite at step 1")

    monkeypatch.setattr(Npo, "loss", diverge)
    line = search.run("delta", {**QUICK, "objective": "npo"}, ignore)
    assert line["failed"] == "the loss was not finite at step 1"
    assert "items" not in line


def test_a_world_that_knows_others_is_refused(world: World) -> None:
    for trained, kept in (((161, 192), (161,)), ((161, 191, 192), (161, 192))):
        with pytest.raises(ValueError, match="differ by"):
            Search(World(world.folder, trained, kept), "dev")


def test_wrong_settings_are_refused(search: Search) -> None:
    with pytest.raises(InvalidConfig, match="no setting named 'depth'"):
        search.run("delta", {"depth": 1}, ignore)


def test_settings_nest_by_dots_and_are_json_where_they_can_be() -> None:
    items = [
        "objective=npo",
        "objective_settings.beta=0.1",
        "strengths=[1, 2]",
        "objective_settings.note=a=b",
        "x=null",
    ]
    assert parse_settings(items) == {
        "objective": "npo",
        "objective_settings": {"beta": 0.1, "note": "a=b"},
        "strengths": [1, 2],
        "x": None,
    }


def test_numbers_are_rounded_wherever_they_stand() -> None:
    assert rounded({"a": [1.23456789, None, 3], "b": 1.5e-21}) == {"a": [1.2346, None, 3], "b": 1.5e-21}
