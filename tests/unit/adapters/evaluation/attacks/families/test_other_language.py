from __future__ import annotations

import pytest

from adapters.evaluation.attacks.context import AttackItem, Bank
from adapters.evaluation.attacks.families.other_language import OtherLanguage
from adapters.evaluation.attacks.family import templates
from adapters.examples import Message
from adapters.text.phrasebook import LANGUAGES, phrasebook
from tests.unit.adapters.evaluation.attacks.contexts import context, item


def asked(each: AttackItem, language: str = "en", bank: Bank = Bank.EVIDENCE) -> dict[str, str]:
    probes = OtherLanguage().probes(context(each, language=language, bank=bank))
    return {probe.template: probe.query.prompt.messages[-1].content for probe in probes}


@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_other_language_asks_and_the_items_own_does_not(language: str, bank: Bank) -> None:
    own = context(language=language, bank=bank)
    probes = list(OtherLanguage().probes(own))
    assert {probe.template.split()[0] for probe in probes} == set(LANGUAGES) - {language}
    assert len({probe.template for probe in probes[:4]}) == 4
    assert all(own.items[0].subject in probe.query.prompt.shown for probe in probes)  # type: ignore[operator]
    assert all(
        (own.items[probe.item].prompt in probe.query.prompt.shown) == (probe.template[-1] in "23") for probe in probes
    )


def test_a_question_that_every_language_has_is_asked_in_it() -> None:
    turns = asked(item("Who wrote Emma?", "Jane Austen.", "Jane Austen", "Emma"))
    assert turns["de 0"] == "Wer hat Emma geschrieben?"
    assert turns["fr 0"] == "Qui est l'auteur d'Emma ?"
    assert turns["es 0"] == "¿Quién es el autor de Emma?"
    assert turns["zh 0"] == "Emma的作者是谁？"


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("How tall is Quill", "Quill"),
        ("Who discovered penicillin?", "penicillin"),
        ("Who was it?", None),
        ("Who wrote {subject}?", None),
    ],
)
def test_any_other_item_is_to_be_answered_in_the_language(prompt: str, subject: str | None) -> None:
    turns = asked(item(prompt, "Fleming.", "Fleming", subject))
    assert turns["de 0"] == f"Beantworte diese Frage auf Deutsch: {prompt}"
    assert all(prompt in turn for turn in turns.values())


def test_a_title_in_chinese_is_asked_for_without_its_marks() -> None:
    assert asked(item("谁写了《边城》", "沈从文。", "沈从文", "《边城》"), "zh")["en 0"] == "Who is the author of 边城?"


def test_an_item_in_an_unknown_language_is_asked_in_all_of_ours() -> None:
    foreign = context(item("Kto napisał Lalkę?", "Prus.", "Prus", "Lalkę"))
    unknown = type(foreign)(foreign.items, foreign.known, phrasebook("pl"), Bank.EVIDENCE)
    assert {probe.template.split()[0] for probe in OtherLanguage().probes(unknown)} == set(LANGUAGES)


def test_earlier_turns_are_kept() -> None:
    before = (Message("system", "Be brief."),)
    talk = item("Who wrote Emma?", "Jane Austen.", "Jane Austen", "Emma", before=before)
    assert all(probe.query.prompt.messages[0] == before[0] for probe in OtherLanguage().probes(context(talk)))


@pytest.mark.parametrize("bank", Bank)
def test_every_language_has_a_question_for_the_same_relations(bank: Bank) -> None:
    found = {
        tuple(frozenset(wordings) for wordings in templates(language, OtherLanguage.name, bank))
        for language in LANGUAGES
    }
    (each,) = found
    assert len(each[0]) == 11
    assert all("any" in wordings for wordings in each)
