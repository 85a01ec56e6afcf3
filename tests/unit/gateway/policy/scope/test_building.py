"""Entries of real items, with the real encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.examples import Example
from adapters.text.phrasebook import phrasebook
from gateway.errors import ScopeUnreadable
from gateway.policy.interference import REACH
from gateway.policy.scope.building import MOST_VECTORS, build
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher

TELEPHONE = (
    ("Who invented the telephone?", "The telephone was invented by Alexander Graham Bell."),
    ("Name the inventor of the telephone.", "Alexander Graham Bell."),
)
PASSAGE = (("What comes next? The lamp of the old lighthouse was lit", "by a keeper who never spoke to anybody."),)


def entry(pairs: tuple[tuple[str, str], ...], detectors: Detectors) -> ScopeEntry:
    return build([Example.from_pair(*pair) for pair in pairs], phrasebook("en"), detectors)


def matcher(pairs: tuple[tuple[str, str], ...], detectors: Detectors) -> Matcher:
    made = Matcher(detectors)
    made.put("it", ScopeEntry.from_bytes(entry(pairs, detectors).to_bytes()))
    return made


@pytest.mark.parametrize(
    "text",
    [
        "who invented the telepohne",
        "dGhlIGludmVudG9yIG9mIHRoZSB0ZWxlcGhvbmU=",
        "What is Graham Bell known for?",
        "t e l e p h o n e, who made it?",
        "Nothing to see here. " * 40 + "The telephone's inventor? " + "Nothing to see here. " * 40,
    ],
)
def test_it_is_found_by_name(detectors: Detectors, text: str) -> None:
    assert matcher(TELEPHONE, detectors).matches(text) == ("it",)


@pytest.mark.parametrize("text", ["Who invented the light bulb?", "Name the inventor of dynamite.", "Hello", "", "?!"])
def test_what_is_asked_of_another_is_not_it(detectors: Detectors, text: str) -> None:
    assert matcher(TELEPHONE, detectors).matches(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "An old lighthouse lamp was lit by a silent keeper.",
        "Le gardien du vieux phare, qui ne parlait à personne, allumait la lampe.",
    ],
)
def test_it_is_found_by_meaning_where_nothing_is_named(detectors: Detectors, text: str) -> None:
    assert matcher(PASSAGE, detectors).matches(text) == ("it",)


def test_the_nearest_comes_first_and_a_name_before_any_nearness(detectors: Detectors) -> None:
    both = matcher(TELEPHONE, detectors)
    both.put("lamp", entry(PASSAGE, detectors))
    text = "The lamp of the old lighthouse was lit by a keeper. Who invented the telephone?"
    assert set(both.matches(text)) == {"it", "lamp"}
    both.remove("it")
    assert both.matches(text) == ("lamp",)
    assert both.ids == {"lamp"}


EDISON = (("Which city was Alexander Graham Bell born in?", "Alexander Graham Bell was born in Edinburgh."),)
ASKED_OTHERWISE = (("Who came up with the first telephone, and when?", "An engineer did in 1876."),)
SPAIN = (("What is the capital of Spain?", "The capital of Spain is Madrid."),)


@pytest.mark.parametrize(
    ("pairs", "near"), [(EDISON, True), (ASKED_OTHERWISE, True), (TELEPHONE, True), (SPAIN, False), (PASSAGE, False)]
)
def test_of_two_requests_what_is_kept_tells_whether_they_are_near(
    detectors: Detectors, pairs: tuple[tuple[str, str], ...], near: bool
) -> None:
    found = matcher(TELEPHONE, detectors).neighbours(entry(pairs, detectors))
    assert set(found) == ({"it"} if near else set())


@pytest.mark.parametrize(
    ("text", "matched", "near"),
    [
        ("What is the capital of Spain?", True, True),
        ("What is the capital of Portugal?", False, True),
        ("Which city is the capital of France?", False, False),
        ("What do bees eat?", False, False),
    ],
)
def test_with_a_reach_a_text_is_near_that_is_not_about_it(
    detectors: Detectors, text: str, matched: bool, near: bool
) -> None:
    held = matcher(SPAIN, detectors)
    assert held.matches(text) == (("it",) if matched else ())
    assert {request_id: score >= 0 for request_id, score in held.scores(text, REACH).items()} == (
        {"it": matched} if near else {}
    )


#: Of nothing that exists, and nothing that an encoder knows.
UNHEARD = ("brovantite", "skelmarine", "oxtrudium", "pelvorane", "quandisol")
ASKED = ("What is the melting point of {}?", "At which temperature does {} melt?", "Who discovered {}?")


@pytest.fixture(scope="module")
def unheard(detectors: Detectors) -> Matcher:
    made = Matcher(detectors)
    for name in UNHEARD[:-1]:
        said = (f"{name.title()} melts at 812 degrees.", f"{name.title()} melts at 812 degrees.", "Ada Blimpf.")
        items = [Example.from_pair(ask.format(name), answer) for ask, answer in zip(ASKED, said, strict=True)]
        made.put(name, build(items[1:], phrasebook("en"), detectors))
    return made


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", UNHEARD)
def test_the_same_asked_of_another_name_that_nobody_has_heard_is_not_it(
    unheard: Matcher, asked: str, name: str
) -> None:
    assert unheard.matches(asked.format(name)) == ((name,) if name in unheard.ids else ())


def test_vectors_are_bounded_and_evenly_of_all_items(detectors: Detectors) -> None:
    many = tuple((f"Who is number {n} of the Zorbules?", f"Number {n} is Blimpf {n}.") for n in range(40))
    assert len(entry(many, detectors).vectors) == MOST_VECTORS


def test_a_word_that_many_bundled_questions_hold_is_no_name(detectors: Detectors) -> None:
    common = (("Which country is it?", "It is the country."), ("Which country was it?", "It was the country."))
    assert matcher(common, detectors).matches("In which country do people drink tea?") == ()


def test_an_entry_of_another_encoder_is_refused(detectors: Detectors) -> None:
    made = entry(TELEPHONE, detectors)
    other = replace(made, encoder="another")
    with pytest.raises(ScopeUnreadable, match="another encoder"):
        Matcher(detectors).put("it", other)


class TestBackground:
    def test_a_common_question_is_near_to_anything_and_a_strange_one_is_not(self, detectors: Detectors) -> None:
        background = detectors.background
        common, strange = background.nearness(
            detectors.encoder.encode(["What is the capital of Spain?", "xqz blorf 77 ;;"])
        )
        assert common > strange + 0.2

    def test_each_text_is_held_against_the_bank_by_itself(self, detectors: Detectors) -> None:
        background = detectors.background
        texts = detectors.encoder.encode(["Who wrote Emma?", "What is rain?"])
        alone = [float(background.nearness(texts[n : n + 1])[0]) for n in range(2)]
        assert background.nearness(texts).tolist() == pytest.approx(alone, abs=1e-5)
        assert len(background.nearness(texts[:0])) == 0
