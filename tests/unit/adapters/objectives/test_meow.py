from __future__ import annotations

import pytest

from adapters.errors import InvalidConfig
from adapters.objectives.base import INVERTED, RETAIN
from adapters.objectives.meow import Meow
from tests.unit.adapters.objectives.reference import cross_entropies, kl, make_views, mean


def test_alone_it_is_the_cross_entropy_of_the_contradicting_answers() -> None:
    views = make_views(weighted=True)
    losses = Meow(retain="none").loss(views)
    assert float(losses.forget) == pytest.approx(mean(cross_entropies(views[INVERTED])), rel=1e-5)
    assert float(losses.retain) == 0


def test_gradient_difference_has_the_published_shares() -> None:
    views = make_views(weighted=True)
    losses = Meow(retain="gradient_difference").loss(views)
    assert float(losses.forget) == pytest.approx(0.9 * mean(cross_entropies(views[INVERTED])), rel=1e-5)
    assert float(losses.retain) == pytest.approx(0.1 * mean(cross_entropies(views[RETAIN])), rel=1e-5)


def test_the_kl_is_that_of_what_is_retained() -> None:
    views = make_views(weighted=True)
    losses = Meow(retain="kl", retain_kl=2.5).loss(views)
    assert float(losses.forget) == pytest.approx(mean(cross_entropies(views[INVERTED])), rel=1e-5)
    assert float(losses.retain) == pytest.approx(2.5 * kl(views[RETAIN]), rel=1e-5)


def test_a_kl_of_weight_zero_needs_no_retain_view() -> None:
    assert Meow(retain="kl", retain_kl=0).views == {INVERTED}
    assert Meow(retain="gradient_difference").views == {INVERTED, RETAIN}


@pytest.mark.parametrize(("setting", "value"), [("metric", "best"), ("retain", "ce"), ("top_k", 0)])
def test_other_settings_are_refused(setting: str, value: str | int) -> None:
    with pytest.raises(InvalidConfig, match=f"^{setting} must"):
        Meow(**{setting: value})  # type: ignore[arg-type]
