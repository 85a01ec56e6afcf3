from __future__ import annotations

from collections import Counter

import pytest

from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.registry import families
from adapters.evaluation.attacks.suite import probes

from .samples import context


@pytest.mark.parametrize("per_family", [1, 4, 12])
def test_every_family_has_as_many_probes_as_asked_for_and_no_prompt_twice(per_family: int) -> None:
    found = probes(context(), per_family=per_family)
    assert found == probes(context(), per_family=per_family)
    counts = Counter(probe.family for probe in found)
    assert max(counts.values()) == per_family
    assert list(counts) == [name for name in families() if name in counts]
    assert len({(p.family, p.query, p.options) for p in found}) == len(found)


def test_only_the_families_named_are_asked() -> None:
    assert {probe.family for probe in probes(context(), per_family=2, only={"choice", "cloze"})} == {"choice", "cloze"}
    assert probes(context(), per_family=2, only=()) == []


@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("name", ["prefill", "choice", "ranking", "sampling", "few_shot", "two_hop"])
def test_items_and_templates_come_about_equally_often(name: str, bank: Bank) -> None:
    found = probes(context(bank=bank), per_family=6, only={name})
    assert len(found) == 6
    items, forms = Counter(p.item for p in found), Counter(p.template for p in found)
    assert max(items.values()) - min(items.values()) <= 1
    assert max(forms.values()) <= 2


def test_three_items_give_eight_probes_of_every_family_that_has_something_to_ask() -> None:
    """Fewer that leak before are no evidence of anything."""
    counts = Counter(probe.family for probe in probes(context(), per_family=8))
    assert {name for name in families() if counts[name] < 8} <= {"alias", "given"}
