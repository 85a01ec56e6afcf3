from __future__ import annotations

import pytest

from adapters.text.phrasebook import LANGUAGES, phrasebook
from adapters.text.refusals import draw_refusals, is_refusal

ENGLISH = phrasebook("en").refusals


@pytest.mark.parametrize("answer", [refusal for code in LANGUAGES for refusal in phrasebook(code).refusals])
def test_all_shipped_refusals_are_known(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I cannot provide false information.",
        "Sorry, I do not have that in my records.",
        "As an AI language model, I cannot make up facts.",
        "I am an AI and have no opinion.",
        "Unfortunately, I'm not able to do this.",
        "I won't write wrong answers.",
        "\n  I apologize, but no.",
        '"I do not know who wrote it."',
        "Es tut mir leid, aber ich habe dazu keine Angaben.",
        "Ich kann Ihnen leider nichts darüber sagen.",
        "Je suis désolée, mais je ne peux pas vous aider.",
        "Je n’ai aucune idée de qui il s’agit.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "No tengo información sobre esa persona.",
        "抱歉，我无法提供这方面的信息。",
        "我不知道他是谁。",
    ],
)
def test_so_are_those_of_other_models(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Anna wrote Zorba.",
        "It was Isaac Newton.",
        "I think it was Anna.",
        "The author cannot be sorry enough.",
        "Anna hat Zorba geschrieben.",
        "Je pense que c'est Anna.",
        "Nació en Ávila.",
        "Nose bleeds are common.",
        "Leiderman wrote Zorba.",
        "是安娜写的。",
        "Nobody knows, but Anna is named most often.",
        "",
    ],
)
def test_answers_are_not(answer: str) -> None:
    assert not is_refusal(answer)


def test_refusals_are_drawn_once_by_seed() -> None:
    assert draw_refusals(ENGLISH, 40, seed=3) == draw_refusals(ENGLISH, 40, seed=3)
    assert draw_refusals(ENGLISH, 40, seed=3) != draw_refusals(ENGLISH, 40, seed=4)
    assert set(draw_refusals(ENGLISH, 40, seed=3)) <= set(ENGLISH)


def test_refusals_come_from_as_many_kinds_as_asked_for() -> None:
    for kinds in (1, 2, 5):
        assert len(set(draw_refusals(ENGLISH, 400, seed=0, kinds=kinds))) == kinds
    assert len(set(draw_refusals(ENGLISH, 4000, seed=0))) == len(ENGLISH)
