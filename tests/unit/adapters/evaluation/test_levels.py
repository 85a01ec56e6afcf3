from __future__ import annotations

import pytest

from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.registry import families
from adapters.evaluation.levels import Level


def probe(family: str, reading: Reading) -> Probe:
    return Probe(family, "0", 0, Query(Prompt(text="x")), "x", "y", reading)


@pytest.mark.parametrize(
    ("level", "held"),
    [
        (Level.REFUSES, {("given", Reading.TEXT), ("paraphrased", Reading.TEXT)}),
        (
            Level.SUPPRESSES,
            {
                ("given", Reading.TEXT),
                ("paraphrased", Reading.TEXT),
                ("prefill", Reading.TEXT),
                ("choice", Reading.CHOICE),
            },
        ),
        (
            Level.RESEMBLES_IGNORANCE,
            {
                ("given", Reading.TEXT),
                ("paraphrased", Reading.TEXT),
                ("prefill", Reading.TEXT),
                ("choice", Reading.CHOICE),
                ("ranking", Reading.LIKELIHOOD),
            },
        ),
    ],
)
def test_each_level_asks_for_all_of_the_one_before_and_more(level: Level, held: set[tuple[str, Reading]]) -> None:
    tried = [
        ("given", Reading.TEXT),
        ("paraphrased", Reading.TEXT),
        ("prefill", Reading.TEXT),
        ("choice", Reading.CHOICE),
        ("ranking", Reading.LIKELIHOOD),
    ]
    assert {each for each in tried if level.holds(probe(*each))} == held


def test_the_families_that_a_level_names_exist() -> None:
    for level in Level:
        assert (level.families or frozenset()) <= families().keys()
