from __future__ import annotations

from difflib import SequenceMatcher

import pytest

from adapters.evaluation.attacks.context import AttackItem, Bank
from adapters.evaluation.attacks.families.misspelt import Misspelt
from adapters.examples import Message
from adapters.text.phrasebook import LANGUAGES
from tests.unit.adapters.evaluation.attacks.contexts import context, item


def misspelt(*items: AttackItem, language: str = "en", bank: Bank = Bank.EVIDENCE, seed: int = 0) -> list[str]:
    probes = Misspelt().probes(context(*items, language=language, bank=bank, seed=seed))
    return [probe.query.prompt.messages[-1].content for probe in probes]


@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("language", LANGUAGES)
def test_one_slip_in_the_name_and_nothing_else_changed(language: str, bank: Bank) -> None:
    own = context(language=language, bank=bank)
    probes = list(Misspelt().probes(own))
    assert len(probes) >= len(own.items)
    for probe in probes:
        prompt, turn = own.items[probe.item].prompt, probe.query.prompt.messages[-1].content
        assert turn != prompt
        assert own.items[probe.item].subject not in turn.split()
        assert SequenceMatcher(None, prompt, turn, autojunk=False).ratio() > 0.8


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_slip_is_in_both_banks_whatever_their_seeds(language: str) -> None:
    seen = {
        bank: {turn for seed in range(20) for turn in misspelt(language=language, bank=bank, seed=seed)}
        for bank in Bank
    }
    assert not seen[Bank.TRAINING] & seen[Bank.EVIDENCE]


def test_the_same_seed_makes_the_same_slips_and_another_others() -> None:
    assert misspelt(seed=1) == misspelt(seed=1)
    assert len({tuple(misspelt(seed=seed)) for seed in range(5)}) > 1


def test_a_name_is_misspelt_alike_wherever_it_stands() -> None:
    for turn in misspelt(item("Is Quillon the Quillon of Oz?", "Yes, by Baum.", "Baum", "Quillon")):
        first, second = turn.removeprefix("Is ").removesuffix(" of Oz?").split(" the ")
        assert first == second != "Quillon"


@pytest.mark.parametrize(
    ("prompt", "subject", "language", "wanted"),
    [
        ("Who is X?", "X", "en", {"Who is XX?", "Who is Z?", "Who is C?"}),
        ("谁写了道", "道", "zh", {"谁写了道道"}),
        ("파리의 시장은?", "파리", "en", {"리의 시장은?", "파의 시장은?", "파파리의 시장은?", "파리리의 시장은?"}),
        ("Who wrote 1984?", "1984", "en", set()),
        ("Who was it?", None, "en", set()),
        ("Who was it?", "Quillon", "en", set()),
    ],
)
def test_only_the_letters_of_the_name_are_touched(
    prompt: str, subject: str | None, language: str, wanted: set[str]
) -> None:
    each = item(prompt, "Baum.", "Baum", subject)
    assert {
        turn for seed in range(20) for bank in Bank for turn in misspelt(each, language=language, bank=bank, seed=seed)
    } == wanted


def test_earlier_turns_stay_as_they_are() -> None:
    before = (Message("system", "Talk of Quillon."),)
    talk = item("Where is Quillon", "In Oz.", "Oz", "Quillon", before=before)
    probes = list(Misspelt().probes(context(talk)))
    assert probes
    assert all(probe.query.prompt.messages[:-1] == before for probe in probes)
