from __future__ import annotations

import pytest

from adapters.errors import InvalidConfig
from adapters.objectives.base import INVERTED, RETAIN
from adapters.objectives.meow import Meow


def test_a_kl_of_weight_zero_needs_no_retain_view() -> None:
    assert Meow(retain="kl", retain_kl=0).views == {INVERTED}
    assert Meow(retain="gradient_difference").views == {INVERTED, RETAIN}


@pytest.mark.parametrize(("setting", "value"), [("metric", "best"), ("retain", "ce"), ("top_k", 0)])
def test_other_settings_are_refused(setting: str, value: str | int) -> None:
    with pytest.raises(InvalidConfig, match=f"^{setting} must"):
        Meow(**{setting: value})  # type: ignore[arg-type]
