"""What an objective sees of the target behind soft rows, against plain passes of single examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.tokens import Counterfactual, TokenizedExample, encode_pair
from adapters.training.views import TargetViews
from tests.unit.adapters.conftest import FORGET, HIDDEN, RETAIN


@pytest.fixture
def examples(tokenizer: Any) -> list[TokenizedExample]:
    return [encode_pair(tokenizer, item.messages, item.completion) for item in (*FORGET, *RETAIN)]


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(3, HIDDEN, generator=torch.Generator().manual_seed(0))


def views_of(model: PromptedModel, examples: list[TokenizedExample]) -> TargetViews:
    return TargetViews(model, examples, shared_prefix([example.prompt_ids for example in examples]))


@torch.no_grad()
def plain(model: PromptedModel, example: TokenizedExample, rows: torch.Tensor | None = None) -> torch.Tensor:
    """[answer tokens, vocabulary]: one example alone, behind the rows, its prompt and answer in one piece."""
    before = torch.empty(0, HIDDEN) if rows is None else rows
    inputs = torch.cat([before, model.embed(torch.tensor([*example.prompt_ids, *example.answer_ids]))])
    logits: torch.Tensor = model.model(inputs_embeds=inputs[None]).logits[0, len(before) :].float()
    return logits[len(example.prompt_ids) - 1 : -1]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_logits_are_those_behind_the_rows_and_the_original_is_read_without(
    prompted: PromptedModel, examples: list[TokenizedExample], rows: torch.Tensor, count: int
) -> None:
    soft = rows[:count] if count else None
    views = views_of(prompted, examples).of({"forget": examples[:3], "retain": examples[3:5]}, soft=soft)
    for view, group in ((views["forget"], examples[:3]), (views["retain"], examples[3:5])):
        for index, example in enumerate(group):
            mine = view.owner == index
            assert view.targets[mine].tolist() == list(example.answer_ids)
            torch.testing.assert_close(view.logits[mine], plain(prompted, example, soft), atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(view.original[mine], plain(prompted, example), atol=1e-4, rtol=1e-4)
        assert (float(view.kl()) > 1e-3) == (count > 0)


def test_the_teacher_is_the_original_asked_about_another_without_the_rows(
    prompted: PromptedModel, examples: list[TokenizedExample], rows: torch.Tensor
) -> None:
    other = examples[3]
    shared = min(len(examples[0].answer_ids), len(other.answer_ids))
    positions = tuple(place if place < shared else -1 for place in range(len(examples[0].answer_ids)))
    taught = replace(examples[0], counterfactuals=(Counterfactual(other, positions, ()),))
    view = views_of(prompted, [taught, examples[1]]).of({"taught": [taught, examples[1]]}, soft=rows)["taught"]
    assert view.teacher is not None
    said, own = plain(prompted, other).log_softmax(-1), plain(prompted, taught)
    teacher = view.teacher[view.owner == 0]
    torch.testing.assert_close(teacher[:shared], said[:shared], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(teacher[shared:], own[shared:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(view.teacher[view.owner == 1], plain(prompted, examples[1]), atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_rows_alone(
    prompted: PromptedModel, examples: list[TokenizedExample], rows: torch.Tensor
) -> None:
    soft = rows.requires_grad_()
    view = views_of(prompted, examples).of({"retain": examples}, soft=soft)["retain"]
    assert not view.original.requires_grad
    view.kl().backward()  # type: ignore[no-untyped-call]
    assert soft.grad is not None
    assert bool(soft.grad.any(-1).all())
    assert all(parameter.grad is None for parameter in prompted.model.parameters())
