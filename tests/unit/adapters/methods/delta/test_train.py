"""What is δ-unlearning's alone: the factor on its offset, and neutrality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.methods.delta import train as training
from adapters.methods.delta.train import best_strength, train
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.training.held_out import Score
from adapters.training.pair import TrainablePair
from tests.unit.adapters.methods.runs import LAYERS_PAIR, method_task, parts_of, served, spec_of, steps_of


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ({0.5: (3, 0), 1.0: (1, 0), 2.0: (2, 0)}, 1.0),
        ({0.5: (3, 0), 1.0: (1, 0.3), 2.0: (2, 0)}, 2.0),  # better, but beyond the limit
        ({0.5: (1, 0.2), 1.0: (1.05, 0.2), 2.0: (2, 0)}, 1.0),  # hardly differ: the largest of them
        ({0.5: (-1, 0), 1.0: (-0.95, 0), 2.0: (-0.8, 0)}, 1.0),
        ({0.5: (0, 0), 1.0: (0.004, 0), 2.0: (0.006, 0)}, 1.0),
        ({0.001: (9, 0)}, 0.001),
        ({0.5: (1, 0.3), 1.0: (1, 9)}, None),
    ],
)
def test_the_largest_strength_next_to_the_best_is_kept(
    scores: dict[float, tuple[float, float]], kept: float | None
) -> None:
    assert best_strength({strength: Score(*score) for strength, score in scores.items()}, kl_limit=0.2) == kept


def test_the_settings_strength_and_weight_are_trained_with_and_only_strengths_vary(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[bool, float, float]] = []

    class Watched(TrainablePair):
        def views(
            self,
            groups: Mapping[str, Sequence[TokenizedExample]],
            shared: int,
            strength: float,
            first_token_weight: float = 1.0,
        ) -> dict[str, View]:
            given.append((torch.is_grad_enabled(), strength, first_token_weight))
            return super().views(groups, shared, strength, first_token_weight)

    monkeypatch.setattr(training, "TrainablePair", Watched)
    settings: dict[str, Any] = {
        "strength": 0.5,
        "strengths": (2.0, 3.0),
        "first_token_weight": 4.0,
        "evaluate_every": 2,
    }
    artifact = train(method_task("delta", tiny_model, pair=LAYERS_PAIR, max_steps=2, **settings))
    step, scoring = (True, 0.5, 4.0), (False, 0.5, 4.0)
    assert given == [step, step, scoring, (False, 2.0, 4.0), (False, 3.0, 4.0)]
    assert spec_of(artifact).strength in (2.0, 3.0)


class TestNeutrality:
    """A term on the offset's own logits where answers stay."""

    def test_refusals_are_shifted_less_where_answers_stay(self, tiny_model: Path) -> None:
        """Also under an objective that asks for no retained answers itself."""

        def shift(neutrality: float) -> float:
            settings: dict[str, Any] = {
                "learning_rate": 5e-3,
                "neutrality": neutrality,
                "objective_settings": {"retain_kl": 0.0},
                "strengths": (1.0,),
            }
            task = method_task("delta", tiny_model, max_steps=20, evaluate_every=20, **settings)
            artifact, parts = train(task), parts_of(task)
            tokens = torch.tensor([token for each in parts.training.forget for token in each.refused.answer_ids])
            shifts = []
            for each in served(task, artifact, [*parts.training.hard, *parts.training.general]):
                moved = (each.served.log_softmax(-1) - each.target.log_softmax(-1))[:, tokens]
                shifts.append(float(moved.square().mean()))
            return sum(shifts)

        assert shift(4.0) < 0.5 * shift(0.0)

    def test_it_counts_with_what_is_to_stay(self, tiny_model: Path) -> None:
        seen: list[Progress] = []
        train(method_task("delta", tiny_model, neutrality=2.0, report=seen.append, max_steps=2))
        first, second = steps_of(seen)
        assert first.metrics["retain"] == 0, "nothing has changed yet"
        assert second.metrics["retain"] > 0
