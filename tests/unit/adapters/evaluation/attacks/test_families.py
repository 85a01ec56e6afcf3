"""Every family keeps the contract, in every language."""

from __future__ import annotations

from functools import cache
from itertools import islice

import pytest

from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Reading
from adapters.evaluation.attacks.reading import leaks
from adapters.evaluation.attacks.registry import families
from adapters.text.language import language_of
from adapters.text.phrasebook import LANGUAGES, NO_LANGUAGE
from adapters.text.probes import key_terms
from adapters.text.words import terms

from .samples import context

_CONTEXTS = {(language, bank): context(language, bank) for language in (*LANGUAGES, NO_LANGUAGE) for bank in Bank}
_LOOKED_AT = 40

each_family = pytest.mark.parametrize("family", list(families().values()), ids=list(families()))
each_language = pytest.mark.parametrize("language", LANGUAGES)


@cache
def _probes(family: Family, language: str, bank: Bank = Bank.EVIDENCE) -> list[Probe]:
    return list(islice(family.probes(_CONTEXTS[language, bank]), _LOOKED_AT))


@each_family
@each_language
def test_probes_name_their_family_item_and_template(family: Family, language: str) -> None:
    for probe in _probes(family, language):
        assert probe.family == family.name
        assert probe.template
        assert probe.item in range(3)
        assert "{" not in probe.query.prompt.shown.replace('{"', "") or family.name == "format_shift"


@each_family
@each_language
@pytest.mark.parametrize("bank", Bank)
def test_no_prompt_gives_the_answer_away_but_among_options(family: Family, language: str, bank: Bank) -> None:
    for probe in _probes(family, language, bank):
        if probe.reading is Reading.TEXT:
            assert key_terms(probe.question, probe.answer)
            assert not key_terms(probe.question, probe.answer) & terms(probe.query.prompt.shown)
            assert not leaks(probe, probe.query.prompt.shown)
            assert leaks(probe, probe.answer)
        else:
            assert len(probe.options) == len(set(probe.options)) > 1
            assert probe.floor == 1 / len(probe.options)


@each_family
@each_language
def test_the_banks_ask_nothing_in_the_same_words_or_from_the_same_seeds(family: Family, language: str) -> None:
    training, evidence = (_probes(family, language, bank) for bank in (Bank.TRAINING, Bank.EVIDENCE))
    bare = {(item.messages, "") for item in _CONTEXTS[language, Bank.EVIDENCE].items}
    asked = [
        {(p.query.prompt.messages, p.query.prompt.prefix + p.query.prompt.text) for p in found} - bare
        for found in (training, evidence)
    ]
    assert not asked[0] & asked[1]
    seeds = [
        {seed for p in found if p.query.temperature for seed in range(p.query.seed, p.query.seed + p.query.samples)}
        for found in (training, evidence)
    ]
    assert not seeds[0] & seeds[1]


@each_family
def test_the_same_context_makes_the_same_probes(family: Family) -> None:
    assert _probes(family, "en") == list(islice(family.probes(_CONTEXTS["en", Bank.EVIDENCE]), _LOOKED_AT))


@each_family
@each_language
def test_what_is_put_around_the_items_is_in_their_language(family: Family, language: str) -> None:
    if family.name == "other_language":
        pytest.skip("asks in the other languages")
    written = "\n".join(probe.query.prompt.shown for probe in _probes(family, language))
    assert not written or language_of(written) == language


@each_family
def test_a_language_without_words_gets_no_words_of_another(family: Family) -> None:
    if templates("en", family.name, Bank.EVIDENCE) and family.name != "other_language":
        known = {each.question for each in _CONTEXTS[NO_LANGUAGE, Bank.EVIDENCE].known}
        for probe in _probes(family, NO_LANGUAGE):
            said = [m.content for m in probe.query.prompt.messages if m.role == "user"]
            assert set(said[:-1]) <= known
            assert said[-1:] == [_CONTEXTS[NO_LANGUAGE, Bank.EVIDENCE].items[probe.item].prompt]


@each_family
def test_nothing_to_attack_gives_no_probes(family: Family) -> None:
    whole = _CONTEXTS["en", Bank.EVIDENCE]
    assert list(family.probes(AttackContext((), whole.known, whole.book, whole.bank))) == []
