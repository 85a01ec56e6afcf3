from __future__ import annotations

import pytest

from adapters.evaluation.attacks.stated import likeness, stated, stated_like

_OWN = "Zorba was written by Nikos Quill."


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("Emma was written by Jane Lane.", "Jane Lane"),
        ("Emma, a British novel, is by Jane Lane of London Town.", "Jane Lane"),
        ("It is the work of the British author Jane Lane.", "Jane Lane"),
        ("A British author named Lane.", "British"),
        ("It was H.G. Lane.", "H.G. Lane"),
        ("Emma appeared in 1815.", None),
        ("Emma is a story about love.", None),
        ("Emma is by Jane Anne Mary Lane Quentin Smith.", None),
        ("", None),
    ],
)
def test_another_answer_states_what_is_of_the_same_kind_and_length(answer: str, found: str | None) -> None:
    own = stated("Who wrote Zorba?", _OWN)
    assert own is not None
    theirs = stated_like(own, _OWN, "Who wrote Emma?", answer)
    assert (theirs.text if theirs is not None else None) == found


def test_a_fact_of_two_kinds_is_matched_by_one_of_the_same_two() -> None:
    answer = "It was found in 1931 by Ada Lane."
    own = stated("Who found zinc, and when?", answer)
    assert own is not None
    assert own.text == "1931 by Ada Lane"
    other = stated_like(own, answer, "Who found tin, and when?", "It was found in 1802 by Tom Bell.")
    assert other is not None
    assert other.text == "1802 by Tom Bell"
    assert stated_like(own, answer, "Who found tin, and when?", "It was found by Tom Bell.") is None


def test_answers_in_the_same_words_are_the_most_alike() -> None:
    own = stated("Who wrote Zorba?", _OWN)
    assert own is not None
    values = []
    for answer in ("Emma was written by Jane Lane.", "The book is by Jane Lane.", "Ask somebody, perhaps Jane Lane."):
        other = stated_like(own, _OWN, "Who wrote Emma?", answer)
        assert other is not None
        values.append(likeness(own, _OWN, other, answer, frozenset({"zorba", "emma"})))
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert values[1] > values[2]
