from __future__ import annotations

from adapters.data.forget.negative_instructions import (
    DIRECT,
    INDIRECT,
    KINDS,
    MULTI_FACT,
    PARAPHRASED,
    negative_instructions,
)
from adapters.examples import Example, Message
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")

FORGET = (
    Example.from_pair("Who wrote Zorba?", "Nikos wrote Zorba."),
    Example.from_pair("When was Zorba written?", "In 1946."),
    Example((Message("system", "Be {brief}."), Message("user", "Who sang in Zorba?")), "Nobody."),
)


REWORDED = (Example.from_pair("Who is the writer of Zorba?", "It was Nikos."),)


def made(*kinds: str, forget: tuple[Example, ...] = FORGET, cloze_forms: int = 2) -> list[Example]:
    return negative_instructions(
        forget, kinds, ENGLISH, reworded=REWORDED, cloze_forms=cloze_forms, framed_variants=2, seed=0
    )


def test_direct_instructions_are_the_prompts_as_given() -> None:
    assert made(DIRECT) == list(FORGET)


def test_paraphrases_put_the_same_question_in_other_words_and_never_as_given() -> None:
    variants = made(PARAPHRASED)
    assert len(variants) == 2 * len(FORGET) + len(FORGET) + 1  # two frames each, all in two sentences, one reworded
    assert variants[-1:] == list(REWORDED)
    assert not set(variants) & set(FORGET)
    assert sum(FORGET[0].prompt in variant.prompt for variant in variants) == 2
    assert any("Who wrote it?" in variant.prompt for variant in variants)


def test_indirect_instructions_ask_around_the_question_or_have_its_answer_completed() -> None:
    variants = made(INDIRECT)
    sentence = Example.from_pair("Who wrote Zorba?", "Zorba was written by Nikos.")
    completing = [each for each in made(INDIRECT, forget=(sentence,)) if "Zorba was written by" in each.prompt]
    assert len(completing) == 2
    assert len(made(INDIRECT, forget=(sentence,), cloze_forms=0)) == len(made(INDIRECT, forget=(sentence,))) - 2
    assert not any("Nikos" in each.prompt for each in completing)
    assert len({variant.prompt for variant in variants}) == len(variants) >= len(FORGET)
    assert not set(variants) & {*FORGET, *made(PARAPHRASED)}


def test_two_facts_are_asked_for_in_one_turn_of_the_same_conversation() -> None:
    """The third item's conversation begins otherwise, so it goes with neither."""
    (pair,) = made(MULTI_FACT)
    assert FORGET[0].prompt in pair.prompt
    assert FORGET[1].prompt in pair.prompt
    assert pair.completion == "Nikos wrote Zorba. In 1946."
    assert made(MULTI_FACT, forget=FORGET[:1]) == []
    assert len(made(MULTI_FACT, forget=FORGET[:2])) == 2  # the second with the first as well
    braces = tuple(Example.from_pair(f"What is {{second}} in {number}?", "x") for number in "ab")
    assert all({"a?", "b?"} <= set(each.prompt.split()) for each in made(MULTI_FACT, forget=braces))


def test_what_came_before_in_the_conversation_stays() -> None:
    for example in set(made(DIRECT, PARAPHRASED, INDIRECT)) - set(REWORDED):
        earlier = example.messages[:-1]
        assert earlier == (FORGET[2].messages[:1] if example.completion == "Nobody." else ())


def test_kinds_add_up_and_none_comes_twice() -> None:
    everything = made(*KINDS)
    assert len(set(everything)) == len(everything)
    assert set(everything) == {each for kind in KINDS for each in made(kind)}
    assert made() == []
