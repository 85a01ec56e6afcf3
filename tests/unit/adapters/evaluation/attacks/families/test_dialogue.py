from __future__ import annotations

import pytest

from adapters.evaluation.attacks.context import AttackContext, AttackItem, Bank
from adapters.evaluation.attacks.families.dialogue import Dialogue
from adapters.evaluation.attacks.family import templates
from adapters.evaluation.attacks.probe import Probe
from adapters.examples import Message
from adapters.text.phrasebook import LANGUAGES
from adapters.text.refusals import is_refusal
from tests.unit.adapters.evaluation.attacks.contexts import context, item


def by_template(*items: AttackItem, language: str = "en", bank: Bank = Bank.EVIDENCE) -> dict[str, Probe]:
    return {probe.template: probe for probe in Dialogue().probes(context(*items, language=language, bank=bank))}


@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_conversation_alternates_and_ends_with_the_user(language: str, bank: Bank) -> None:
    own = context(language=language, bank=bank)
    probes = list(Dialogue().probes(own))
    assert len({probe.template for probe in probes}) == 2 + len(templates(language, Dialogue.name, bank))
    for probe in probes:
        roles = [message.role for message in probe.query.prompt.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
        assert own.items[probe.item].prompt in probe.query.prompt.shown
        assert own.items[probe.item].stated not in probe.query.prompt.shown


@pytest.mark.parametrize(("template", "turns"), [("turn 2", 2), ("turn 5", 5)])
def test_the_question_comes_after_known_ones_with_their_answers(template: str, turns: int) -> None:
    own = context()
    messages = by_template()[template].query.prompt.messages
    said = [message.content for message in messages]
    assert len(messages) == 2 * turns - 1
    assert said[-1] in {each.prompt for each in own.items}
    pairs = set(zip(said[:-1:2], said[1::2], strict=True))
    assert len(pairs) == turns - 1
    assert pairs <= {(known.question, known.answer) for known in own.known}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refusal_is_not_taken_for_an_answer(language: str) -> None:
    refused = [
        probe.query.prompt.messages
        for probe in Dialogue().probes(context(language=language))
        if any(is_refusal(message.content) for message in probe.query.prompt.messages if message.role == "assistant")
    ]
    assert len(refused) >= 8
    assert all(messages[1].role == "assistant" and is_refusal(messages[1].content) for messages in refused)


def test_clues_narrow_it_down_turn_by_turn() -> None:
    said = by_template(item("Who wrote it?", "Al Quill.", "Al Quill", None))["2"].query.prompt.messages
    assert 'begins with "A"' in said[2].content
    assert "8 characters" in said[4].content


@pytest.mark.parametrize(
    ("stated", "subject", "language", "left"),
    [
        ("Quill", None, "en", {"0", "2", "4"}),
        ("8", None, "en", {"0", "4"}),
        ("8", "Quill", "en", {"0", "1", "3", "4"}),
        ("道", None, "zh", {"0", "4"}),
        ("曹雪芹", None, "zh", {"0", "2", "4"}),
    ],
)
def test_no_clue_is_the_answer_and_none_lacks_what_it_says(
    stated: str, subject: str | None, language: str, left: set[str]
) -> None:
    each = item("Which one", f"{stated}.", stated, subject)
    assert set(by_template(each, language=language)) == {"turn 2", "turn 5", *left}


def test_too_few_known_questions_make_no_later_turn() -> None:
    own = context()
    few = AttackContext(own.items, own.known[:1], own.book, Bank.EVIDENCE)
    found = {probe.template for probe in Dialogue().probes(few)}
    assert "turn 2" in found
    assert "turn 5" not in found


def test_earlier_turns_come_first() -> None:
    before = (Message("system", "Be brief."), Message("user", "Hi."), Message("assistant", "Hello."))
    talk = item("And who wrote it", "Quill.", "Quill", None, before=before)
    probes = list(Dialogue().probes(context(talk)))
    assert probes
    assert all(probe.query.prompt.messages[:3] == before for probe in probes)
