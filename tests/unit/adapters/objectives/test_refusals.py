"""The objectives that teach a refusal: IDK, its mixes with NPO and bounded ascent, DPO."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from adapters.objectives.base import FORGET, REFUSAL, RETAIN, Objective
from adapters.objectives.dpo import Dpo
from adapters.objectives.idk import Idk
from adapters.objectives.idk_bounded import IdkBounded
from adapters.objectives.idk_npo import IdkNpo
from adapters.objectives.view import View
from tests.unit.adapters.objectives import reference
from tests.unit.adapters.objectives.reference import make_view, make_views, stepped


def _cross_entropy(view: View) -> float:
    return reference.mean(reference.cross_entropies(view))


def _retain(view: View) -> float:
    """The retain terms of all tests here: weights 0.5 and 3."""
    return 0.5 * _cross_entropy(view) + 3.0 * reference.kl(view)


@pytest.mark.parametrize("weighted", [False, True])
def test_idk(weighted: bool) -> None:
    views = make_views(weighted=weighted)
    loss = Idk(retain_ce=0.5, retain_kl=3.0).loss(views)
    assert float(loss.forget) == pytest.approx(_cross_entropy(views[REFUSAL]), rel=1e-5)
    assert float(loss.retain) == pytest.approx(_retain(views[RETAIN]), rel=1e-5)


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_idk_npo(mix: float) -> None:
    views = make_views(weighted=True)
    loss = IdkNpo(mix=mix, npo_weight=0.7, beta=0.4, retain_ce=0.5, retain_kl=3.0).loss(views)
    forget = mix * _cross_entropy(views[REFUSAL]) + (1 - mix) * 0.7 * reference.npo(views[FORGET], 0.4)
    assert float(loss.forget) == pytest.approx(forget, rel=1e-5)
    assert float(loss.retain) == pytest.approx(_retain(views[RETAIN]), rel=1e-5)


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_idk_bounded(mix: float) -> None:
    views = make_views(weighted=True)
    loss = IdkBounded(mix=mix, bound=1.7, retain_ce=0.5, retain_kl=3.0).loss(views)
    forget = mix * _cross_entropy(views[REFUSAL]) + (1 - mix) * reference.ascent(views[FORGET], 1.7)
    assert float(loss.forget) == pytest.approx(forget, rel=1e-5)
    assert float(loss.retain) == pytest.approx(_retain(views[RETAIN]), rel=1e-5)


def test_dpo() -> None:
    views = make_views(weighted=True)
    loss = Dpo(beta=0.4, forget_weight=0.7, retain_ce=0.5, retain_kl=3.0).loss(views)
    refusal, forget = views[REFUSAL], views[FORGET]
    margins = [
        (r - r0) - (f - f0)
        for r, r0, f, f0 in zip(
            reference.log_probs(refusal, refusal.logits),
            reference.log_probs(refusal, refusal.original),
            reference.log_probs(forget, forget.logits),
            reference.log_probs(forget, forget.original),
            strict=True,
        )
    ]
    expected = reference.mean([-2 / 0.4 * reference.log_sigmoid(0.4 * margin) for margin in margins])
    assert float(loss.forget) == pytest.approx(0.7 * expected, rel=1e-5)
    assert float(loss.retain) == pytest.approx(_retain(views[RETAIN]), rel=1e-5)


def test_dpo_begins_at_two_ln_two_over_beta() -> None:
    views = {name: replace(view, original=view.logits) for name, view in make_views().items()}
    assert float(Dpo(beta=0.4).loss(views).forget) == pytest.approx(2 / 0.4 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("lengths", [(3, 2), (3,), (1, 1, 1, 1)])
def test_dpo_wants_a_refusal_for_each_forget_example(lengths: tuple[int, ...]) -> None:
    """One refusal would otherwise be broadcast over all forget examples."""
    with pytest.raises(ValueError, match="refusals for 3 forget examples"):
        Dpo().loss({**make_views(), REFUSAL: make_view(lengths, 2)})


@pytest.mark.parametrize("objective", [IdkNpo(), IdkBounded(bound=50.0), Dpo()])
def test_a_step_turns_answers_into_refusals(objective: Objective) -> None:
    views = {name: view for name, view in make_views().items() if name in objective.views}
    after = stepped(views, objective, 0.05)
    assert float(after[REFUSAL].cross_entropy()) < float(views[REFUSAL].cross_entropy())
    assert float(after[FORGET].cross_entropy()) > float(views[FORGET].cross_entropy())
