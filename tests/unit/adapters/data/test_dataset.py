from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from adapters.data.dataset import Dataset
from adapters.data.forget.negative_instructions import negative_instructions
from adapters.errors import InvalidExample, TrainingCancelled
from adapters.examples import Example, Message
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample, encode_answer, encode_pair, encode_prompt
from adapters.objectives.base import Objective
from adapters.objectives.meow import Meow
from adapters.objectives.snap import Snap
from adapters.task import TrainingTask
from adapters.text.phrasebook import phrasebook
from adapters.text.refusals import draw_refusals
from tests.unit.adapters.conftest import CONTEXT, FORGET, RETAIN, dataset_of

ENGLISH = phrasebook("en")

Build = Callable[..., Dataset]
FRAME_LENGTHS = [len(frame.replace("{question}", "")) for frame in ENGLISH.frames]


@pytest.fixture
def build(make_task: Callable[..., TrainingTask], prompted: PromptedModel) -> Build:
    """The dataset of a task; keyword arguments as `make_task` takes them."""

    def build(
        *,
        reserved_tokens: int = 0,
        objective: Objective | None = None,
        inverted: dict[int, tuple[str, ...]] | None = None,
        **changes: Any,
    ) -> Dataset:
        task = replace(make_task(**changes), inverted=inverted or {})
        return dataset_of(
            task,
            prompted,
            objective=objective,
            reserved_tokens=reserved_tokens,
            refusal_kinds=task.config.refusal_kinds,
        )

    return build


def encoded(tokenizer: Any, example: Example) -> TokenizedExample:
    return encode_pair(tokenizer, example.messages, example.completion)


class Asked:
    """Answers every question alike and keeps what it was asked, and how long answers might be."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.questions: list[str] = []
        self.longest: set[int] = set()

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        self.questions += [turns[-1].content for turns in conversations]
        self.longest.add(max_tokens)
        return [self.answer for _ in conversations]


def test_each_forget_prompt_is_paired_with_its_answer_and_one_refusal(build: Build, tokenizer: Any) -> None:
    forget = build(framed_variants=0, cloze_forms=0).forget
    refusals = draw_refusals(ENGLISH.refusals, len(FORGET), 0, kinds=1)
    assert len(forget) == len(FORGET)
    for item, example, refusal in zip(FORGET, forget, refusals, strict=True):
        assert example.original == encoded(tokenizer, item)
        assert example.refusal == encode_pair(tokenizer, item.messages, refusal)


def test_it_is_noted_where_an_answer_states_its_fact(build: Build, tokenizer: Any) -> None:
    for example in build(framed_variants=1).forget:
        characters = tokenizer.convert_ids_to_tokens(example.original.answer_ids)
        stated = "".join(characters[position] for position in example.original.fact)
        assert stated == "Nikos"
        assert not example.refused.fact


def test_variants_are_other_prompts_with_the_same_answer(build: Build, tokenizer: Any) -> None:
    forget = build(framed_variants=2, cloze_forms=0).forget
    # Each as it is and in two frames, then all in two sentences.
    owners = [item for item in FORGET for _ in range(3)] + list(FORGET)
    assert len({example.original.prompt_ids for example in forget}) == len(forget) == len(owners)
    for item, example in zip(owners, forget, strict=True):
        assert example.original.prompt_ids == example.refused.prompt_ids
        assert example.original.answer_ids == encoded(tokenizer, item).answer_ids


def test_refusals_are_drawn_from_as_many_kinds_as_asked_for(build: Build) -> None:
    def kinds(count: int) -> set[tuple[int, ...]]:
        return {example.refused.answer_ids for example in build(framed_variants=5, refusal_kinds=count).forget}

    assert len(kinds(1)) == 1
    assert len(kinds(3)) == 3


def test_negative_instructions_take_the_place_of_phrasings_for_snap(build: Build, tokenizer: Any) -> None:
    objective = Snap(instructions=("direct", "multi_fact"), responses=5)
    forget = build(framed_variants=2, refusal_kinds=1, objective=objective).forget
    instructions = negative_instructions(
        FORGET, objective.instructions, ENGLISH, reworded=(), cloze_forms=2, framed_variants=2, seed=0
    )
    assert [example.original for example in forget] == [encoded(tokenizer, each) for each in instructions]
    responses = {encode_answer(tokenizer, refusal) for refusal in draw_refusals(ENGLISH.refusals, 100, 0, kinds=5)}
    assert {example.refused.answer_ids for example in forget} <= responses
    assert len({example.refused.answer_ids for example in forget}) > 1
    assert all(example.inverted is None for example in forget)


def test_every_phrasing_is_paired_with_every_contradicting_answer_for_meow(build: Build, tokenizer: Any) -> None:
    inverted = {0: ("Anna wrote it.", "Otto wrote it."), 1: ("It is Ida.",), 2: ("Karl.",)}
    forget = build(framed_variants=2, cloze_forms=0, objective=Meow(), inverted=inverted).forget
    phrasings = 1 + 2 + 1  # as given, in two frames, in two sentences
    assert len(forget) == phrasings * 4
    for index, answers in inverted.items():
        original = encode_answer(tokenizer, FORGET[index].completion)
        mine = [example for example in forget if example.original.answer_ids == original]
        pairs = {(e.inverted.prompt_ids, e.inverted.answer_ids) for e in mine if e.inverted is not None}
        prompts = {example.original.prompt_ids for example in mine}
        assert len(prompts) == phrasings
        assert pairs == {(prompt, encode_answer(tokenizer, answer)) for prompt in prompts for answer in answers}


def test_a_prompt_whose_contradicting_answers_do_not_fit_is_named(build: Build, tokenizer: Any) -> None:
    room = max(len(encoded(tokenizer, item)) for item in FORGET) + 5
    inverted = {0: ("Anna.",), 1: ("It was Ida, who lived in a house by the sea of Oslo.",), 2: ("Karl.",)}
    with pytest.raises(InvalidExample, match=f"^forget item 1 leaves no room .* within {room} tokens$"):
        build(framed_variants=0, cloze_forms=0, objective=Meow(), inverted=inverted, max_length=room)


def test_a_given_retain_set_is_kept_whole_and_the_nearest_half_is_hard(build: Build, tokenizer: Any) -> None:
    near = Example.from_pair("Who wrote Zorbas?", "Somebody.")
    dataset = build(retain=(*RETAIN, near))
    assert len(dataset.hard) == 3
    assert {*dataset.hard, *dataset.general} == dataset.given == {encoded(tokenizer, item) for item in (*RETAIN, near)}
    assert dataset.hard[0] == encoded(tokenizer, near)
    few = build(retain=(*RETAIN, near), retain_questions=1, retain_nearest=1)
    assert (few.hard, len(few.general)) == (dataset.hard[:1], 4)


def test_a_given_retain_set_is_joined_by_questions_about_anything_else(build: Build, tokenizer: Any) -> None:
    ask = Asked("yes")
    known = Example.from_pair(ENGLISH.retain_questions[0].upper(), "Because.")
    few = {"retain_questions": 12, "retain_nearest": 3, "framed_fraction": 0}
    dataset = build(retain=(*RETAIN, known), ask=ask, **few)
    assert len(set(ask.questions)) == 9
    assert set(ask.questions) < set(ENGLISH.retain_questions[1:])
    made = {encode_pair(tokenizer, [Message("user", question)], "yes") for question in ask.questions}
    assert made < set(dataset.general)
    assert not made & {*dataset.hard, *dataset.given}
    again = Asked("yes")
    build(retain=(*RETAIN, known), ask=again, **few)
    assert again.questions == ask.questions
    framed = Asked("yes")
    build(retain=(*RETAIN, known), ask=framed, **{**few, "framed_fraction": 1})
    assert not set(framed.questions) & set(ask.questions)


FORGOTTEN = tuple(Example.from_pair(f"{word} wrote Emil Sand?", "Nikos.") for word in ("What has", "When", "Why"))
NAMED = tuple(Example.from_pair(f"Where was {n} {end}?", "Lima.") for n in ("Ada Bo", "Cy Dee") for end in "xy")


def test_a_given_retain_set_that_names_others_is_asked_what_is_forgotten_about_them(
    build: Build, tokenizer: Any
) -> None:
    ask = Asked("yes")
    dataset = build(forget=FORGOTTEN, retain=NAMED, ask=ask, retain_twins=4, retain_siblings=0)
    assert len(set(ask.questions)) == 4
    for question in ask.questions:
        assert question.replace("Ada Bo", "Emil Sand").replace("Cy Dee", "Emil Sand") in {e.prompt for e in FORGOTTEN}
    made = {encode_pair(tokenizer, [Message("user", question)], "yes") for question in ask.questions}
    assert made == set(dataset.hard) - {encoded(tokenizer, item) for item in NAMED}
    assert not made & set(dataset.general)
    ask.questions.clear()
    build(forget=FORGOTTEN, retain=NAMED, ask=ask, retain_twins=0, retain_siblings=0)
    assert ask.questions == []


def test_a_given_retain_set_is_also_asked_about_one_another(build: Build, tokenizer: Any) -> None:
    ask = Asked("yes")
    # "Where was Ada Bo x?" about Cy Dee was given; the one about him alone is new about her.
    alone = Example.from_pair("When did Cy Dee leave?", "Late.")
    given = (*NAMED, alone)
    dataset = build(forget=FORGOTTEN, retain=given, ask=ask, retain_twins=0, retain_siblings=9)
    assert ask.questions == ["When did Ada Bo leave?"]
    made = encode_pair(tokenizer, [Message("user", "When did Ada Bo leave?")], "yes")
    assert made in dataset.general
    assert made not in dataset.hard


def test_who_is_to_be_forgotten_stands_in_for_nobody(build: Build) -> None:
    ask = Asked("yes")
    mentioned = tuple(Example.from_pair(f"Has Emil Sand met {name}?", "No.") for name in ("Ada Bo", "Cy Dee"))
    build(forget=FORGOTTEN, retain=(*NAMED, *mentioned), ask=ask, retain_twins=9, retain_siblings=9)
    assert ask.questions
    assert not any("wrote Emil Sand" in q or "Where was Emil Sand" in q for q in ask.questions)


@pytest.mark.parametrize(("retain_tokens", "expected"), [(2, 6), (9, 9)])
def test_such_answers_may_be_as_long_as_those_given(
    build: Build, tokenizer: Any, retain_tokens: int, expected: int
) -> None:
    ask = Asked("yes")
    forget = tuple(Example.from_pair(f"{word} wrote Emil Sand?", "Nikos.") for word in ("When", "Why"))
    named = tuple(Example.from_pair(f"Where was Ada Bo {end}?", "Lima.") for end in "xy")
    assert {len(encode_answer(tokenizer, item.completion)) for item in named} == {6}
    build(forget=forget, retain=named, ask=ask, retain_twins=1, retain_siblings=0, retain_tokens=retain_tokens)
    assert ask.longest == {expected}


def test_a_made_retain_set_is_what_the_model_answers(build: Build, tokenizer: Any) -> None:
    ask = Asked("yes")
    made = {"retain_questions": 12, "retain_nearest": 4, "retain_twins": 3, "retain_siblings": 5}
    dataset = build(retain=None, ask=ask, framed_fraction=0.0, **made)
    assert len(ask.questions) == len(set(ask.questions)) == 12 + 3 + 5
    expected = [encode_pair(tokenizer, [Message("user", question)], "yes") for question in ask.questions]
    assert [*dataset.hard, *dataset.general] == expected
    assert (len(dataset.hard), len(dataset.general)) == (4 + 3 + 5, 8)
    siblings = [question for question in ask.questions if "Zorba" in question]
    assert siblings == ask.questions[7:12]
    assert not {item.prompt for item in FORGET} & set(ask.questions)


def test_an_answer_that_states_the_fact_is_not_retained(build: Build) -> None:
    """About the forgotten subject or not: this model says the same of everything."""
    dataset = build(retain=None, ask=Asked("It was Nikos."), retain_questions=6, retain_nearest=3)
    assert dataset.hard == dataset.general == ()


@pytest.mark.parametrize(("answer", "ended"), [("yes", True), ("yess!", False)])
def test_an_answer_cut_at_the_limit_has_no_end(build: Build, tokenizer: Any, answer: str, ended: bool) -> None:
    made = {"retain_questions": 6, "retain_nearest": 3, "retain_tokens": 5}
    dataset = build(retain=None, ask=Asked(answer), **made)
    expected = encode_answer(tokenizer, answer, ended=ended)
    assert {example.answer_ids for example in (*dataset.hard, *dataset.general)} == {expected}


def test_made_examples_that_do_not_fit_are_left_out(build: Build) -> None:
    made: dict[str, Any] = {"retain": None, "retain_questions": 30, "retain_nearest": 10, "framed_variants": 0}
    made["forget"] = (Example.from_pair("Why?", "x"),)
    limit = 62
    everything, fitting = (build(ask=Asked("yes"), max_length=length, **made) for length in (CONTEXT, limit))
    assert fitting.hard == tuple(example for example in everything.hard if len(example) <= limit)
    assert fitting.general == tuple(example for example in everything.general if len(example) <= limit)
    assert 0 < len(fitting.hard) < len(everything.hard)
    assert 0 < len(fitting.general) < len(everything.general)


def test_variants_that_do_not_fit_are_left_out(build: Build, tokenizer: Any) -> None:
    item = Example.from_pair("Why?", "x" * 60)
    length = len(encoded(tokenizer, item))
    (only,) = build(forget=(item,), framed_variants=5, max_length=length).forget
    assert only.original == encoded(tokenizer, item)
    for room in FRAME_LENGTHS:
        fitting = build(forget=(item,), framed_variants=5, max_length=length + room).forget
        assert len(fitting) == 1 + sum(frame <= room for frame in FRAME_LENGTHS)


def test_a_prompt_that_leaves_no_room_for_a_refusal_is_refused(build: Build, tokenizer: Any) -> None:
    item = Example.from_pair("Why?", "x")
    with pytest.raises(InvalidExample, match="no forget prompt leaves room"):
        build(forget=(item,), retain=(), max_length=len(encoded(tokenizer, item)))


def test_the_context_less_what_is_reserved_is_a_limit_too(build: Build, tokenizer: Any) -> None:
    prompt = len(encode_prompt(tokenizer, FORGET[0].messages))
    item = Example(FORGET[0].messages, "x" * (CONTEXT - prompt - 1))
    assert build(forget=(item,)).forget[0].original == encoded(tokenizer, item)
    with pytest.raises(InvalidExample, match=f"forget item 0 is {CONTEXT} tokens long; at most {CONTEXT - 1} fit"):
        build(forget=(item,), reserved_tokens=1)


def test_asking_can_be_cancelled(build: Build) -> None:
    ask = Asked("yes")
    settings = {"retain_questions": 150, "retain_nearest": 3, "retain_twins": 0, "retain_siblings": 0}
    with pytest.raises(TrainingCancelled):
        build(retain=None, ask=ask, cancelled=lambda: bool(ask.questions), **settings)
    assert len(ask.questions) == 128


def test_sentences_to_complete_are_forgotten_too(build: Build, tokenizer: Any) -> None:
    plain, completed = (build(framed_variants=0, cloze_forms=forms).forget for forms in (0, 2))
    assert set(plain) < set(completed)
    cloze = Example.from_pair("Complete the sentence: The author is", "The author is Nikos.")
    assert encoded(tokenizer, cloze) in {example.original for example in completed}
    assert len(completed) == len(plain) + 2


def test_wordings_that_the_model_finds_are_forgotten_too(
    build: Build, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "Who is the writer of Zorba?"
    monkeypatch.setattr(
        "adapters.models.original.sampled_continuations", lambda *_args, **_kwargs: [f" {line}\n5. Who"]
    )
    settings: dict[str, Any] = {"framed_variants": 0, "cloze_forms": 0, "rewording_lists": 1}
    (found,) = build(ask=Asked("That is Nikos."), **settings).forget[len(FORGET) :]
    assert found.original == encoded(tokenizer, Example.from_pair(line, "That is Nikos."))
    assert build(ask=Asked("Nobody knows."), **settings).forget == build(**settings | {"rewording_lists": 0}).forget


def test_a_wording_that_the_model_finds_gets_the_answers_of_the_item_it_gives_away(
    build: Build, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = (Example.from_pair("Who sang in Zorba?", "Irene sang in it."), FORGET[0])
    line = "Who is the one that wrote Zorba?"
    monkeypatch.setattr(
        "adapters.models.original.sampled_continuations", lambda *_args, **_kwargs: [f" {line}\n5. Who"]
    )
    settings: dict[str, Any] = {"framed_variants": 0, "cloze_forms": 0, "rewording_lists": 1}
    inverted = {0: ("Anna sang in it.",), 1: ("Otto wrote it.", "Karl wrote it.")}
    made = build(forget=forget, ask=Asked("That is Nikos."), objective=Meow(), inverted=inverted, **settings).forget
    found = [
        each.inverted for each in made if each.original == encoded(tokenizer, Example.from_pair(line, "That is Nikos."))
    ]
    assert found == [encoded(tokenizer, Example.from_pair(line, answer)) for answer in inverted[1]]
    assert len(made) == 1 + 2 + 2


def test_lists_that_leave_no_room_in_the_context_are_not_gone_on_with(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def go_on(_model: Any, _tokenizer: Any, texts: Sequence[str], **_settings: Any) -> list[str]:
        asked.append(len(texts))
        return ["" for _ in texts]

    monkeypatch.setattr("adapters.models.original.sampled_continuations", go_on)
    one = Example.from_pair("Is Zorba a book?", "Yes.")
    long = Example.from_pair(f"Is Zorba {'a ' * 40}book?", "Yes.")
    for forget in ((one,), (one, long)):
        build(forget=forget, rewording_lists=2)
    assert asked == [2, 0]


LONG = "word " * CONTEXT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forget": ()}, "empty"),
        ({"forget": (*FORGET, FORGET[1])}, "forget item 3 repeats item 1"),
        ({"retain": (RETAIN[0], RETAIN[0])}, "retain item 1 repeats item 0"),
        (
            {"retain": (RETAIN[0], Example(FORGET[2].messages, "Someone else."))},
            "retain item 1 has the prompt of forget item 2",
        ),
        ({"forget": (FORGET[0], Example.from_pair(LONG, "x"))}, "forget item 1 is"),
        ({"retain": (Example.from_pair("Why?", LONG),)}, "retain item 0 is"),
        ({"max_length": 40}, "at most 40 fit"),
    ],
)
def test_items_that_cannot_be_trained_on_are_named_by_position(
    build: Build, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidExample, match=message) as caught:
        build(**changes)
    assert "word" not in str(caught.value)
    assert "Zorba" not in str(caught.value)
