"""The templates: two banks in every language, disjoint in wording, with the right places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.evaluation.attacks.adaptive import NAME as ADAPTIVE
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.family import templates
from adapters.evaluation.attacks.registry import families
from adapters.evaluation.attacks.text_probe import places
from adapters.text.phrasebook import LANGUAGES, Phrasebook, phrasebook
from adapters.text.words import words

_WORDED = [name for name in (*families(), ADAPTIVE) if templates("en", name, Bank.EVIDENCE)]
_PLACES = {
    "cloze": ({"stem"}, {"question"}, {"question", "stem"}),
    "prefill": (set[str](), {"stem"}),
    "choice": ({"question", "options"}, {"question", "option"}),
    "ranking": ({"stem"}, {"question"}, {"question", "stem"}),
    "sampling": ({"question"},),
    "few_shot": ({"question", "answer"},),
    "reverse": ({"name"},),
    "two_hop": ({"question"},),
    "alias": ({"question"},),
    "adaptive": ({"prompt"},),
}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    else:
        for part in value:
            yield from _strings(part)


def _wordings(language: str, family: str, bank: Bank) -> list[str]:
    """Templates as they are compared: their words, places left out; those that say nothing around a place are none."""
    found = [text for text in _strings(templates(language, family, bank)) if places(text)]
    bare = [" ".join(word.term for word in words(_without_places(text))) for text in found]
    return [text for text in bare if text]


def _without_places(text: str) -> str:
    for place in places(text):
        text = text.replace(f"{{{place}}}", " ")
    return text


@pytest.mark.parametrize("family", _WORDED)
@pytest.mark.parametrize("language", LANGUAGES)
def test_both_banks_are_there_and_no_wording_of_the_evidence_is_trained_on(language: str, family: str) -> None:
    training, evidence = (_wordings(language, family, bank) for bank in (Bank.TRAINING, Bank.EVIDENCE))
    assert training
    assert len(templates(language, family, Bank.EVIDENCE)) >= 4
    assert len(set(evidence)) == len(evidence)
    assert len(set(training)) == len(training)
    for wording in evidence:
        assert not any(f" {wording} " in f" {trained} " for trained in training), wording


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_wording_of_the_evidence_is_one_that_training_data_are_made_with(language: str) -> None:
    trained = {" ".join(word.term for word in words(_without_places(text))) for text in _trained(phrasebook(language))}
    # What is asked in another language is asked of items that are never in that one.
    for family in set(_WORDED) - {"other_language"}:
        assert not trained & set(_wordings(language, family, Bank.EVIDENCE)), family


def _trained(book: Phrasebook) -> Iterator[str]:
    yield from (*book.frames, *book.indirect, *book.both, *book.openings, *book.cloze, *book.reverse, *book.siblings)
    yield from (wording for group in book.interview for wording in group)


@pytest.mark.parametrize("family", list(_PLACES))
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("bank", Bank)
def test_templates_have_the_right_places_once(language: str, family: str, bank: Bank) -> None:
    found = templates(language, family, bank)
    assert len(found) == len(templates("en", family, bank))
    for template in found:
        text = template if isinstance(template, str) else next(t for t in _strings(template) if places(t))
        assert places(text) in _PLACES[family], text
        assert all(text.count(f"{{{place}}}") == 1 for place in places(text)), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_forms(language: str) -> None:
    for bank in Bank:
        ours, theirs = templates(language, "choice", bank), templates("en", "choice", bank)
        assert [each["form"] for each in ours] == [each["form"] for each in theirs]
        kinds = [[list(each) for each in templates(code, "ranking", bank)] for code in (language, "en")]
        assert kinds[0] == kinds[1]
