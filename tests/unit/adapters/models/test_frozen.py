from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapters.models.frozen import Batch, PromptedModel, shared_prefix
from adapters.models.tokens import TokenizedExample
from adapters.objectives.terms.cross_entropy import answer_cross_entropy
from tests.unit.adapters.conftest import save_model

SHORT = TokenizedExample((1, 5, 6, 7), (8, 2))
LONG = TokenizedExample((1, 5, 9, 10, 11, 12, 13), (14, 15, 16, 17, 2))


def test_shared_prefix_leaves_each_prompt_a_token() -> None:
    assert shared_prefix([(1, 2, 3), (1, 2, 4)]) == 2
    assert shared_prefix([(1, 2), (1, 2, 3)]) == 1
    assert shared_prefix([(4,), (4,)]) == 0
    assert shared_prefix([(1, 2), (3, 4)]) == 0


def test_padding_does_not_change_the_loss(prompted: PromptedModel) -> None:
    soft = torch.randn(3, prompted.hidden_size, generator=torch.Generator().manual_seed(1))

    def loss(examples: list[TokenizedExample], only: int) -> float:
        batch = prompted.collate(examples, 2)
        logits = prompted.logits(prompted.states(batch, soft))
        mine = batch.rows == only
        owner = torch.zeros(int(mine.sum()), dtype=torch.long)
        return float(answer_cross_entropy(logits[mine], batch.targets[mine], owner, 1))

    assert abs(loss([SHORT], 0) - loss([SHORT, LONG], 0)) < 1e-5
    assert abs(loss([LONG], 0) - loss([SHORT, LONG], 1)) < 1e-5


def test_soft_rows_stand_before_everything_and_sharing_the_prefix_changes_nothing(
    prompted: PromptedModel,
) -> None:
    soft = torch.randn(3, prompted.hidden_size, generator=torch.Generator().manual_seed(2))
    ids = torch.tensor([*LONG.prompt_ids, *LONG.answer_ids[:-1]])
    whole = torch.cat((soft, prompted.embed(ids)))
    with torch.no_grad():
        logits = prompted.model(inputs_embeds=whole[None]).logits[0]
    expected = logits[3 + len(LONG.prompt_ids) - 1 :]
    for shared in (0, 1, 2):
        ours = prompted.logits(prompted.states(prompted.collate([SHORT, LONG], shared), soft))[-5:]
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_soft_rows_through_the_shared_prefix_alone(prompted: PromptedModel) -> None:
    soft = torch.zeros(2, prompted.hidden_size, requires_grad=True)
    total = prompted.logits(prompted.states(prompted.collate([SHORT, LONG], 2), soft)).logsumexp(-1).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert soft.grad is not None
    assert float(soft.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in prompted.model.parameters())


@pytest.mark.parametrize("able", [False, True])
def test_a_checkpoint_is_computed_in_what_suits_the_machine_and_known_by_its_own_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    model = PromptedModel.load(save_model(tmp_path, dtype=torch.bfloat16))
    assert model.stored_dtype is torch.bfloat16
    assert model.model.dtype is (torch.bfloat16 if able else torch.float32)
    assert not any(parameter.requires_grad for parameter in model.model.parameters())
    assert model.logits(model.states(model.collate([SHORT], 2), None)).dtype is torch.float32


def test_examples_of_unlike_length_are_read_apart_with_the_same_result(prompted: PromptedModel) -> None:
    """On a CPU, where padding costs as much as what is learnt from."""
    lengths = (1, 110, 2, 120, 3, 1, 2, 3)
    examples = [TokenizedExample((1, 5, *(10 + n % 60 for n in range(length))), (8, 2)) for length in lengths]
    calls: list[list[int]] = []
    run = prompted.run

    def counted(batch: Batch, soft: torch.Tensor | None) -> torch.Tensor:
        calls.append([len(batch), batch.inputs.shape[1]])
        return run(batch, soft)

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompted, "run", counted)
        together = prompted.answer_states(examples, 2)
        alone = torch.cat([prompted.answer_states([example], 2) for example in examples])
    torch.testing.assert_close(together, alone)
    assert calls[:2] == [[6, 4], [2, 121]]
