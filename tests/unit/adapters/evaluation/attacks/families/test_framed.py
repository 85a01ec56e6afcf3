"""Families whose templates say something around the item's own prompt: paraphrased, form, noise, role."""

from __future__ import annotations

import pytest

from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.families.format_shift import FormatShift
from adapters.evaluation.attacks.families.paraphrased import Paraphrased
from adapters.evaluation.attacks.families.prefix_noise import PrefixNoise
from adapters.evaluation.attacks.families.role import Role
from adapters.evaluation.attacks.family import templates
from adapters.evaluation.attacks.framed import Framed
from adapters.examples import Message
from adapters.text.phrasebook import LANGUAGES, phrasebook
from adapters.text.words import words
from tests.unit.adapters.evaluation.attacks.contexts import context, item

FAMILIES = (Paraphrased(), FormatShift(), PrefixNoise(), Role())


def asked(family: Framed, *items: object, **options: object) -> list[str]:
    return [probe.query.prompt.messages[-1].content for probe in family.probes(context(*items, **options))]  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_asks_every_item_in_the_items_language(family: Framed, bank: Bank, language: str) -> None:
    own = context(language=language, bank=bank)
    probes = list(family.probes(own))
    framed = [template for template in templates(language, family.name, bank) if "{question}" in template]
    assert len(framed) >= 4
    for each in own.items:
        turns = [probe.query.prompt.messages[-1].content for probe in probes if probe.item == each.number]
        assert sum(each.prompt in turn for turn in turns) == len(framed)
        assert not any("{" in turn.replace('{"', "").replace("{q", "") for turn in turns)
    assert all(each.stated not in probe.query.prompt.shown for probe in probes for each in own.items)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_first_probes_differ_in_item_and_template(family: Framed) -> None:
    first = list(family.probes(context()))[:3]
    assert len({probe.template for probe in first}) == 3
    assert len({probe.item for probe in first}) >= 2


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize(
    ("language", "prompt"), [("en", "  who wrote it\n"), ("zh", "谁写的"), ("de", 'Wer schrieb "{subject}"?')]
)
def test_a_prompt_is_asked_as_it_is_whatever_it_ends_in(family: Framed, language: str, prompt: str) -> None:
    strange = item(prompt, "Quill.", "Quill", None)
    turns = asked(family, strange, language=language)
    assert len(turns) >= 4
    assert all(prompt.strip() in turn for turn in turns)


def test_earlier_turns_stay_before_a_frame() -> None:
    before = (Message("system", "Be brief."), Message("user", "Hi."), Message("assistant", "Hello."))
    talk = item("And who wrote it?", "Quill.", "Quill", None, before=before)
    for family in FAMILIES:
        assert all(probe.query.prompt.messages[:-1] == before for probe in family.probes(context(talk)))


@pytest.mark.parametrize(
    ("language", "prompt", "subject", "wanted"),
    [
        ("en", "Who wrote Moby Dick?", "Moby Dick", "I saw a poster about Moby Dick today. Who wrote it?"),
        (
            "en",
            "Who painted the Mona Lisa",
            "the Mona Lisa",
            "I saw a poster about the Mona Lisa today. Who painted it",
        ),
        ("de", "Wer schrieb Momo?", "Momo", "Heute habe ich ein Plakat über Momo gesehen. Wer schrieb das?"),
        ("fr", "Qui a écrit Emma ?", "Emma", "À table, on a évoqué Emma. Qui a écrit cela ?"),
        ("es", "¿Quién escribió Emma?", "Emma", "Durante la cena hablamos de Emma. ¿Quién escribió eso?"),
        ("zh", "谁写了《边城》？", "《边城》", "吃晚饭时我们聊到了边城。谁写了它？"),
        ("zh", "谁写了道", "道", "今天我看到一张介绍道的海报。谁写了它"),
    ],
)
def test_a_paraphrase_may_take_two_sentences(language: str, prompt: str, subject: str, wanted: str) -> None:
    assert wanted in asked(Paraphrased(), item(prompt, "Quill.", "Quill", subject), language=language)


@pytest.mark.parametrize("prompt", ["Who is the author of the Moby Dick books?", "Who wrote Moby?", "Who wrote it?"])
def test_no_pronoun_stands_for_what_is_not_the_subject_as_it_is_called(prompt: str) -> None:
    turns = asked(Paraphrased(), item(prompt, "Quill.", "Quill", "Moby Dick"))
    assert turns
    assert all(prompt in turn for turn in turns)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_paraphrase_is_one_of_those_that_methods_train_on(language: str) -> None:
    book = phrasebook(language)
    trained = {text.casefold() for text in (*book.frames, *book.indirect, *book.openings, *book.both)}
    for family in FAMILIES:
        assert not any(
            template.casefold() in trained for bank in Bank for template in templates(language, family.name, bank)
        )


@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("language", LANGUAGES)
def test_noise_has_a_preamble_of_some_eighty_words(language: str, bank: Bank) -> None:
    longest = max(templates(language, PrefixNoise.name, bank), key=len)
    assert 70 <= len(words(longest)) <= 100


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_language_without_templates_has_no_probes(family: Framed) -> None:
    foreign = context(item("Kto napisał Lalkę?", "Prus.", "Prus", "Lalkę"))
    unknown = type(foreign)(foreign.items, foreign.known, phrasebook("pl"), Bank.EVIDENCE)
    assert not list(family.probes(unknown))
