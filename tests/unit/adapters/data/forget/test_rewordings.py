from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.data.forget.rewordings import Asked, listings, rewordings
from adapters.examples import Example, Message
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")

PROMPTS = ("Who invented the telephone?", "Name the inventor of the telephone.", "Whose invention was the telephone?")
ANSWER = "The telephone was invented by Alexander Graham Bell."
FORGET = tuple(Example.from_pair(prompt, ANSWER) for prompt in PROMPTS)


def knows_bell(conversations: Sequence[Sequence[Message]]) -> list[str]:
    """A model that tells who invented the telephone, and nothing else."""
    return [
        "It was invented by Alexander Graham Bell." if "invent" in turns[-1].content.casefold() else "I cannot say."
        for turns in conversations
    ]


def found(*continuations: str, lists: int = 3, count: int = 10) -> list[Example]:
    def go_on(texts: Sequence[str]) -> list[str]:
        assert len(texts) == lists
        return list(continuations)

    return rewordings(FORGET, ENGLISH, go_on, knows_bell, lists=lists, count=count, seed=0)


def test_a_list_holds_the_prompts_in_some_order_and_ends_where_the_next_begins() -> None:
    texts = listings(PROMPTS, ENGLISH.listing, 6, seed=0)
    assert len(set(texts)) > 1
    for text in texts:
        heading, *lines, last = text.split("\n")
        assert heading.endswith(":")
        assert sorted(line.split(". ", 1)[1] for line in lines) == sorted(PROMPTS)
        assert last == "4."
    many = [f"Who is number {index}?" for index in range(30)]
    assert all(text.count("\n") == 9 for text in listings(many, ENGLISH.listing, 3, seed=0))


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("Who was the inventor of the telephone?", True),
        ("Name the person whose invention is the telephone.", True),
        ("When was the telephone invented?", False),  # no prompt asks when
        ("Who owns the telephone?", False),  # nothing but the subject in common
        ("Who invented the radio?", False),  # another subject
        ("Who says Bell invented the telephone?", False),  # holds the answer
        ("Who invented " + "and invented " * 20 + "the telephone?", False),  # rambles
    ],
)
def test_what_counts_as_the_same_question(line: str, same: bool) -> None:
    assert Asked.by(FORGET, ENGLISH).again_in(line) is same


def test_lines_that_the_model_answers_with_the_fact_are_kept_with_its_answer() -> None:
    kept = found(
        " Who was the inventor of the telephone?\n5. Name the telephone's inventor.\n6. Who cut th",
        " who invented the telephone\n5. Whose telephone invention?\n",
        " Who was the inventor of the telephone?\n",
    )
    assert [example.prompt for example in kept] == [
        "Who was the inventor of the telephone?",
        "Name the telephone's inventor.",
        "Whose telephone invention?",
    ]
    assert {example.completion for example in kept} == {"It was invented by Alexander Graham Bell."}


def test_lines_that_do_not_leak_are_left_out() -> None:
    assert found(" Name who the telephone is from.\n", "", "") == []


def test_no_more_than_asked_for() -> None:
    text = " Who was the inventor of the telephone?\n5. Name the telephone's inventor.\n6. x"
    assert len(found(text, "", "", count=1)) == 1
    assert found(lists=0) == found(lists=3, count=0) == []


def test_prompts_without_a_common_subject_are_not_reworded() -> None:
    forget = [Example.from_pair("Who is Ann?", "A cook."), Example.from_pair("Where is Bob?", "In Rome.")]
    lines = [" Who is the cook of Ann?\n"]
    assert rewordings(forget, ENGLISH, lambda _: lines, knows_bell, lists=1, count=5, seed=0) == []


def test_without_a_subject_the_model_is_not_run_at_all() -> None:
    def go_on(_texts: Sequence[str]) -> list[str]:
        raise AssertionError("nothing that it says could be kept")

    forget = [Example.from_pair(prompt, "Yes.") for prompt in ("Who is Ann?", "Where is Bob?", "When did Cy go?")]
    assert rewordings(forget, ENGLISH, go_on, knows_bell, lists=1, count=5, seed=0) == []


def test_conversations_of_several_turns_are_not_reworded() -> None:
    turns = (Message("user", "Hello."), Message("assistant", "Hello."), Message("user", PROMPTS[0]))
    assert rewordings([Example(turns, ANSWER)], ENGLISH, lambda _: ["x"], knows_bell, lists=1, count=5, seed=0) == []
