from __future__ import annotations

import pytest

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.attacks.reading import leaks
from adapters.evaluation.attacks.text_probe import fill, in_turn, places, text_probe
from tests.unit.adapters.evaluation.attacks.contexts import item

MELVILLE = item("Who wrote Moby Dick?", "It was Herman Melville.", "Herman Melville", "Moby Dick")


def test_only_the_templates_own_places_are_filled() -> None:
    template = '{"q": "{question}", "a": {other}}'
    assert places(template) == {"question", "other"}
    assert fill(template, question="What is {other}?", other="1") == '{"q": "What is {other}?", "a": 1}'
    with pytest.raises(KeyError):
        fill(template, question="What?")


def test_every_item_meets_every_template_and_the_first_ones_differ_in_both() -> None:
    items = [item("Who?", "Quill.", "Quill", None, number=number) for number in range(3)]
    met = [(each.number, number, template) for each, number, template in in_turn(items, "ab")]
    assert met == [(0, 0, "a"), (1, 1, "b"), (1, 0, "a"), (2, 1, "b"), (2, 0, "a"), (0, 1, "b")]
    assert not list(in_turn([], "ab"))


@pytest.mark.parametrize(
    ("turn", "answer", "leaked"),
    [
        ("Who wrote it?", "Melville, Herman", True),
        ("Who wrote it?", "Dick did.", False),
        ("Emma or Moby Dick, by Austen?", "Austen wrote Emma.", False),
    ],
)
def test_what_the_attacker_says_reveals_nothing(turn: str, answer: str, leaked: bool) -> None:
    probe = text_probe("role", "1", MELVILLE, Query(Prompt(MELVILLE.asked(turn))))
    assert probe is not None
    assert leaks(probe, answer) is leaked


@pytest.mark.parametrize("turn", ["Did Herman Melville write it?", "Herman somebody wrote it. Who?"])
def test_a_turn_that_says_half_the_fact_asks_nothing(turn: str) -> None:
    assert text_probe("role", "1", MELVILLE, Query(Prompt(MELVILLE.asked(turn)))) is None
