from __future__ import annotations

import pytest

from adapters.data.forget.passages import CONTINUE, NEXT, passage_examples, sentences
from adapters.errors import InvalidExample


def test_sentences_end_at_stops_and_blank_lines_but_not_after_initials_and_titles() -> None:
    text = 'J. K. Rowling met Dr. Smith.  She said "Go!" Then\nthey left\n\nA new paragraph cost 3.5 pounds.'
    assert sentences(text) == [
        "J. K. Rowling met Dr. Smith.",
        'She said "Go!"',
        "Then they left",
        "A new paragraph cost 3.5 pounds.",
    ]
    assert sentences(" \n ") == []


def test_every_sentence_is_asked_for_from_what_comes_before_it() -> None:
    made = passage_examples("The tower stands in Oslo. It was built in 1931. Nobody lives there.")
    assert [(e.prompt, e.completion) for e in made] == [
        (CONTINUE.format(text="The tower"), "stands in Oslo."),
        (CONTINUE.format(text="The tower stands in Oslo."), "It was built in 1931."),
        (NEXT.format(text="The tower stands in Oslo."), "It was built in 1931."),
        (CONTINUE.format(text="The tower stands in Oslo. It was built in 1931."), "Nobody lives there."),
        (NEXT.format(text="It was built in 1931."), "Nobody lives there."),
    ]


def test_a_refrain_gives_no_example_twice() -> None:
    made = passage_examples("Row on. Sing now. Row on. Sing now.")
    assert len(made) == len(set(made)) == 5


@pytest.mark.parametrize("text", ["Too short here", "Hm.", "   "])
def test_too_little_to_ask_for(text: str) -> None:
    with pytest.raises(InvalidExample, match="two sentences, or one of at least 4 words"):
        passage_examples(text)
