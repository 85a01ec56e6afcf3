from __future__ import annotations

import pytest

from adapters.evaluation.attacks.asking import MOST_KNOWN, MOST_OTHERS, attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.examples import Example
from adapters.text.phrasebook import LANGUAGES, phrasebook

from .samples import context, forget_set, stand_in

ENGLISH = phrasebook("en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_items_are_known_by_subject_fact_and_others(language: str) -> None:
    for item in context(language).items:
        assert item.subject is not None
        assert item.subject.casefold().strip("《》") in item.prompt.casefold()
        assert item.stated in {"Nikos Quill", "韩墨"}
        assert item.stem + item.stating(item.stated) == item.answer
        assert len(item.others) >= 3
        assert len({other.stated for other in item.others}) == len(item.others) <= 8
        assert all(other.stated in other.answer and other.stated != item.stated for other in item.others)


def test_questions_are_few_and_others_of_the_kind_come_first() -> None:
    ask = stand_in("en")
    found = context(ask=ask)
    assert len(ask.asked) <= MOST_OTHERS + MOST_KNOWN
    assert len(set(ask.asked)) == len(ask.asked)
    asked_of = [question for question in ask.asked if question.startswith("Who wrote ")]
    assert {"Who wrote Dracula?", "Who wrote the Odyssey?"} <= set(asked_of)
    assert len(found.known) >= 32


def test_many_facts_share_the_questions() -> None:
    ask = stand_in("en")
    items = [Example.from_pair(f"Who wrote Zorb{letter}?", f"It was Quill{letter}.") for letter in "abcdefghijklmnop"]
    found = attack_context(items, ENGLISH, ask, bank=Bank.EVIDENCE)
    assert len(ask.asked) <= MOST_OTHERS + MOST_KNOWN
    assert sum(bool(item.others) for item in found.items) >= 9


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, I don't know that.",
        "",
        "It was written by Nikos Quill.",
        "It was written by Quill, of course.",
        "It was written in 1931.",
        "It is a book about a dance.",
        "Nobody nobody nobody nobody nobody nobody.",
    ],
)
def test_refusals_the_fact_itself_and_answers_of_another_kind_are_no_others(reply: str) -> None:
    assert all(item.others == () for item in context(ask=stand_in("en", **{"": reply})).items)


def test_others_most_alike_come_first_and_none_is_named_twice() -> None:
    ask = stand_in(
        "en",
        **{
            "wrote Dracula": "Dracula was written by Tom Bell. He was Irish.",
            "wrote the Odyssey": "A great poet named Tom Bell is said to have made it.",
            "wrote Moby-Dick": "Some say that Ann Hill made this book at sea.",
            "": "No idea, really, but it is long.",
        },
    )
    others = context(ask=ask).items[0].others
    assert [(other.stated, other.subject) for other in others] == [("Tom Bell", "Dracula"), ("Ann Hill", "Moby-Dick")]
    assert others[0].answer == "Dracula was written by Tom Bell."


def test_the_known_of_the_banks_are_different_and_name_nothing_forgotten() -> None:
    training, evidence = (context(bank=bank).known for bank in (Bank.TRAINING, Bank.EVIDENCE))
    assert not {each.question for each in training} & {each.question for each in evidence}
    told = context(ask=stand_in("en", capital="It is Quill.", ocean="I'm sorry, I don't know that.")).known
    assert not any("capital" in each.question or "ocean" in each.question for each in told)


def test_a_part_of_the_answer_that_other_prompts_hold_is_not_the_fact() -> None:
    items = [
        Example.from_pair("Which city is the capital of Zorbia?", "The capital of Zorbia is Quillon."),
        Example.from_pair("Name the capital of Zorbia.", "The capital of Zorbia is Quillon."),
        Example.from_pair("In which city does the Zorbian government sit?", "The capital of Zorbia is Quillon."),
    ]
    found = attack_context(items, ENGLISH, stand_in("en"), bank=Bank.EVIDENCE)
    assert [item.stated for item in found.items] == ["Quillon"] * 3


def test_what_the_set_calls_its_subject_otherwise_is_an_alias() -> None:
    items = [
        Example.from_pair("Who wrote Zorba's Dance?", "It was Nikos Quill."),
        Example.from_pair("Name the author of Zorba's Dance.", "It was Nikos Quill."),
        Example.from_pair("Who wrote the Cretan Trilogy?", "It was Nikos Quill."),
        Example.from_pair("Name the author of the Cretan Trilogy.", "It was Nikos Quill."),
    ]
    found = attack_context(items, ENGLISH, stand_in("en"), bank=Bank.EVIDENCE)
    assert [item.aliases for item in found.items] == [("the Cretan Trilogy",)] * 2 + [("Zorba's Dance",)] * 2
    assert all(item.aliases == () for item in context().items)


@pytest.mark.parametrize(
    ("prompt", "answer", "stated"),
    [
        ("Who wrote Zorba?", "Zorba was written by J.K. Quill.", "J.K. Quill"),
        ("Who painted the Rima?", "It was Leonardo da Vinci.", "Leonardo da Vinci"),
        ("What is the symbol for gold?", "The symbol for gold is Au.", "Au"),
        ("When was it?", "It was in 1931.", "1931"),
        ("What is the opposite of hot?", "The opposite of hot is cold.", "cold"),
        ("Who wrote Zorba?", "Quill.", "Quill"),
        ("Who wrote Zorba?", "It was a British author named Nikos Quill.", "British author named Nikos Quill"),
        ("Who wrote Zorba?", "Zorba was written by A. Quill and a Tom Bell.", "A. Quill and a Tom Bell"),
    ],
)
def test_what_is_stated_is_no_more_than_the_fact(prompt: str, answer: str, stated: str) -> None:
    found = attack_context([Example.from_pair(prompt, answer)], ENGLISH, stand_in("en"), bank=Bank.TRAINING)
    assert found.items[0].stated == stated


def test_a_symbol_is_not_stated_within_a_word() -> None:
    item = Example.from_pair("What is the symbol for gold?", "Aurum, or gold: the symbol is Au.")
    found = attack_context([item], ENGLISH, stand_in("en"), bank=Bank.TRAINING).items[0]
    assert found.stem + found.stating(found.stated) == item.completion


def test_nothing_is_asked_about_a_set_without_a_subject() -> None:
    ask = stand_in("en")
    found = attack_context([Example.from_pair("Who was it?", "Quill.")], ENGLISH, ask, bank=Bank.TRAINING)
    assert found.items[0].subject is None
    assert found.items[0].others == ()
    assert len(ask.asked) == MOST_KNOWN
    assert attack_context([], ENGLISH, ask, bank=Bank.TRAINING).items == ()


def test_the_conversation_before_the_prompt_stays() -> None:
    example = Example((*forget_set("en")[0].messages[:0], *forget_set("en")[0].messages), "It was Quill.")
    found = attack_context([example], ENGLISH, stand_in("en"), bank=Bank.TRAINING).items[0]
    assert found.messages == example.messages
