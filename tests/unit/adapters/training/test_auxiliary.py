from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapters.artifact.artifact import model_digest
from adapters.artifact.spec import PairSpec
from adapters.errors import InvalidConfig
from adapters.models.frozen import PromptedModel
from adapters.models.lora import parameters
from adapters.models.tokens import TokenizedExample
from adapters.training.auxiliary import Auxiliary
from tests.unit.adapters.conftest import LAYERS, randomise, save_model
from tests.unit.adapters.training.test_pair import answer_logits, plain

ONE = TokenizedExample((1, 5, 6, 7), (8, 2))
TWO = TokenizedExample((1, 5, 9, 10, 11), (14, 15, 2))


@pytest.mark.parametrize("layers", [1, 0])
def test_its_views_are_of_its_own_logits(
    target: PromptedModel, tiny_model: Path, small_model: Path, layers: int
) -> None:
    source = PairSpec(1) if layers else PairSpec(0, model_digest(small_model), model=str(small_model))
    small = Auxiliary(target, source, 3)
    randomise(small.lora, scale=0.1)
    model = plain(tiny_model if layers else small_model, layers=layers or LAYERS, lora=small.lora)
    views = small.views({"a": [ONE], "b": [TWO, ONE]}, 2, 3.0)
    torch.testing.assert_close(views["a"].logits.detach(), answer_logits(model, ONE), atol=1e-4, rtol=1e-4)
    expected = torch.cat([answer_logits(model, TWO), answer_logits(model, ONE)])
    torch.testing.assert_close(views["b"].logits.detach(), expected, atol=1e-4, rtol=1e-4)
    assert views["b"].owner.tolist() == [0, 0, 0, 1, 1]
    assert views["b"].weights is not None
    assert views["b"].weights.tolist() == [3, 1, 1, 3, 1]


def test_there_is_no_original_to_compare_with(target: PromptedModel) -> None:
    view = Auxiliary(target, PairSpec(1), 3).views({"a": [ONE]}, 2)["a"]
    with pytest.raises(RuntimeError):
        view.kl()


def test_gradients_reach_its_lora_and_nothing_else(target: PromptedModel) -> None:
    one, other = (Auxiliary(target, PairSpec(1), 3) for _ in range(2))
    randomise(one.lora, scale=0.1)
    one.views({"a": [ONE, TWO]}, 2)["a"].cross_entropy().backward()  # type: ignore[no-untyped-call]
    trained = parameters(one.lora)
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in trained)
    rest = [*target.model.parameters(), *one.model.model.parameters(), *other.model.model.parameters()]
    assert all(p.grad is None for p in rest if not any(p is mine for mine in trained))


def test_another_vocabulary_is_refused(target: PromptedModel, tmp_path: Path) -> None:
    source = PairSpec(0, "a" * 64, model=str(save_model(tmp_path, vocab_size=len(target.head.weight) + 1)))
    with pytest.raises(InvalidConfig, match="vocabulary"):
        Auxiliary(target, source, 3)
