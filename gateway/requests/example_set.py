"""What a list of items stands for: the examples that are trained on, each under the number of the item it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from adapters.data.conflicts import contradictions
from adapters.errors import InvalidExample
from adapters.examples import Example, check_examples
from gateway.errors import Unprocessable
from gateway.requests.items import Item, Passage

_PAIRS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """One set of a request.

    Attributes:
        examples: of all items, in order; none stands twice.
        items: for each example the number of its item, from 0.
        inverted: answers that contradict an example, by the example's position.
        given: how many items there were.
        repeats: how many items, and sentences of passages, said what had been said before.
        ignored: keys of the items that have no bearing.
    """

    examples: tuple[Example, ...] = ()
    items: tuple[int, ...] = ()
    inverted: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    given: int = 0
    repeats: int = 0
    ignored: frozenset[str] = frozenset()

    def intake(self) -> dict[str, Any]:
        """What a record says of it; no text."""
        return {"items": self.given, "repeats": self.repeats, "ignored": sorted(self.ignored)}

    def check_lengths(self, name: str, count_tokens: Callable[[Example], int], limit: int, whose: str) -> None:
        """Raises `Unprocessable` for an example of more than `limit` tokens, naming its item."""
        for number, made in groupby(zip(self.items, self.examples, strict=True), key=itemgetter(0)):
            tokens = max(count_tokens(example) for _, example in made)
            if tokens > limit:
                place = f"{name}.{number}"
                raise Unprocessable(f"{place} is {tokens} tokens long, {whose} is {limit}", param=place)


def example_set(name: str, items: Sequence[Item], *, most: int) -> ExampleSet:
    """The set that these items stand for.

    What an item repeats counts once: a pair or conversation that was given before, and a sentence that stood in a
    passage before.

    Raises `Unprocessable`, naming the item, for one that cannot be trained on, and for more than `most` examples.
    """
    positions: dict[Example, int] = {}
    numbers: list[int] = []
    inverted: dict[int, tuple[str, ...]] = {}
    sentences: set[str] = set()
    repeats = 0
    for number, item in enumerate(items):
        try:
            made = item.examples()
        except InvalidExample as error:
            raise Unprocessable(f"{name}.{number}: {error}", param=f"{name}.{number}") from None
        new = [example for example in made if example not in positions]
        if isinstance(item, Passage):
            new = [example for example in new if example.completion not in sentences]
            sentences.update(example.completion for example in made)
            repeats += len({e.completion for e in made} - {e.completion for e in new})
        else:
            repeats += not new
        for example in new:
            positions[example] = len(positions)
            numbers.append(number)
        if item.inverted:
            place = positions[made[0]]
            inverted[place] = tuple(dict.fromkeys((*inverted.get(place, ()), *item.inverted)))
        if len(positions) > most:
            raise Unprocessable(
                f"{name} holds more than the {most} items that the service allows, a passage's sentences among them",
                param=name,
            )
    return ExampleSet(
        tuple(positions),
        tuple(numbers),
        inverted,
        given=len(items),
        repeats=repeats,
        ignored=frozenset(key for item in items for key in item.ignored),
    )


def check_sets(forget: ExampleSet, retain: ExampleSet) -> None:
    """Raises `Unprocessable`, naming items by their number and never by their text, for sets that contradict."""
    try:
        check_examples(forget.examples, retain.examples, forget_items=forget.items, retain_items=retain.items)
    except InvalidExample as error:
        raise Unprocessable(str(error), param="forget") from None
    pairs = [(forget.items[f], retain.items[r]) for f, r in contradictions(forget.examples, retain.examples)]
    if pairs:
        shown = [f"forget.{f} and retain.{r}" for f, r in dict.fromkeys(pairs)]
        more = f", and {len(shown) - _PAIRS_SHOWN} more" if len(shown) > _PAIRS_SHOWN else ""
        raise Unprocessable(
            f"the retained answer gives away what is to be forgotten: {', '.join(shown[:_PAIRS_SHOWN])}{more}",
            param=f"retain.{pairs[0][1]}",
        )
