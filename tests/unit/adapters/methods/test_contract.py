"""What holds for every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import Artifact, model_digest
from adapters.artifact.spec import PairSpec
from adapters.errors import InvalidConfig, InvalidExample, OutOfMemory, TrainingCancelled, TrainingDiverged
from adapters.examples import Example
from adapters.methods.divergence import train as divergence
from adapters.methods.uld import train as uld
from adapters.models.frozen import Batch, PromptedModel
from adapters.models.hardware import Hardware
from adapters.models.tokens import TokenizedExample
from adapters.progress import Progress
from adapters.registry import get_method, methods, parse_config
from adapters.task import TrainingTask
from adapters.training.held_out import Score
from tests.unit.adapters.conftest import FORGET, HIDDEN, RETAIN, save_model
from tests.unit.adapters.devices.runs import Run
from tests.unit.adapters.methods.runs import (
    OWN_PAIR,
    measured,
    method_task,
    parts_of,
    scored,
    served,
    spec_of,
    steps_of,
)

NAMES = sorted(methods())
CARRIERS = ("spul", "delta", "lora")
PAIRED = [name for name in NAMES if get_method(name).footprint(parse_config(name, {})).offset_rank]
#: Whole sets in every step, so that the losses of two steps can be compared.
WHOLE: dict[str, Any] = {"forget_batch": 512, "retain_batch": 512}


def train(task: TrainingTask) -> Artifact:
    name = type(task.config).__name__.removesuffix("Config").lower()
    return get_method(name).train(task)


@dataclass(frozen=True)
class Learned:
    name: str
    task: TrainingTask
    artifact: Artifact
    reports: Sequence[Progress]


@pytest.fixture(scope="module", params=NAMES)
def learned(request: pytest.FixtureRequest, tiny_model: Path) -> Learned:
    reports: list[Progress] = []
    task = method_task(request.param, tiny_model, report=reports.append, max_steps=8, seed=5, **WHOLE)
    return Learned(request.param, task, train(task), reports)


class TestWhatIsLearned:
    def test_the_loss_comes_down(self, learned: Learned) -> None:
        first, *_, last = (progress.loss for progress in steps_of([*learned.reports]))
        assert first is not None
        assert last is not None
        assert last < first

    def test_plain_models_with_it_say_what_was_learned(self, learned: Learned) -> None:
        """Of methods that learn refusals, the refusals; of the others, the answers less."""
        forget = parts_of(learned.task).training.forget
        refuses = "refusal_kinds" in learned.artifact.manifest.config
        examples = [example.refused if refuses else example.original for example in forget]
        for each in served(learned.task, learned.artifact, examples):
            before, after = each.said(each.target), each.said(each.served)
            assert after > 1.1 * before if refuses else after < 0.9 * before

    def test_the_artifact_says_what_it_is_and_comes_back(self, learned: Learned) -> None:
        config, artifact = learned.task.config, learned.artifact
        digest = model_digest(learned.task.model_path)
        manifest = artifact.manifest
        assert (manifest.method, manifest.hidden_size, manifest.dtype) == (learned.name, HIDDEN, "float32")
        assert (manifest.model_digest, manifest.seed) == (digest, 5)
        assert manifest.config == asdict(config)
        assert manifest.footprint == get_method(learned.name).footprint(config)
        again = Artifact.from_bytes(artifact.to_bytes(), expect_digest=artifact.digest)
        again.require(hidden_size=HIDDEN, model_digest=digest, pair=OWN_PAIR, target_lora=True)
        for secret in (b"Zorba", b"Nikos", b"Emma", b"Lima"):
            assert secret not in artifact.to_bytes()

    def test_it_says_how_far_it_is(self, learned: Learned) -> None:
        assert [learned.reports[0].phase, learned.reports[-1].phase in ("training", "choosing")] == ["loading", True]
        steps = steps_of([*learned.reports])
        assert [progress.step for progress in steps] == list(range(1, 9))
        assert {progress.steps for progress in steps} == {8}
        assert steps[-1].eta_s == 0
        assert all({"forget", "retain"} <= progress.metrics.keys() for progress in steps)


@pytest.mark.parametrize("name", NAMES)
class TestRun:
    def test_a_seed_decides_everything_and_the_callers_generator_is_left_alone(
        self, tiny_model: Path, name: str
    ) -> None:
        settings: dict[str, Any] = {"init": "vocab"} if name == "spul" else {}

        def digest(seed: int) -> str:
            torch.manual_seed(11)
            before = torch.random.get_rng_state()
            learned = train(method_task(name, tiny_model, max_steps=1, seed=seed, **settings)).digest
            assert torch.equal(torch.random.get_rng_state(), before)
            torch.manual_seed(12)
            return learned

        assert digest(1) == digest(1) != digest(2)

    def test_cancelling_stops_at_the_next_step(self, tiny_model: Path, name: str) -> None:
        seen: list[Progress] = []
        task = method_task(name, tiny_model, report=seen.append, cancelled=lambda: len(steps_of(seen)) >= 2)
        with pytest.raises(TrainingCancelled):
            train(task)
        assert len(steps_of(seen)) == 2

    def test_an_item_that_cannot_be_trained_on_is_named_by_position(self, tiny_model: Path, name: str) -> None:
        forget = (*FORGET, Example.from_pair("Why?", "word " * 200))
        with pytest.raises(InvalidExample, match=r"^forget item 3 is") as caught:
            train(method_task(name, tiny_model, forget=forget))
        assert "word" not in str(caught.value)

    def test_what_is_learned_is_kept_in_the_checkpoints_own_format(self, tmp_path: Path, name: str) -> None:
        artifact = train(method_task(name, save_model(tmp_path, dtype=torch.bfloat16), max_steps=1))
        assert artifact.manifest.dtype == "bfloat16"
        assert {tensor.dtype for tensor in artifact.tensors.values()} == {torch.bfloat16}

    def test_a_retain_set_of_one_is_trained_on(self, tiny_model: Path, name: str) -> None:
        seen: list[Progress] = []
        train(method_task(name, tiny_model, retain=RETAIN[:1], report=seen.append, max_steps=2))
        assert steps_of(seen)[-1].metrics["retain"] > 0

    def test_an_empty_retain_set_is_refused_where_one_is_needed(self, tiny_model: Path, name: str) -> None:
        seen: list[Progress] = []
        task = method_task(name, tiny_model, retain=(), report=seen.append, max_steps=1)
        if name == "spul":
            train(task)
            assert steps_of(seen)[-1].metrics["retain"] == 0
        else:
            with pytest.raises(InvalidExample, match="retain set is empty"):
                train(task)

    @pytest.mark.parametrize("made", [False, True])
    def test_what_is_held_out_is_made_and_read_and_never_trained_on(
        self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, name: str, made: bool
    ) -> None:
        """SPUL scores nothing, and trains on everything."""
        trained, read = set[TokenizedExample](), set[TokenizedExample]()
        states = PromptedModel.answer_states

        def watched(
            model: PromptedModel, examples: Sequence[TokenizedExample], shared: int, soft: torch.Tensor | None = None
        ) -> torch.Tensor:
            (trained if torch.is_grad_enabled() else read).update(examples)
            return states(model, examples, shared, soft)

        monkeypatch.setattr(PromptedModel, "answer_states", watched)
        questions: dict[str, Any] = {
            "retain_questions": 9,
            "retain_nearest": 8,
            "retain_twins": 0,
            "retain_siblings": 0,
        }
        task = method_task(
            name,
            tiny_model,
            retain=None if made else RETAIN,
            ask=lambda conversations, **_: ["yes" for _ in conversations],
            max_steps=1,
            framed_variants=2,
            **(questions if made else {}),
            **WHOLE,
        )
        train(task)
        parts = parts_of(task)
        kept = {*parts.training.hard, *parts.training.general}
        held = set(parts.held_retain) - kept
        assert len(held) == (3 if made else 0)
        assert len(parts.held_forget) == 1
        held |= {e for each in parts.held_forget for e in (each.original, each.refused)}
        assert trained >= kept
        assert not made or held & read
        assert not trained & held or name == "spul"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "spul"])
def test_where_everything_moved_too_far_there_is_no_adapter(tiny_model: Path, name: str) -> None:
    with pytest.raises(TrainingDiverged, match=r"the held-out KL was above kl_limit \(1e-09\)"):
        train(method_task(name, tiny_model, kl_limit=1e-9, max_steps=1))


@pytest.mark.parametrize("name", ["delta", "lora"])
@pytest.mark.parametrize("objective", ["idk", "npo"])
def test_what_is_said_of_the_held_out_part_is_what_plain_models_say(
    tiny_model: Path, name: str, objective: str
) -> None:
    """Of the weights that are kept: the best of those that were scored."""
    seen: list[Progress] = []
    settings: dict[str, Any] = {"objective": objective, "evaluate_every": 2, "max_steps": 6, "first_token_weight": 3.0}
    if name == "delta":
        settings["strengths"] = [1.0]
    task = method_task(name, tiny_model, report=seen.append, **settings)
    again = scored(task, train(task))
    said = [step.metrics for step in steps_of(seen) if "held_out" in step.metrics]
    assert len(said) == 3
    best = min(said, key=lambda metrics: metrics["held_out"])
    assert best["held_out"] == pytest.approx(again.loss, rel=1e-4)
    assert best["kl"] == pytest.approx(again.kl, rel=1e-3)
    assert again.kl > 1e-4


@pytest.mark.parametrize("name", PAIRED)
class TestPairs:
    def test_without_a_pair_it_is_refused(self, tiny_model: Path, name: str) -> None:
        with pytest.raises(InvalidConfig, match="no pair"):
            train(method_task(name, tiny_model, pair=None))

    def test_a_pair_that_is_another_model_is_trained(self, tiny_model: Path, small_model: Path, name: str) -> None:
        pair = PairSpec(0, model_digest(small_model), own_reference=True, model=str(small_model))
        artifact = train(method_task(name, tiny_model, pair=pair))
        assert spec_of(artifact).pair == replace(pair, own_reference=name == "divergence")
        assert artifact.manifest.hidden_size == HIDDEN
        assert artifact.tensors["offset.model.layers.1.mlp.up_proj.lora_A"].shape == (4, 16)
        assert artifact.tensors["offset.model.layers.1.mlp.up_proj.lora_B"].any()

    def test_its_tensors_are_loras_of_the_pairs_layers(self, tiny_model: Path, name: str) -> None:
        artifact = train(method_task(name, tiny_model, max_steps=1))
        halves = ("offset", "reference") if name == "divergence" else ("offset",)
        assert len(artifact.tensors) == len(halves) * 2 * 7
        for half in halves:
            assert artifact.tensors[f"{half}.model.layers.0.mlp.up_proj.lora_A"].shape == (4, HIDDEN)
            assert artifact.tensors[f"{half}.model.layers.0.mlp.up_proj.lora_B"].shape == (64, 4)


@pytest.mark.parametrize(
    ("module", "settings", "value"),
    [
        (uld, {"filter": 0.05}, 0.8),
        (divergence, {"form": "linear"}, 1.5),
        (divergence, {"form": "rank"}, 20),
    ],
)
def test_what_a_strength_is_said_to_do_is_what_it_does(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, module: Any, settings: dict[str, Any], value: float
) -> None:
    """Measured anew from the artifact, by plain passes; the limits it is chosen by are the settings'."""
    said: dict[float, Score] = {}
    limits: dict[str, float] = {}

    def choose(scores: dict[float, Score], **given: float) -> float:
        said.update(scores)
        limits.update(given)
        return value

    monkeypatch.setattr(module, "choose", choose)
    name = module.__name__.split(".")[-2]
    task = method_task(name, tiny_model, forget_limit=0.7, **settings)
    again = measured(task, train(task))
    assert said.keys() in [set(getattr(task.config, tried, ())) for tried in ("weights", "strengths", "counts")]
    assert said[value].loss == pytest.approx(again.loss, rel=1e-3)
    assert said[value].kl == pytest.approx(again.kl, rel=1e-3)
    assert limits == {"forget_limit": 0.7, "kl_limit": 100.0}


class Cramped:
    """A memory that takes passes of so many tokens, padding included, and no more; it is torch's own error."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.refused = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        states = PromptedModel.states

        def cramped(model: PromptedModel, batch: Batch, soft: torch.Tensor | None) -> torch.Tensor:
            if batch.inputs.numel() > self.tokens:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has no more.")
            return states(model, batch, soft)

        monkeypatch.setattr(PromptedModel, "states", cramped)


@pytest.mark.parametrize("run", [*map(Run, NAMES), Run("delta", {"objective": "snap"})], ids=str)
class TestMemory:
    def test_out_of_memory_goes_on_from_the_same_step(
        self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, run: Run
    ) -> None:
        """What is learned is what is learned with room enough: no step is lost and no batch is drawn twice."""
        roomy = run.on(Hardware.cpu(), tiny_model)
        memory = Cramped(150)
        memory.install(monkeypatch)
        cramped = run.on(Hardware.cpu(), tiny_model)
        assert memory.refused > 0
        assert cramped.manifest == roomy.manifest
        for name, tensor in roomy.tensors.items():
            torch.testing.assert_close(cramped.tensors[name], tensor, atol=2e-3, rtol=2e-2)

    def test_with_one_example_too_much_it_says_what_was_needed_and_what_helps(
        self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, run: Run
    ) -> None:
        Cramped(5).install(monkeypatch)
        with pytest.raises(OutOfMemory) as caught:
            run.on(Hardware.cpu(), tiny_model)
        said = str(caught.value)
        assert "cpu has too little memory for one example of" in said
        assert "Tried to allocate 2.00 GiB" in said
        assert "What helps: more room on the device, another device, shorter items" in said
        assert "Zorba" not in said


class TestSettings:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_setting_has_help_and_every_number_bounds(self, name: str) -> None:
        for each in fields(get_method(name).config_type):
            assert each.metadata["help"][0].islower() or each.metadata["help"][0] == "K"
            if each.type in {"int", "float"}:
                for value in (-1, 10**400, float("nan"), float("inf"), True, "1", None):
                    with pytest.raises(InvalidConfig, match=f"^{each.name} must"):
                        parse_config(name, {each.name: value})

    @pytest.mark.parametrize("name", NAMES)
    def test_what_holds_between_settings(self, name: str) -> None:
        with pytest.raises(InvalidConfig, match="retain_nearest must not exceed retain_questions"):
            parse_config(name, {"retain_questions": 10, "retain_nearest": 11})
        with pytest.raises(InvalidConfig, match=f"^{name} has no setting named 'lr'"):
            parse_config(name, {"lr": 1})

    @pytest.mark.parametrize(
        ("name", "setting", "values", "message"),
        [
            ("spul", "num_virtual_tokens", (0, 513, 2.5, "20"), "num_virtual_tokens must"),
            ("spul", "encoder", ("lstm", 3), "encoder must be one of mlp, embedding"),
            ("spul", "init_text", ("  ", 5), "init_text must be a text"),
            ("delta", "strength", (0, 10.5), "strength must lie"),
            ("delta", "strengths", ([], 1.0, "123"), "strengths must be a list"),
            ("delta", "strengths", ([1.0, "2"], [True], [0], [10.5], [float("nan")]), "each of strengths must"),
            *((name, "rank", (0, 65, 4.0), "rank must") for name in NAMES if name != "spul"),
            *((name, "objective", ("nope",), "no objective is named 'nope'") for name in CARRIERS),
            *((name, "objective", (3, ["idk"]), "objective must be a name") for name in CARRIERS),
            *((name, "objective_settings", (None, [["beta", 1]]), "objective must be") for name in CARRIERS),
            *(
                (name, "objective_settings", ({"beta": 1}, {"retain": 1}), f"{own} has no setting")
                for name, own in (("spul", "spul"), ("delta", "idk"), ("lora", "idk"))
            ),
            *((name, "objective_settings", ({"retain_kl": "1"},), "retain_kl must") for name in ("delta", "lora")),
            ("uld", "weights", ([], 0.8), "weights must be a list"),
            ("uld", "filter", (0, 1.5), "filter must lie"),
            ("uld", "wrong_answers", (17,), "wrong_answers must"),
            ("uld", "refusal_kinds", (1,), "uld has no setting named 'refusal_kinds'"),
            ("divergence", "form", ("both", 3), "form must be one of linear, rank"),
            ("divergence", "counts", ([0], [1.5], [50_001]), "each of counts must"),
        ],
    )
    def test_what_is_no_value_of_a_setting_is_refused(
        self, name: str, setting: str, values: tuple[Any, ...], message: str
    ) -> None:
        for value in values:
            with pytest.raises(InvalidConfig, match=message):
                parse_config(name, {setting: value})

    def test_lists_may_come_from_json(self) -> None:
        assert parse_config("delta", {"strengths": [1, 2.5]}).strengths == (1, 2.5)
        assert parse_config("divergence", {"counts": [1, 20]}).counts == (1, 20)
