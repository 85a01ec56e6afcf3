from __future__ import annotations

import pytest

from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.families.given import Given
from adapters.examples import Message
from adapters.text.phrasebook import LANGUAGES
from tests.unit.adapters.evaluation.attacks.contexts import context, item


@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_item_is_asked_as_it_is(language: str, bank: Bank) -> None:
    own = context(language=language, bank=bank)
    assert [probe.query.prompt.messages for probe in Given().probes(own)] == [each.messages for each in own.items]


def test_a_conversation_is_asked_whole() -> None:
    before = (Message("system", "Be brief."), Message("user", "Hi."), Message("assistant", "Hello."))
    talk = item("who", "Quill.", "Quill", None, number=7, before=before)
    (probe,) = Given().probes(context(talk))
    assert probe.query.prompt.messages == talk.messages
    assert (probe.item, probe.answer, probe.query.samples) == (7, "Quill.", 1)
