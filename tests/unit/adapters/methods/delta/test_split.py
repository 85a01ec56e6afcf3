"""What is held out of the sets, and who gets to see what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from adapters.data.dataset import Dataset, ForgetExample
from adapters.methods.delta import train as training
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import FORGET as FORGET_VIEW
from adapters.objectives.base import INVERTED, REFUSAL
from adapters.objectives.base import RETAIN as RETAIN_VIEW
from adapters.objectives.registry import make_objective
from adapters.objectives.view import View
from adapters.registry import get_method
from adapters.training.groups import groups
from adapters.training.held_out import split
from adapters.training.pair import TrainablePair
from tests.unit.adapters.methods.delta.conftest import MakeTask, parts_of


def forget_of(count: int, *, answers: int = 1) -> tuple[ForgetExample, ...]:
    """Different prompts with so many different answers, in turn."""
    return tuple(
        ForgetExample(TokenizedExample((number,), (10 + number % answers,)), TokenizedExample((number,), (2,)))
        for number in range(count)
    )


def retain_of(first: int, count: int) -> tuple[TokenizedExample, ...]:
    return tuple(TokenizedExample((first + number,), (3,)) for number in range(count))


def test_every_seventh_example_is_held_out() -> None:
    parts = split(Dataset(forget_of(20), retain_of(100, 15), retain_of(200, 8)))
    assert parts.held_forget == (forget_of(20)[6], forget_of(20)[13])
    assert {e.prompt_ids[0] for e in parts.held_retain} == {100, 107, 114, 200, 207}
    assert {*parts.training.forget, *parts.held_forget} == set(forget_of(20))
    assert not set(parts.training.forget) & set(parts.held_forget)
    assert (*parts.training.hard, *parts.training.general) == tuple(
        e for e in (*retain_of(100, 15), *retain_of(200, 8)) if e not in parts.held_retain
    )


def test_no_more_than_a_few_are_scored() -> None:
    parts = split(Dataset(forget_of(3), retain_of(0, 700), retain_of(1000, 700)))
    assert len(parts.held_retain) == 24
    assert len(parts.training.hard) + len(parts.training.general) == 1400 - 24


def test_forget_prompts_are_scored_from_all_over_a_large_set() -> None:
    forget = forget_of(1000)
    parts = split(Dataset(forget, retain_of(2000, 15), ()))
    assert len(parts.held_forget) == 24
    assert len(parts.training.forget) == 1000 - 24
    assert parts.held_forget[-1] in forget[950:]


def test_an_answer_is_never_held_out_whole() -> None:
    """Forty items of one wording each: all are trained on, and some of them scored."""
    forget = forget_of(40, answers=40)
    parts = split(Dataset(forget, retain_of(100, 15), ()))
    assert parts.training.forget == forget
    assert parts.held_forget == forget[::2]
    twice = split(Dataset(forget_of(40, answers=20), retain_of(100, 15), ()))
    assert {e.original.answer_ids for e in twice.training.forget} == {(10 + number,) for number in range(20)}
    assert len(twice.held_forget) == 5
    pair = split(Dataset(forget_of(14, answers=7), retain_of(100, 15), ()))
    assert len(pair.held_forget) == 1  # the second would be that answer's last


@pytest.mark.parametrize("count", [1, 6])
def test_a_few_forget_prompts_are_trained_on_and_scored(count: int) -> None:
    parts = split(Dataset(forget_of(count), retain_of(100, 15), ()))
    assert parts.training.forget == parts.held_forget == forget_of(count)


@pytest.mark.parametrize(("hard", "general"), [(1, 0), (1, 1), (0, 1)])
def test_a_retain_set_without_any_to_spare_is_trained_on_and_scored(hard: int, general: int) -> None:
    dataset = Dataset(forget_of(1), retain_of(100, hard), retain_of(200, general))
    parts = split(dataset)
    assert (parts.training.hard, parts.training.general) == (dataset.hard, dataset.general)
    assert parts.held_retain == (*dataset.hard, *dataset.general)


def test_what_is_held_out_is_scored_and_never_trained_on(make_delta: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: set[TokenizedExample] = set()
    scored: set[TokenizedExample] = set()

    class Watched(TrainablePair):
        def views(self, groups: Mapping[str, Sequence[TokenizedExample]], *rest: Any, **named: Any) -> dict[str, View]:
            seen = trained if torch.is_grad_enabled() else scored
            seen.update(example for group in groups.values() for example in group)
            return super().views(groups, *rest, **named)

    monkeypatch.setattr(training, "TrainablePair", Watched)
    task = make_delta(objective="idk_npo", max_steps=20, framed_variants=4, cloze_forms=0)
    get_method("delta").train(task)
    parts = parts_of(task)
    held = {*parts.held_retain, *(e for each in parts.held_forget for e in (each.original, each.refusal))}
    assert len(held) == 2 + 2 * 2
    assert scored == held
    assert trained == {
        *parts.training.hard,
        *parts.training.general,
        *(e for each in parts.training.forget for e in (each.original, each.refusal)),
    }
    assert not trained & held


def test_an_objective_is_given_the_views_it_names() -> None:
    forget, retain = forget_of(2), retain_of(100, 3)
    originals, refusals = [e.original for e in forget], [e.refusal for e in forget]

    def given(name: str) -> dict[str, list[TokenizedExample]]:
        return groups(make_objective(name, {}), forget, retain)

    assert given("gradient_ascent") == {FORGET_VIEW: originals}
    assert given("idk") == {REFUSAL: refusals, RETAIN_VIEW: list(retain)}
    assert given("dpo") == {FORGET_VIEW: originals, REFUSAL: refusals, RETAIN_VIEW: list(retain)}
    assert groups(make_objective("idk", {}), forget, ()) == {REFUSAL: refusals}


def test_contradicting_answers_are_a_view_of_their_own() -> None:
    inverted = TokenizedExample((9,), (4,))
    forget = [replace(example, inverted=inverted) for example in forget_of(2)]
    assert groups(make_objective("meow", {}), forget, ()) == {INVERTED: [inverted, inverted]}
    assert groups(make_objective("meow", {}), forget_of(2), ()) == {}
