"""What the benchmark hears over HTTP is what it computes in transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.artifact.artifact import FORMAT, OFFSET_HALF, SOFT_PROMPT, Artifact, Manifest, model_digest
from adapters.artifact.spec import PairSpec
from adapters.evaluation.served import ServedModel
from adapters.evaluation.stemming import porter_stem
from adapters.evaluation.tofu.parts import WORLD_FACTS
from adapters.evaluation.tofu.scoring import FORGET, score
from adapters.models.frozen import PromptedModel
from bench.tofu.client import Client
from bench.tofu.questions import load_questions
from bench.tofu.score import hear, measure
from gateway.cli.bench.tofu.dataset import Split, load_parts
from gateway.cli.bench.tofu.results import Results
from gateway.cli.context import CommandContext
from gateway.cli.main import run
from tests.engine.pairs import first_layers, random_lora, spec
from tests.engine.service import Service
from tests.engine.test_parity import TOLERANCE_NATS, trained_like_rows

DATA = Path(__file__).parents[1] / "unit" / "data" / "tofu"
LAYERS = 8  # a quarter of the model's 30, the default


@pytest.mark.parametrize("kind", [SOFT_PROMPT, OFFSET_HALF])
def test_an_artifact_has_the_same_figures(
    service: Service, reference: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = reference
    monkeypatch.setattr("bench.tofu.score.MAX_TOKENS", 8)
    offset = spec(PairSpec(LAYERS), "delta", 1.0, 0.0) if kind == OFFSET_HALF else None
    if offset is None:
        tensors = {SOFT_PROMPT: trained_like_rows(model, tokenizer, 20)}
    else:
        tensors = random_lora(first_layers(model, LAYERS), OFFSET_HALF, offset.rank, seed=1)
    digest = model_digest(service.checkpoint)
    rows = 0 if offset else 20
    artifact = Artifact(
        Manifest(FORMAT, "test", service.hidden_size, rows, "bfloat16", digest, {}, 0, "tests", offset), tensors
    )
    questions = load_questions([193])[1:2]
    source = PairSpec(LAYERS)
    theirs = measure(ServedModel(PromptedModel.load(service.checkpoint), artifact, source), tokenizer, questions)

    def heard(plan: str) -> Any:
        return score(questions, Client(service.url, service.headers(plan)).hear(questions))

    ours, without = heard(f"candidate:{service.put_artifact(artifact)}"), heard("off")
    assert ours.probability == pytest.approx(theirs.probability, rel=TOLERANCE_NATS)
    assert ours.truth_ratio == pytest.approx(theirs.truth_ratio, rel=2 * TOLERANCE_NATS)
    assert ours.rouge_l == pytest.approx(theirs.rouge_l, abs=0.15)
    # Without this the figures could agree with the artifact ignored.
    assert without.probability != pytest.approx(theirs.probability, rel=TOLERANCE_NATS)


def test_the_command_has_the_same_figures(
    service: Service, reference: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, tokenizer = reference
    for room in ("bench.tofu.score", "gateway.cli.bench.tofu.command"):
        monkeypatch.setattr(f"{room}.MAX_TOKENS", 2)
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", service.token)
    tofu = ["bench", "tofu", "--data", str(DATA), "--split", "forget01", "--limit", "1", "--only", "before"]
    assert run(["--url", service.url, *tofu, "--out", str(tmp_path / "out.json")], CommandContext()) == 0
    ours = Results.model_validate_json((tmp_path / "out.json").read_bytes()).models["before"]
    model, stem = ServedModel(PromptedModel.load(service.checkpoint)), porter_stem()
    for part in (FORGET, WORLD_FACTS):
        rows = load_parts(DATA, Split.FORGET01, 1)[part].rows
        items = score(rows, hear(model, tokenizer, rows), stem)
        assert ours.items[part].probability == pytest.approx(items.probability, rel=TOLERANCE_NATS)
        assert ours.items[part].truth_ratio == pytest.approx(items.truth_ratio, rel=2 * TOLERANCE_NATS)
        assert ours.items[part].rouge_l == pytest.approx(items.rouge_l, abs=0.15)
