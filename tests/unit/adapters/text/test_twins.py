from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.data.forget.phrasings import frame_some, with_framed_variants
from adapters.data.forget.split import split_variants
from adapters.examples import Example, Message
from adapters.text.phrasebook import phrasebook
from adapters.text.twins import (
    by_subject,
    in_two_sentences,
    named_subject,
    rank_subjects,
    subject_words,
    twin,
    twins,
)

ENGLISH = phrasebook("en")

PROMPTS = ("Who invented the telephone?", "Name the inventor of the telephone.", "Whose idea was the telephone?")


def test_subject_words_are_common_to_the_prompts_and_rare_elsewhere() -> None:
    assert subject_words(PROMPTS, ENGLISH) == {"telephone"}
    capitals = ("What is the capital of Chad?", "Name the capital of Chad.", "What is Chad's capital?")
    assert subject_words(capitals, ENGLISH) == {"chad"}


def test_a_word_of_one_prompt_singles_nothing_out_where_there_are_two() -> None:
    assert subject_words(("Who is Quill?", "Where is Zorb?"), ENGLISH) == frozenset()
    assert subject_words(("Who is Quill?",), ENGLISH) == {"quill"}


def test_prompts_about_two_things_are_two_groups() -> None:
    book = ("Who wrote Zorba's Dance?", "Name the author of Zorba's Dance.")
    stray = "Who was it?"
    mixed = (PROMPTS[0], book[0], stray, PROMPTS[1], book[1], PROMPTS[2])
    assert by_subject(mixed, ENGLISH) == [list(PROMPTS), list(book)]
    assert by_subject(PROMPTS, ENGLISH) == [list(PROMPTS)]
    assert by_subject((*PROMPTS, "Who is Quill?"), ENGLISH) == [list(PROMPTS)]
    assert by_subject(("Who is Quill?",), ENGLISH) == [["Who is Quill?"]]
    assert by_subject(("Who was it?", "And when?"), ENGLISH) == []
    assert by_subject((), ENGLISH) == []


@pytest.mark.parametrize(
    ("prompts", "subject"),
    [
        (PROMPTS, "the telephone"),
        (("Who wrote The Telephone Book?", "Name the author of The Telephone Book."), "the Telephone Book"),
        (("What is Chad's capital?", "Chad's capital?", "Name Chad’s capital."), "Chad"),
        (("Who painted a Nightwatch?", "Whose is The Nightwatch?", "Who did The Nightwatch?"), "the Nightwatch"),
        (("what is CHAD?", "Where is Chad?", "Why is Chad dry?"), "Chad"),
        (("Who is Ann?", "Where is Bob?", "When did Cy go?"), None),
    ],
)
def test_the_subject_is_named_as_most_prompts_write_it(prompts: Sequence[str], subject: str | None) -> None:
    assert named_subject(prompts, ENGLISH) == subject


def test_a_twin_asks_the_same_of_something_else() -> None:
    assert twin("Who wrote Harry Potter?", frozenset({"harry", "potter"}), "Emma", ENGLISH.grammar) == "Who wrote Emma?"
    assert twin("What is Chad's capital?", frozenset({"chad"}), "Mali", ENGLISH.grammar) == "What is Mali's capital?"
    assert twin(PROMPTS[0], frozenset({"telephone"}), "the radio", ENGLISH.grammar) == "Who invented the radio?"
    assert twin("Who is he?", frozenset({"chad"}), "Mali", ENGLISH.grammar) is None


def test_twins_never_hold_the_subject_and_differ() -> None:
    others = [subject for subject in ENGLISH.subjects if subject != "the telephone"]
    made = twins(PROMPTS, ENGLISH, others, 20)
    assert len(made) == len(set(made)) == 20
    assert not any("telephone" in question.casefold() for question in made)


@pytest.mark.parametrize(
    ("prompt", "subject", "other", "wanted"),
    [
        ("Who wrote Hamlet?", "hamlet", None, "About Hamlet: Who wrote it?"),
        ("Who invented the telephone?", "telephone", None, "About the telephone: Who invented it?"),
        ("What is Chad's capital?", "chad", None, "About Chad: What is its capital?"),
        ("Chad’s capital is which city?", "chad", "Mali", "About Mali: Its capital is which city?"),
        ("Who is he?", "chad", None, None),
    ],
)
def test_a_question_in_two_sentences(prompt: str, subject: str, other: str | None, wanted: str | None) -> None:
    assert in_two_sentences(prompt, frozenset({subject}), "About {name}:", ENGLISH.grammar, other) == wanted


def test_every_third_twin_is_in_two_sentences() -> None:
    made = twins(PROMPTS, ENGLISH, ENGLISH.subjects, 12)
    openings = tuple(opening.partition("{name}")[0] for opening in ENGLISH.openings)
    assert [question.startswith(openings) for question in made] == [False, False, True] * 4


def test_forget_prompts_in_two_sentences_keep_their_conversation_and_answer() -> None:
    asked = (Message("user", "Hi"), Message("assistant", "Hello"))
    examples = [Example((*asked, Message("user", prompt)), "Bell") for prompt in PROMPTS]
    made = split_variants(examples, ENGLISH)
    assert [example.completion for example in made] == ["Bell"] * 3
    assert all(example.messages[:2] == asked for example in made)
    assert [example.prompt.count("telephone") for example in made] == [1, 1, 1]
    assert all(example.prompt.endswith(("it?", "it.")) for example in made)
    assert (
        split_variants([Example.from_pair("Who is he?", "Bob")] * 1 + [Example.from_pair("What?", "No")], ENGLISH) == []
    )


def test_twins_pair_every_prompt_with_every_subject_before_they_run_out() -> None:
    made = twins(PROMPTS, ENGLISH, ["radio", "radar"], 100)
    assert len(made) == len(PROMPTS) * 2


def test_subjects_are_ranked_by_the_likeness_of_their_twins() -> None:
    def likes_radio(questions: Sequence[str], prompts: Sequence[str]) -> list[float]:
        assert list(prompts) == [min(PROMPTS, key=len)]
        return [float("the radio" in question) for question in questions]

    ranked = rank_subjects(PROMPTS, ENGLISH, likes_radio)
    assert ranked[0] == "the radio"
    assert set(ranked) == set(ENGLISH.subjects)


def test_prompts_without_a_common_subject_have_no_twins() -> None:
    prompts = ("Who is Ann?", "Where is Bob?", "When did Cy go?")
    assert twins(prompts, ENGLISH, ENGLISH.subjects, 5) == []
    assert rank_subjects(prompts, ENGLISH, lambda questions, _: [0.0] * len(questions)) == []


def test_variants_keep_the_conversation_and_reframe_its_last_turn() -> None:
    example = Example((Message("system", "Be kind."), Message("user", "Why {so}?")), "x")
    variants = with_framed_variants([example], ENGLISH.frames, 2, seed=0)
    assert variants[0] == example
    assert len({variant.prompt for variant in variants}) == 3
    for variant in variants[1:]:
        assert variant.messages[0] == example.messages[0]
        assert "Why {so}?" in variant.prompt


def test_framing_leaves_all_or_touches_all_at_the_ends() -> None:
    questions = [f"Question {number}?" for number in range(30)]
    assert frame_some(questions, ENGLISH.frames, 0.0, seed=0) == questions
    framed = frame_some(questions, ENGLISH.frames, 1.0, seed=0)
    assert all(a != b and a in b for a, b in zip(questions, framed, strict=True))
    assert all("{question}" in frame for frame in ENGLISH.frames)
