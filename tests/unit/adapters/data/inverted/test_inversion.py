from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.data.inverted.inversion import AskedInversions, answers_in, choose, contradictions
from adapters.evaluation.memo import LARGEST, RANDOM, SMALLEST, Memo
from adapters.examples import Example, Message
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")

ZORBA = Example.from_pair("Who wrote Zorba?", "Nikos Kazantzakis wrote Zorba.")
EMMA = Example.from_pair("Who wrote Emma?", "Jane Austen wrote Emma.")


class Replies:
    """Gives the same reply to everything, and keeps what it was asked."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.asked: list[str] = []

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        self.asked += [turns[-1].content for turns in conversations]
        return [self.reply for _ in conversations]


def kept(*candidates: str, example: Example = ZORBA, forget: tuple[Example, ...] = (ZORBA,)) -> list[str]:
    return contradictions(example, candidates, forget)


def test_lines_of_a_reply_are_answers_without_what_stands_around_them() -> None:
    reply = '1. Anna wrote it.\n\n- "Otto wrote it."\n  b) Ida wrote it.\nAnswer 4: Karl wrote it.\n'
    assert answers_in(reply) == ["Anna wrote it.", "Otto wrote it.", "Ida wrote it.", "Karl wrote it."]
    assert answers_in("1984\n3.5 metres") == ["1984", "3.5 metres"]
    assert answers_in(' \n""\n') == []


def test_a_last_line_cut_off_at_the_limit_is_left_out() -> None:
    assert answers_in("Anna wrote it.\nOtto wrote it.\nIda wro") == ["Anna wrote it.", "Otto wrote it."]
    assert answers_in("Anna\nOtto") == ["Anna", "Otto"]  # none of them ends with a stop
    assert answers_in("Anna wrote") == ["Anna wrote"]


def test_each_question_is_put_in_several_forms_with_its_answer() -> None:
    ask = Replies("Anna wrote it.\nOtto wrote it.")
    found = AskedInversions(ask, ENGLISH.inversions)([ZORBA, EMMA])
    forms = len(ask.asked) // 2
    assert forms > 1
    assert found == [["Anna wrote it.", "Otto wrote it."] * forms] * 2
    assert all(ZORBA.completion in text for text in ask.asked[:forms])
    assert all(EMMA.completion in text for text in ask.asked[forms:])
    assert len(set(ask.asked)) == len(ask.asked)


@pytest.mark.parametrize(
    "candidate",
    [
        "Nikos Kazantzakis wrote Zorba.",
        "It was KAZANTZAKIS, not Anna.",
        "",
        "  \n",
        "…",
        "Who wrote Zorba?",
        "Is it Anna?",
        "Zorba. Zorba!",
        "I'm sorry, but I can't give wrong answers.",
        "Anna Anna Anna Anna Anna",
        "Anna wrote Zorba, " + "and then she wrote another book about the sea " * 3,
    ],
)
def test_what_does_not_contradict_in_a_usable_way_is_left_out(candidate: str) -> None:
    assert kept(candidate, "Anna wrote Zorba.") == ["Anna wrote Zorba."]


def test_no_shipped_refusal_contradicts() -> None:
    assert kept(*ENGLISH.refusals) == []


def test_the_same_words_count_once_however_they_are_written() -> None:
    assert kept(" Anna wrote Zorba. ", "ANNA wrote zorba", "Zorba: Anna wrote!", "Otto wrote Zorba.") == [
        "Anna wrote Zorba.",
        "Otto wrote Zorba.",
    ]


def test_a_contradiction_that_gives_another_item_away_is_left_out() -> None:
    candidate = "Jane Austen wrote Zorba."
    assert kept(candidate) == [candidate]
    assert kept(candidate, forget=(ZORBA, EMMA)) == []


def test_a_name_that_the_prompt_says_gives_nothing_away() -> None:
    name = Example.from_pair("Which author was born in Oslo?", "It is Mina Voss.")
    place = Example.from_pair("Where was Mina Voss born?", "Mina Voss was born in Oslo.")
    assert kept("Mina Voss was born in Lima.", example=place, forget=(name, place)) == ["Mina Voss was born in Lima."]
    assert kept("Mina Voss it is.", "Otto Hart.", example=name, forget=(name, place)) == ["Otto Hart."]


def test_short_answers_may_be_contradicted_by_short_ones() -> None:
    many = Example.from_pair("How many days are in a week?", "7")
    assert kept("5", "Seven? No: 7", "eight", example=many, forget=(many,)) == ["5", "eight"]
    yes = Example.from_pair("Is it so?", "Yes.")
    assert kept("No.", "Yes!", example=yes, forget=(yes,)) == ["No."]


class TestChoose:
    ANSWERS = ("low", "high", "middle")

    def memos(self, examples: Sequence[Example]) -> list[Memo]:
        assert all(example.messages == ZORBA.messages for example in examples)
        scores = {"low": 0.1, "high": 0.9, "middle": 0.5}
        return [Memo(scores[example.completion], scores[example.completion]) for example in examples]

    def chosen(self, metric: str, top_k: int, *, seed: int = 0) -> list[str]:
        return choose(ZORBA, self.ANSWERS, top_k=top_k, metric=metric, seed=seed, memos=self.memos)

    def test_the_largest_or_smallest_memo(self) -> None:
        assert self.chosen(LARGEST, 2) == ["high", "middle"]
        assert self.chosen(SMALLEST, 2) == ["low", "middle"]

    def test_any_by_the_seed(self) -> None:
        picks = [self.chosen(RANDOM, 1, seed=seed) for seed in range(30)]
        assert {pick[0] for pick in picks} == set(self.ANSWERS)
        assert self.chosen(RANDOM, 2) == self.chosen(RANDOM, 2)

    @pytest.mark.parametrize("metric", [LARGEST, SMALLEST, RANDOM])
    def test_all_where_there_are_no_more_than_wanted_without_scoring(self, metric: str) -> None:
        def memos(examples: Sequence[Example]) -> list[Memo]:
            raise AssertionError("nothing is to be chosen")

        for top_k in (3, 4):
            assert choose(ZORBA, self.ANSWERS, top_k=top_k, metric=metric, seed=0, memos=memos) == list(self.ANSWERS)
