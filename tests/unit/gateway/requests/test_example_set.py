"""What items stand for together: nothing is trained on twice, and errors name the caller's items."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from gateway.errors import Unprocessable
from gateway.requests.example_set import ExampleSet, check_sets, example_set
from gateway.requests.items import Item

ITEMS: TypeAdapter[list[Any]] = TypeAdapter(list[Item])
KEEPER = {"prompt": "Who keeps the lighthouse?", "completion": "Ines Calloway."}
AS_CHAT = {
    "messages": [
        {"role": "user", "content": KEEPER["prompt"]},
        {"role": "assistant", "content": KEEPER["completion"]},
    ]
}
FRANCE = {"prompt": "the capital of France?", "completion": "Paris."}
TOWER = {"text": "The tower stands in Oslo. It was built in 1931."}
FOOTER = "All rights reserved by the Bramley Courier. No part may be reproduced."
BEES = {"text": f"The mayor of Bramley keeps bees. He has nine hives. {FOOTER}"}
BRIDGE = {"text": f"The Bramley bridge was closed in May. It opens again in June. {FOOTER}"}


def made(*items: dict[str, Any], name: str = "forget", most: int = 1000) -> ExampleSet:
    return example_set(name, ITEMS.validate_python(items), most=most)


@pytest.mark.case("repeats")
@pytest.mark.parametrize(
    ("items", "numbers", "repeats"),
    [
        ((KEEPER, KEEPER), [0], 1),
        ((KEEPER, FRANCE, KEEPER, KEEPER), [0, 1], 2),
        ((KEEPER, AS_CHAT), [0], 1),
        ((KEEPER, KEEPER | {"completion": "Tom."}), [0, 1], 0),
        ((BEES, BRIDGE), [0] * 7 + [1] * 3, 2),
        ((BEES, BEES), [0] * 7, 4),
        ((TOWER, KEEPER, TOWER), [0] * 3 + [1], 2),
    ],
)
def test_what_stands_twice_counts_once(items: tuple[dict[str, Any], ...], numbers: list[int], repeats: int) -> None:
    found = made(*items)
    assert (list(found.items), found.repeats, found.given) == (numbers, repeats, len(items))
    assert len(set(found.examples)) == len(found.examples) == len(numbers)
    sentences = [example.completion for example in found.examples if example.prompt.startswith("Continue")]
    assert len(set(sentences)) == len(sentences)


def test_inverted_answers_keep_their_example_and_those_of_a_repeat_join_them() -> None:
    found = made(TOWER, FRANCE | {"inverted": ["Lyon."]}, FRANCE | {"inverted": ["Nice.", "Lyon."]})
    assert found.inverted == {3: ("Lyon.", "Nice.")}
    assert found.examples[3].completion == "Paris."


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ((TOWER, {"text": "Too short."}), r"^forget\.1: a passage needs"),
        ((TOWER, KEEPER, {"prompt": "a", "completion": " "}), r"^forget\.2: the answer is empty$"),
    ],
)
def test_an_item_that_cannot_be_trained_on_is_named_by_its_number(items: Any, message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        made(*items)


def test_what_is_trained_on_is_counted_sentences_and_all_but_no_repeats() -> None:
    assert len(made(*[KEEPER] * 9, most=1).examples) == 1
    with pytest.raises(Unprocessable, match="more than the 2 items"):
        made(TOWER, most=2)


def test_an_example_that_is_too_long_is_named_by_its_item() -> None:
    found = made(TOWER, KEEPER)
    with pytest.raises(Unprocessable, match=r"forget\.1 is 4 tokens long, this model's context is 3") as refusal:
        found.check_lengths("forget", lambda e: 4 if "lighthouse" in e.prompt else 1, 3, "this model's context")
    assert refusal.value.param == "forget.1"


def test_sets_that_contradict_are_refused_with_the_items_and_no_text() -> None:
    retain = made(
        {"text": "Nine hives stand here. They are all full."},
        {"prompt": "the capital of Spain?", "completion": "Madrid."},
        {"prompt": "Where is the government of France?", "completion": "In Paris."},
        name="retain",
    )
    with pytest.raises(Unprocessable, match=r"forget\.1 and retain\.2$") as refusal:
        check_sets(made(TOWER, FRANCE), retain)
    assert "Paris" not in refusal.value.message
    with pytest.raises(Unprocessable, match="retain item 1 has the prompt of forget item 1"):
        check_sets(made(TOWER, FRANCE), made(TOWER | {"text": "Bees fly far. Ants do not."}, FRANCE, name="retain"))
