"""What is held out of the sets to be scored, and what is trained on all the same."""

from __future__ import annotations

import pytest

from adapters.data.dataset import Dataset, ForgetExample
from adapters.models.tokens import TokenizedExample
from adapters.training.held_out import split


def forget_of(count: int, *, answers: int = 1) -> tuple[ForgetExample, ...]:
    """Different prompts with so many different answers, in turn."""
    return tuple(
        ForgetExample(TokenizedExample((number,), (10 + number % answers,)), TokenizedExample((number,), (2,)))
        for number in range(count)
    )


def retain_of(first: int, count: int) -> tuple[TokenizedExample, ...]:
    return tuple(TokenizedExample((first + number,), (3,)) for number in range(count))


HARD, GENERAL = retain_of(100, 15), retain_of(200, 8)


def test_every_seventh_example_is_held_out() -> None:
    forget = forget_of(20)
    parts = split(Dataset(forget, HARD, GENERAL))
    assert parts.held_forget == (forget[6], forget[13])
    assert [e.prompt_ids[0] for e in parts.held_retain] == [100, 107, 114, 200, 207]
    assert parts.training.forget == tuple(e for e in forget if e not in parts.held_forget)
    assert parts.training.hard == tuple(e for e in HARD if e not in parts.held_retain)
    assert parts.training.general == tuple(e for e in GENERAL if e not in parts.held_retain)


@pytest.mark.parametrize("given", [HARD[:1], HARD, GENERAL, (*HARD[:8], *GENERAL[:4]), (*HARD, *GENERAL)])
def test_whatever_the_caller_gave_is_trained_on_and_the_same_is_scored(given: tuple[TokenizedExample, ...]) -> None:
    """The nearest example, which is the first, among them."""
    parts = split(Dataset(forget_of(20), HARD, GENERAL, frozenset(given)))
    trained = {*parts.training.hard, *parts.training.general}
    assert trained >= set(given)
    assert trained == {*HARD, *GENERAL} - (set(parts.held_retain) - set(given))
    assert parts.held_retain == split(Dataset(forget_of(20), HARD, GENERAL)).held_retain


def test_no_more_than_a_few_are_scored() -> None:
    parts = split(Dataset(forget_of(1000), retain_of(2000, 700), retain_of(3000, 700)))
    assert (len(parts.held_forget), len(parts.held_retain)) == (24, 24)
    assert len(parts.training.forget) == 1000 - 24
    assert len(parts.training.hard) + len(parts.training.general) == 1400 - 24
    assert parts.held_forget[-1] in forget_of(1000)[950:], "from all over the set"


def test_an_answer_is_never_held_out_whole() -> None:
    """Forty items of one wording each: all are trained on, and some of them scored."""
    forget = forget_of(40, answers=40)
    parts = split(Dataset(forget, HARD, ()))
    assert parts.training.forget == forget
    assert parts.held_forget == forget[::2]
    twice = split(Dataset(forget_of(40, answers=20), HARD, ()))
    assert {e.original.answer_ids for e in twice.training.forget} == {(10 + number,) for number in range(20)}
    assert len(twice.held_forget) == 5
    pair = split(Dataset(forget_of(14, answers=7), HARD, ()))
    assert len(pair.held_forget) == 1, "the second would be that answer's last"


@pytest.mark.parametrize("count", [1, 6])
def test_a_few_forget_prompts_are_trained_on_and_scored(count: int) -> None:
    parts = split(Dataset(forget_of(count), HARD, ()))
    assert parts.training.forget == parts.held_forget == forget_of(count)


@pytest.mark.parametrize(("hard", "general"), [(1, 0), (1, 1), (0, 1)])
def test_a_retain_set_without_any_to_spare_is_trained_on_and_scored(hard: int, general: int) -> None:
    for given in (frozenset[TokenizedExample](), frozenset((*HARD, *GENERAL))):
        dataset = Dataset(forget_of(1), HARD[:hard], GENERAL[:general], given)
        parts = split(dataset)
        assert (parts.training.hard, parts.training.general) == (dataset.hard, dataset.general)
        assert parts.held_retain == (*dataset.hard, *dataset.general)
