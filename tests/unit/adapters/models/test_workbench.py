"""One job's target: loaded once, whole or in part, given up when it has been read, and asked nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import PairSpec
from adapters.errors import InvalidConfig, OutOfMemory
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.hardware import Hardware
from adapters.models.placement import load_streamed
from adapters.models.tokens import TokenizedExample
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import TrainingTask
from adapters.training.pair import TrainablePair
from tests.unit.adapters.conftest import save_model
from tests.unit.adapters.devices.runs import Run
from tests.unit.adapters.methods.runs import method_task

EXAMPLES = [TokenizedExample((1, 5, *range(6, 7 + n)), (20 + n, 21, 2)) for n in range(4)]
#: Those whose target is run forward alone.
PAIRED = [Run("delta"), Run("uld"), Run("divergence")]


@pytest.fixture(scope="module")
def deep_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("deep"), num_hidden_layers=5)


def cramped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which no target fits."""
    monkeypatch.setattr(Hardware, "free", property(lambda self: 2**20))


class Loads:
    """Counts how often a checkpoint is loaded, and how."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layers: list[int | None] = []
        load = PromptedModel.load

        def counted(*arguments: Any, resident_layers: int | None = None, **more: Any) -> PromptedModel:
            self.layers.append(resident_layers)
            return load(*arguments, resident_layers=resident_layers, **more)

        monkeypatch.setattr(PromptedModel, "load", counted)


class TestStreaming:
    """A target of which the first layers are on the device, and the others are read as they are run."""

    @pytest.mark.parametrize("layers", [0, 1, 3, 5])
    def test_its_states_are_those_of_the_whole(self, deep_model: Path, layers: int) -> None:
        whole, streamed = PromptedModel.load(deep_model), PromptedModel.load(deep_model, resident_layers=layers)
        assert streamed.is_streamed
        for mine, theirs in zip(streamed.original_states(EXAMPLES, 2), whole.original_states(EXAMPLES, 2), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(streamed.logits(mine), whole.logits(theirs), atol=1e-4, rtol=1e-4)

    def test_the_later_layers_take_no_memory(self, deep_model: Path) -> None:
        streamed = PromptedModel.load(deep_model, resident_layers=2)
        streamed.original_states(EXAMPLES, 2)
        held = [
            all(parameter.device.type == "meta" for parameter in layer.parameters()) for layer in streamed.body.layers
        ]
        assert held == [False, False, True, True, True]

    def test_a_pair_is_made_of_the_first(self, deep_model: Path) -> None:
        """And is no way back to the target: what it runs is its own layers."""
        source = PairSpec(2)
        pairs = [
            TrainablePair(PromptedModel.load(deep_model, resident_layers=layers), source, 2) for layers in (None, 2)
        ]
        for pair in pairs:
            pair.remember(EXAMPLES, 2)
        pairs[1].target.release_layers()
        with torch.no_grad():
            whole, streamed = (pair.views({"a": EXAMPLES}, 2, 1.0)["a"] for pair in pairs)
        torch.testing.assert_close(streamed.logits, whole.logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(streamed.original, whole.original, atol=1e-4, rtol=1e-4)

    def test_a_checkpoint_in_bfloat16_is_read_in_the_format_that_is_computed_in(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
        path = save_model(tmp_path, dtype=torch.bfloat16, num_hidden_layers=3)
        whole, streamed = PromptedModel.load(path), PromptedModel.load(path, resident_layers=1)
        assert (streamed.stored_dtype, streamed.embed.weight.dtype) == (torch.bfloat16, torch.float32)
        for mine, theirs in zip(streamed.original_states(EXAMPLES, 2), whole.original_states(EXAMPLES, 2), strict=True):
            assert mine.dtype is torch.float32
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("run", PAIRED, ids=str)
    def test_a_method_that_trains_a_pair_learns_the_same(
        self, deep_model: Path, monkeypatch: pytest.MonkeyPatch, run: Run
    ) -> None:
        roomy = run.on(Hardware.cpu(), deep_model)
        cramped(monkeypatch)
        loads = Loads(monkeypatch)
        artifact = run.on(Hardware.cpu(), deep_model)
        assert loads.layers == [1]
        assert artifact.manifest == roomy.manifest
        for name, tensor in roomy.tensors.items():
            torch.testing.assert_close(artifact.tensors[name], tensor, atol=2e-3, rtol=2e-2)

    @pytest.mark.parametrize("method", ["spul", "lora"])
    def test_gradients_through_the_whole_are_refused_with_what_helps(
        self, deep_model: Path, monkeypatch: pytest.MonkeyPatch, make_task: Any, method: str
    ) -> None:
        """Where a pair's candidate has loaded it in part."""
        cramped(monkeypatch)
        bench = Workbench(deep_model)
        bench.keeps_target = True
        bench.train(get_method("delta"), method_task("delta", deep_model))
        task = replace(make_task(), model_path=deep_model, config=get_method(method).config_type())
        with pytest.raises(OutOfMemory, match=r"takes 1\.0 GiB. What helps: a method that trains a pair"):
            bench.train(get_method(method), task)

    def test_a_model_that_keeps_its_layers_elsewhere_is_refused(self, tmp_path: Path) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=10, n_embd=8, n_layer=2, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=2
        )
        GPT2LMHeadModel(config).save_pretrained(tmp_path)
        with pytest.raises(InvalidConfig, match="GPT2LMHeadModel does not hold its layers"):
            load_streamed(tmp_path, Hardware.cpu(), 1)


class TestRelease:
    def test_a_target_that_was_read_keeps_its_head_alone(self, deep_model: Path) -> None:
        model = PromptedModel.load(deep_model)
        (states, *_) = model.original_states(EXAMPLES, 2)
        before = model.logits(states)
        model.release_layers()
        assert torch.equal(model.logits(states), before)
        assert sum(parameter.numel() for parameter in model.body.layers.parameters()) == 0
        with pytest.raises(RuntimeError, match="have been released"):
            model.answer_states(EXAMPLES, 2)

    @pytest.mark.parametrize("run", PAIRED, ids=str)
    @pytest.mark.parametrize("keeps", [False, True])
    def test_it_is_given_up_before_the_first_step_unless_a_candidate_follows(
        self, deep_model: Path, run: Run, keeps: bool
    ) -> None:
        bench, released = Workbench(deep_model), []

        def report(progress: Progress) -> None:
            if progress.phase == "training":
                released.append(bench.target.is_released)

        bench.keeps_target = keeps
        task = method_task(run.method, deep_model, report=report)
        bench.train(get_method(run.method), task)
        assert released
        assert set(released) == {not keeps}


class TestCandidates:
    """Several candidates of one job."""

    def learn(self, bench: Workbench, run: Run, ask: Any = None) -> Artifact:
        task = replace(run.task(bench.model_path), ask=ask)
        return bench.train(get_method(run.method), task)

    def test_the_target_is_loaded_once_and_left_as_it_was_by_each(
        self, deep_model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In whatever order, a candidate learns beside others what it learns alone."""
        runs = [Run("lora"), Run("spul"), Run("delta"), Run("lora", {"objective": "npo"}), Run("delta", {"rank": 3})]
        alone = [run.on(Hardware.cpu(), deep_model) for run in runs]
        loads, bench = Loads(monkeypatch), Workbench(deep_model)
        bench.keeps_target = True
        beside = [self.learn(bench, run) for run in runs]
        assert loads.layers == [None]
        for mine, theirs in zip(beside, alone, strict=True):
            for name, tensor in theirs.tensors.items():
                torch.testing.assert_close(mine.tensors[name], tensor, atol=2e-3, rtol=2e-2)

    def test_a_question_is_asked_once(self, tiny_model: Path) -> None:
        asked: list[str] = []

        def ask(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
            asked.extend(messages[-1].content for messages in conversations)
            return ["It is so."] * len(conversations)

        bench = Workbench(tiny_model)
        bench.keeps_target = True
        made = {"retain_questions": 12, "retain_nearest": 6, "retain_twins": 2, "retain_siblings": 1}
        for run in (Run("delta", made), Run("delta", {**made, "objective": "tnpo"}), Run("uld", made)):
            task: TrainingTask = replace(run.task(tiny_model), ask=ask, retain=None)
            bench.train(get_method(run.method), task)
        assert len(asked) > 10
        assert len(asked) == len(set(asked))

    def test_an_attack_is_answered_once_by_all_candidates_together(self) -> None:
        bench, asked = Workbench(Path("nowhere")), []
        one, two, three = (Query(Prompt(text=text)) for text in ("one", "two", "three"))

        def respond(queries: Sequence[Query]) -> list[tuple[str, ...]]:
            asked.append([query.prompt.text for query in queries])
            return [(query.prompt.text.upper(),) for query in queries]

        assert bench.responded([one, two, one], respond) == [("ONE",), ("TWO",), ("ONE",)]
        assert bench.responded([three, two], respond) == [("THREE",), ("TWO",)]
        assert bench.responded([two, three], respond) == [("TWO",), ("THREE",)]
        assert asked == [["one", "two"], ["three"]]

    def test_an_example_is_read_once(self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Workbench(tiny_model)
        bench.keeps_target = True
        read: list[TokenizedExample] = []
        states = PromptedModel.answer_states

        def counted(model: PromptedModel, examples: Sequence[TokenizedExample], *arguments: Any) -> torch.Tensor:
            if model is bench.target and not torch.is_grad_enabled():
                read.extend(examples)
            return states(model, examples, *arguments)

        monkeypatch.setattr(PromptedModel, "answer_states", counted)
        for objective in ("idk", "tnpo", "idk_npo"):
            self.learn(bench, Run("delta", {"objective": objective}))
        assert len(read) == len(set(read)) > 0

    def test_continuations_are_sampled_once(self) -> None:
        bench, sampled = Workbench(Path("nowhere")), []

        def sample() -> list[str]:
            sampled.append(1)
            return ["a", "b"]

        for seed in (0, 0, 1):
            assert bench.continued(["x", "y"], seed, sample) == ["a", "b"]
        assert len(sampled) == 2


@pytest.mark.parametrize(("free", "device"), [(10**12, "cuda:0"), (2**20, "cpu")])
def test_auto_takes_a_card_with_room_for_what_is_needed(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, free: int, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, free))
    assert Workbench(tiny_model, "auto").hardware == Hardware(torch.device(device))
