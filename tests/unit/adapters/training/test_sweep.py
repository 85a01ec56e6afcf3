from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from adapters.data.dataset import Dataset, ForgetExample
from adapters.errors import TrainingDiverged
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample
from adapters.training.held_out import Score, Split
from adapters.training.sweep import Effects, choose, divergence
from tests.unit.adapters.training.test_pair import answer_logits

EFFECTS = {
    0.5: Score(0.6, 0.01),
    1.0: Score(0.08, 0.1),
    1.5: Score(0.05, 0.3),
    2.0: Score(0.01, 0.9),
}


class TestChoose:
    @pytest.mark.parametrize(
        ("forget_limit", "kl_limit", "chosen"),
        [
            (0.1, 0.5, 1.0),  # the smallest that forgets enough
            (0.7, 0.5, 0.5),
            (0.06, 0.5, 1.5),
            (0.0, 0.5, 1.5),  # none does: the lowest within the limit
            (0.0, 0.3, 1.5),  # the limit itself is allowed
            (0.0, 0.2, 1.0),
            (0.0, 1.0, 2.0),
            (0.1, 0.05, 0.5),
        ],
    )
    def test_the_smallest_that_forgets_enough_within_the_limit(
        self, forget_limit: float, kl_limit: float, chosen: float
    ) -> None:
        assert choose(EFFECTS, forget_limit=forget_limit, kl_limit=kl_limit) == chosen

    def test_what_is_next_to_the_lowest_is_as_good_as_it(self) -> None:
        effects = {1.0: Score(0.315, 0.1), 2.0: Score(0.30, 0.2), 0.5: Score(0.35, 0.1)}
        assert choose(effects, forget_limit=0.1, kl_limit=1.0) == 1.0

    @pytest.mark.parametrize("kl", [0.6, math.nan, math.inf])
    def test_none_within_the_limit_is_said(self, kl: float) -> None:
        with pytest.raises(TrainingDiverged, match=r"above kl_limit \(0.5\) at every strength"):
            choose({1.0: Score(0.0, kl)}, forget_limit=0.1, kl_limit=0.5)


class TestDivergence:
    def test_it_is_the_kl_from_the_target(self) -> None:
        p, q = [0.5, 0.3, 0.2], [0.1, 0.6, 0.3]
        expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert float(divergence(torch.tensor([p]).log(), torch.tensor([q]).log() + 3)) == pytest.approx(
            expected, rel=1e-5
        )

    def test_a_row_with_a_masked_token_is_measured_by_what_is_left(self) -> None:
        target = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]).log()
        masked = target.clone()
        masked[0, 1] = -math.inf
        assert divergence(target, masked).tolist() == pytest.approx([-math.log(0.7), 0.0], abs=1e-6)


FIRST, SECOND = TokenizedExample((1, 5, 6, 7), (8, 2)), TokenizedExample((1, 5, 9), (14, 15, 2))
KEPT = [TokenizedExample((1, 5, number), (20, 21, 22)[: 1 + number % 3]) for number in range(30, 50)]


def test_effects_are_those_of_plain_passes(prompted: PromptedModel) -> None:
    """Two strengths of an offset that only lowers token 8, and an offset that depends on the batch."""
    forget = tuple(ForgetExample(example, example) for example in (FIRST, SECOND))
    effects = Effects(prompted, Split(Dataset((), (), ()), forget, tuple(KEPT)), 2)
    token = torch.zeros(len(prompted.head.weight))
    token[8] = 1.0

    def combine(states: torch.Tensor, small: torch.Tensor, strength: float) -> torch.Tensor:
        assert len(states) == len(small)
        return prompted.logits(states) - strength * token

    def offset(examples: Sequence[TokenizedExample], shared: int) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        return prompted.collate(examples, shared).targets

    measured = effects.measure(offset, combine, [0.0, 4.0])
    assert measured[0.0].loss == pytest.approx(1.0)
    assert measured[0.0].kl == pytest.approx(0.0, abs=1e-6)

    before = {e: answer_logits(prompted.model, e).double() for e in (FIRST, SECOND, *KEPT)}
    after = {e: logits - 4.0 * token for e, logits in before.items()}

    def said(logits: dict[TokenizedExample, torch.Tensor]) -> float:
        return sum(
            float(logits[e].softmax(-1)[i, token_id])
            for e in (FIRST, SECOND)
            for i, token_id in enumerate(e.answer_ids)
        )

    def kl(example: TokenizedExample) -> float:
        p, q = before[example].log_softmax(-1), after[example].log_softmax(-1)
        return float((p.exp() * (p - q)).sum(-1).mean())

    assert measured[4.0].loss == pytest.approx(said(after) / said(before), rel=1e-4)
    assert measured[4.0].kl == pytest.approx(sum(map(kl, KEPT)) / len(KEPT), rel=1e-3)
