"""What is SPUL's alone: its three terms, its start and its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.methods.spul import train as training
from adapters.methods.spul.initial import initial_rows
from adapters.methods.spul.train import step_losses, train
from adapters.models.frozen import PromptedModel
from adapters.models.original_states import OriginalStates
from adapters.models.tokens import TokenizedExample
from adapters.progress import Progress
from adapters.text.phrasebook import phrasebook
from adapters.text.refusals import draw_refusals
from tests.unit.adapters.conftest import HIDDEN
from tests.unit.adapters.methods.runs import method_task, steps_of


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

    def terms(example: TokenizedExample, first_token_weight: float) -> list[float]:
        original = OriginalStates(prompted, [example], 2)
        losses = step_losses(prompted, soft, [other], [example], original, 2, first_token_weight)
        return [losses.retain.item(), losses.kl.item()]

    first = terms(TokenizedExample(whole.prompt_ids, whole.answer_ids[:1]), 1.0)
    rest = terms(TokenizedExample((*whole.prompt_ids, whole.answer_ids[0]), whole.answer_ids[1:]), 1.0)
    expected = [(weight * a + 2 * b) / (weight + 2) for a, b in zip(first, rest, strict=True)]
    assert terms(whole, weight) == pytest.approx(expected, rel=1e-4)
    plain = [(a + 2 * b) / 3 for a, b in zip(first, rest, strict=True)]
    assert terms(whole, 1.0) == pytest.approx(plain, rel=1e-4)
    assert plain != pytest.approx(expected, rel=1e-2)

    def forget(example: TokenizedExample, first_token_weight: float) -> float:
        original = OriginalStates(prompted, [other], 2)
        return step_losses(prompted, soft, [example], [other], original, 2, first_token_weight).forget.item()

    assert forget(whole, weight) == pytest.approx(expected[0], rel=1e-4)


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
