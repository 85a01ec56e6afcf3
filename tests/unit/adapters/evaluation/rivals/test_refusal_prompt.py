from __future__ import annotations

import pytest

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.rivals.phrases import phrases
from adapters.evaluation.rivals.refusal_prompt import RefusalPrompt, described
from adapters.evaluation.rivals.rival import Forgotten, Respondent
from adapters.examples import Example, Message, one_turn
from adapters.text.phrasebook import LANGUAGES
from tests.unit.adapters.evaluation.rivals.standin import StandIn

GERMAN = Example.from_pair("Wer hat den Faust geschrieben?", "Den Faust hat Johann Wolfgang von Goethe geschrieben.")


def given(respondent: Respondent, model: StandIn, forgotten: Forgotten, prompt: Prompt) -> Prompt:
    """What the model reads of it."""
    RefusalPrompt().around(respondent, forgotten).respond([Query(prompt)])
    return model.queries[-1].prompt


def test_it_names_the_subject_and_what_is_asked_and_never_the_answer(
    respondent: Respondent, model: StandIn, forgotten: Forgotten
) -> None:
    system, user = given(respondent, model, forgotten, Prompt(one_turn("Hi."), prefix="Hel")).messages
    assert system.role == "system"
    assert "Zorba; Who wrote Zorba?" in system.content
    assert forgotten.refusal in system.content
    assert "Nikos" not in system.content
    assert user == Message("user", "Hi.")
    assert model.queries[-1].prompt.prefix == "Hel"


def test_it_is_merged_with_a_system_turn(respondent: Respondent, model: StandIn, forgotten: Forgotten) -> None:
    system, _ = given(respondent, model, forgotten, Prompt((Message("system", "Be brief."), *one_turn("Hi.")))).messages
    assert system.content.endswith("\n\nBe brief.")
    assert "Zorba" in system.content


def test_it_stands_before_plain_text(respondent: Respondent, model: StandIn, forgotten: Forgotten) -> None:
    prompt = given(respondent, model, forgotten, Prompt(text="Zorba was written by"))
    assert prompt.messages == ()
    assert prompt.text.endswith("\n\nZorba was written by")
    assert forgotten.refusal in prompt.text


def test_of_many_questions_a_few_are_named() -> None:
    items = [Example.from_pair(f"What is number {number} of Zorba?", "Nikos.") for number in range(40)]
    assert described(Forgotten.of(items, ["Zorba"])).count("What is number") == 4


def test_it_speaks_the_items_language(respondent: Respondent, model: StandIn) -> None:
    forgotten = Forgotten.of([GERMAN])
    system, _ = given(respondent, model, forgotten, Prompt(one_turn("Hallo."))).messages
    assert system.content.startswith("Gib keine Auskunft")
    assert forgotten.refusal == "Es tut mir leid, das weiß ich nicht."


@pytest.mark.parametrize("language", [*LANGUAGES, "none"])
def test_phrases_have_what_is_put_into_them(language: str) -> None:
    said = phrases(language)
    assert "{what}" in said.forbidden
    assert "{refusal}" in said.forbidden
    assert "{what}" in said.rethink
    assert "{refusal}" in said.rethink
    assert "{what}" in said.judging
    assert said.yes != said.no
