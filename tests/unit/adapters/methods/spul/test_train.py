"""What is SPUL's alone: its three terms, its start and its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from adapters.errors import InvalidExample
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.run import Result
from adapters.methods.spul import train as training
from adapters.methods.spul.initial import initial_rows
from adapters.methods.spul.train import train
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample, encode_pair
from adapters.objectives.base import REFUSAL, RETAIN
from adapters.objectives.spul import Spul, SpulLoss
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.text.phrasebook import phrasebook
from adapters.text.refusals import draw_refusals
from adapters.training.views import TargetViews
from tests.unit.adapters.conftest import FORGET, HIDDEN, dataset_of, save_model
from tests.unit.adapters.conftest import RETAIN as GIVEN
from tests.unit.adapters.methods.runs import method_task, objective_of, served, steps_of


@pytest.mark.parametrize(("encoder", "rate"), [("embedding", 0.05), ("mlp", 0.01)])
def test_training_lowers_the_forget_loss(tiny_model: Path, encoder: str, rate: float) -> None:
    seen: list[Progress] = []
    train(method_task("spul", tiny_model, report=seen.append, max_steps=16, learning_rate=rate, encoder=encoder))
    steps = steps_of(seen)
    assert steps[-1].metrics["forget"] < steps[0].metrics["forget"] - 0.1


def test_the_kl_term_holds_the_retain_set(tiny_model: Path) -> None:
    def final_kl(beta: float) -> float:
        seen: list[Progress] = []
        train(method_task("spul", tiny_model, report=seen.append, max_steps=16, learning_rate=0.05, beta=beta))
        return steps_of(seen)[-1].metrics["kl"]

    assert final_kl(10.0) < 0.5 * final_kl(0.0)


def test_it_stops_early_once_both_targets_are_met(tiny_model: Path) -> None:
    def steps(kl_target: float) -> int:
        seen: list[Progress] = []
        settings: dict[str, Any] = {"forget_target": 100.0, "kl_target": kl_target}
        train(method_task("spul", tiny_model, report=seen.append, max_steps=12, **settings))
        return len(steps_of(seen))

    assert [steps(100.0), steps(0.0)] == [10, 12]


def test_an_answers_first_token_weighs_as_told_in_every_term(prompted: PromptedModel) -> None:
    """Against the same answers cut into their first token and the rest."""
    whole, weight = TokenizedExample((1, 5, 6, 7), (8, 9, 2)), 3.0
    other = TokenizedExample((1, 5, 9), (10, 2))
    soft = torch.randn(2, HIDDEN, generator=torch.Generator().manual_seed(0))

    def losses(refused: TokenizedExample, kept: TokenizedExample, first_token_weight: float) -> SpulLoss:
        views = TargetViews(prompted, [refused, kept], 2)
        return Spul(0.0, 0.0).terms(views.of({REFUSAL: [refused], RETAIN: [kept]}, first_token_weight, soft))

    def terms(example: TokenizedExample, first_token_weight: float) -> list[float]:
        both = losses(other, example, first_token_weight)
        return [both.retain.item(), both.kl.item()]

    first = terms(TokenizedExample(whole.prompt_ids, whole.answer_ids[:1]), 1.0)
    rest = terms(TokenizedExample((*whole.prompt_ids, whole.answer_ids[0]), whole.answer_ids[1:]), 1.0)
    expected = [(weight * a + 2 * b) / (weight + 2) for a, b in zip(first, rest, strict=True)]
    assert terms(whole, weight) == pytest.approx(expected, rel=1e-4)
    plain = [(a + 2 * b) / 3 for a, b in zip(first, rest, strict=True)]
    assert terms(whole, 1.0) == pytest.approx(plain, rel=1e-4)
    assert plain != pytest.approx(expected, rel=1e-2)
    assert losses(whole, other, weight).forget.item() == pytest.approx(expected[0], rel=1e-4)


@pytest.mark.parametrize("weights", [(0.0, 1.5), (0.5, 1.5), (2.0, 0.0)])
def test_the_published_loss_is_that_of_refusals_with_its_own_weights(
    tiny_model: Path, weights: tuple[float, float]
) -> None:
    alpha, beta = weights
    own = train(method_task("spul", tiny_model, alpha=alpha, beta=beta))
    named = {"retain_ce": alpha, "retain_kl": beta}
    other = train(method_task("spul", tiny_model, objective="idk", objective_settings=named))
    torch.testing.assert_close(own.tensors, other.tensors, atol=1e-6, rtol=1e-5)
    assert own.manifest.config["objective"] == "spul"


@pytest.mark.parametrize(("objective", "needs"), [("npo", True), ("gradient_ascent", False), ("idk", True)])
def test_without_a_retain_set_it_trains_what_needs_none(tiny_model: Path, objective: str, needs: bool) -> None:
    task = method_task("spul", tiny_model, retain=(), objective=objective, max_steps=1)
    if needs:
        with pytest.raises(InvalidExample, match=f"the retain set is empty; {objective} needs one"):
            train(task)
    else:
        assert train(task).manifest.rows == 4


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows what is to be forgotten and what is retained: a random one is as ignorant as any teacher."""
    path = save_model(tmp_path_factory.mktemp("knowing"))
    model, tokenizer = LlamaForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        for item in (*FORGET, *GIVEN):
            example = encode_pair(tokenizer, item.messages, item.completion)
            unasked = [-100] * len(example.prompt_ids)
            ids = torch.tensor([[*example.prompt_ids, *example.answer_ids]])
            model(ids, labels=torch.tensor([[*unasked, *example.answer_ids]])).loss.backward()
        optimizer.step()
    model.save_pretrained(path)
    return path


@pytest.mark.usefixtures("few_others")
class TestCounterfactual:
    """With an attack, in plain text, that an earlier round has found to bring the fact out."""

    def task(self, model_path: Path, refusal_weight: float = 0.0, **changes: Any) -> TrainingTask:
        settings = {"num_virtual_tokens": 24, "learning_rate": 0.03, "max_steps": 80} | changes
        own = {"attacks": 1, "refusal_weight": refusal_weight, "taught_weight": 1.0, "retain_kl": 2.0}
        task = method_task("spul", model_path, objective="counterfactual", objective_settings=own, **settings)
        query = Query(Prompt(text="The author of Zorba is"))
        probe = Probe("cloze", "0", 0, query, "Who is the author of Zorba?", "The author is Nikos.")
        return replace(task, leaks=(Result(probe, (True,), (" Nikos.",)),))

    @pytest.mark.parametrize("refusal_weight", [0.0, 1.0])
    def test_plain_models_with_the_rows_say_the_fact_less_and_the_rest_as_before(
        self, knowing: Path, refusal_weight: float
    ) -> None:
        task = self.task(knowing, refusal_weight)
        artifact = train(task)
        data = dataset_of(task, objective=objective_of(task))
        assert {each.kind for each in data.forget} == {"direct" if refusal_weight else "taught", "taught", "choice"}
        fact = [each.original for each in data.forget if each.kind != "choice"]
        assert len({example.prompt_ids[0] for example in fact}) == 2, "conversations and a plain text"

        def left(examples: Iterable[TokenizedExample]) -> float:
            """Of the probability of the answers' tokens, after over before."""
            logits = served(task, artifact, list(examples))
            return sum(each.said(each.served) for each in logits) / sum(each.said(each.target) for each in logits)

        assert left(fact) < 0.85
        assert left(data.given) > 0.8
        if refusal_weight:
            assert left(each.refused for each in data.forget if each.refusal) > 1.5

    @pytest.mark.parametrize("encoder", ["embedding", "mlp"])
    def test_a_round_goes_on_from_the_rows_of_the_one_before(self, knowing: Path, encoder: str) -> None:
        first = train(self.task(knowing, max_steps=3))
        again = self.task(knowing, max_steps=1, encoder=encoder, learning_rate=1e-7)
        torch.testing.assert_close(train(replace(again, start=first)).tensors, first.tensors, atol=1e-5, rtol=0)


def test_the_settings_first_token_weight_is_trained_with(tiny_model: Path) -> None:
    plain, weighted = (
        train(method_task("spul", tiny_model, first_token_weight=weight)).tensors["soft_prompt"]
        for weight in (1.0, 5.0)
    )
    assert not torch.equal(plain, weighted)


def test_the_initial_text_is_given_the_shortest_prompt_and_the_refusal_trained_towards(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, str] = {}

    def recording(*arguments: Any, prompt: str, refusal: str) -> torch.Tensor:
        given.update(prompt=prompt, refusal=refusal)
        return initial_rows(*arguments, prompt=prompt, refusal=refusal)

    monkeypatch.setattr(training, "initial_rows", recording)
    artifact = train(method_task("spul", tiny_model, init_text="{prompt} {refusal}", seed=3))
    assert given == {
        "prompt": "Who wrote Zorba?",
        "refusal": draw_refusals(phrasebook("en").refusals, 1, 3, kinds=1)[0],
    }
    assert artifact.manifest.config["init_text"] == "{prompt} {refusal}"
