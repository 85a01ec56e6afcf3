from __future__ import annotations

from typing import Any

import pytest
import torch

from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.lora import LoraLinear, parameters
from adapters.models.tokens import TokenizedExample, encode_pair
from adapters.training.target import TrainableTarget
from tests.unit.adapters.conftest import FORGET, RETAIN, randomise


@pytest.fixture
def examples(tokenizer: Any) -> list[TokenizedExample]:
    return [encode_pair(tokenizer, item.messages, item.completion) for item in (*FORGET, *RETAIN)]


def trainable(model: PromptedModel, examples: list[TokenizedExample]) -> TrainableTarget:
    return TrainableTarget(model, 2, examples, shared_prefix([example.prompt_ids for example in examples]))


@torch.no_grad()
def plain(model: PromptedModel, example: TokenizedExample) -> torch.Tensor:
    """[answer tokens, vocabulary]: one example alone, its prompt and answer in one piece."""
    ids = torch.tensor([[*example.prompt_ids, *example.answer_ids]])
    logits: torch.Tensor = model.model(ids).logits[0, len(example.prompt_ids) - 1 : -1].float()
    return logits


def test_views_hold_the_changed_logits_and_those_before(
    target: PromptedModel, prompted: PromptedModel, examples: list[TokenizedExample]
) -> None:
    target_in_training = trainable(target, examples)
    randomise(target_in_training.lora, scale=0.2)
    groups = {"forget": examples[:3], "retain": examples[3:5]}
    views = target_in_training.views(groups)
    for name, group in groups.items():
        view = views[name]
        for index, example in enumerate(group):
            mine = view.owner == index
            assert view.targets[mine].tolist() == list(example.answer_ids)
            torch.testing.assert_close(view.logits[mine], plain(target, example), atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(view.original[mine], plain(prompted, example), atol=1e-4, rtol=1e-4)
    assert float((views["forget"].logits - views["forget"].original).detach().abs().max()) > 0.1


def test_untrained_it_is_the_target(target: PromptedModel, examples: list[TokenizedExample]) -> None:
    view = trainable(target, examples).views({"retain": examples})["retain"]
    torch.testing.assert_close(view.logits, view.original)
    assert view.kl().item() == pytest.approx(0, abs=1e-6)


def test_gradients_reach_the_lora_alone(target: PromptedModel, examples: list[TokenizedExample]) -> None:
    target_in_training = trainable(target, examples)
    lora = target_in_training.lora
    randomise(lora)
    view = target_in_training.views({"retain": examples})["retain"]
    assert not view.original.requires_grad
    view.kl().backward()  # type: ignore[no-untyped-call]
    assert all(bool(parameter.grad is not None and parameter.grad.any()) for parameter in parameters(lora))
    mine = {id(parameter) for parameter in parameters(lora)}
    assert all(parameter.grad is None for parameter in target.model.parameters() if id(parameter) not in mine)
    assert all(isinstance(layer, LoraLinear) for layer in lora.values())


def test_the_first_token_may_weigh_more(target: PromptedModel, examples: list[TokenizedExample]) -> None:
    view = trainable(target, examples).views({"retain": examples[:1]}, first_token_weight=3.0)["retain"]
    assert view.weights is not None
    assert view.weights.tolist() == [3.0] + [1.0] * (len(examples[0].answer_ids) - 1)
