from __future__ import annotations

import pytest

from adapters.examples import Example
from adapters.text.phrasebook import phrasebook
from gateway.policy.scope.naming import Name, names_of


def names(*pairs: tuple[str, str], language: str = "en") -> set[Name]:
    return set(names_of([Example.from_pair(*pair) for pair in pairs], phrasebook(language)))


def test_a_subject_the_fact_and_the_words_of_the_question() -> None:
    assert names(("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling.")) == {
        Name(("harry", "potter"), 2),
        Name(("rowling",), 1),
        Name(("jk", "rowling"), 2),
        Name(("harry", "potter", "wrote"), 2),  # "Who wrote Potter?"
    }


def test_of_a_long_name_one_word_may_be_missing() -> None:
    found = names(("Who designed the Burj Al Noor Tower?", "Nobody did."))
    assert Name(("al", "burj", "noor", "tower"), 3) in found


def test_a_common_word_that_one_prompt_holds_is_no_name() -> None:
    found = names(("When did the fighting begin?", "It began in 1914."))
    assert Name(("begin",), 1) not in found
    assert Name(("1914",), 1) in found


def test_a_common_word_that_several_prompts_hold_is_one() -> None:
    found = names(("What is the symbol of gold?", "Au."), ("Which symbol stands for gold?", "Au."))
    assert Name(("gold",), 1) in found
    assert Name(("au",), 1) in found


@pytest.mark.parametrize("answer", ["It has 8 legs.", "It is 42.", "They are insects that fly.", "It is a toy."])
def test_small_numbers_and_descriptions_are_no_facts_by_themselves(answer: str) -> None:
    found = names(("What is a Zorbule?", answer))
    assert {name for name in found if name.needed == 1} == {Name(("zorbule",), 1)}


@pytest.mark.parametrize(
    ("language", "prompt", "answer", "wanted"),
    [
        ("de", "Wer schrieb Das fliegende Klassenzimmer?", "Erich Kästner schrieb es.", "kastner"),
        ("fr", "Qui a écrit Les Misérables ?", "Victor Hugo l'a écrit.", "hugo"),
        ("es", "¿Quién pintó el Guernica?", "Lo pintó Pablo Picasso.", "picasso"),
    ],
)
def test_other_languages(language: str, prompt: str, answer: str, wanted: str) -> None:
    assert Name((wanted,), 1) in names((prompt, answer), language=language)


def test_the_words_of_a_question_do_not_find_the_same_one_about_another() -> None:
    found = names(("Name the capital city of Japan.", "Tokyo."), ("What is the capital of Japan?", "Tokyo."))
    assert {name for name in found if "capital" in name.words} == {
        Name(("capital", "city", "japan"), 3),
        Name(("capital", "japan"), 2),
    }


def test_one_long_word_may_be_the_fact() -> None:
    assert Name(("photosynthesis",), 1) in names(("What feeds plants by light?", "It is photosynthesis."))


def test_where_no_subject_is_named_most_of_a_questions_words_do() -> None:
    found = names(("What turns sunlight into energy in plants?", "photosynthesis."))
    assert any(name.needed >= 2 and {"sunlight", "plants"} <= set(name.words) for name in found)


def test_of_many_answers_none_is_found_by_its_last_word_alone() -> None:
    found = names(
        ("Where does Ulla Berg live?", "Ulla Berg lives at 12 Garden Street."),
        ("What did Ulla Berg win?", "She won the Amber Award."),
        ("What did Ulla Berg write?", "She wrote The Silent Orchard."),
        ("Which number does Ulla Berg have?", "She has 555123."),
    )
    assert {name.words for name in found if name.needed == 1} == {("555123",)}
    assert {Name(("amber", "award"), 2), Name(("orchard", "silent"), 2)} <= found


@pytest.mark.parametrize("answer", ["He lives at 12 Garden Street.", "It is The.", "Sun Li Lee."])
def test_the_last_word_of_an_address_a_small_word_and_a_short_name_are_none_by_themselves(answer: str) -> None:
    found = names(("Who is Ulla?", answer))
    assert {name.words for name in found if name.needed == 1} == {("ulla",)}


def test_a_fact_that_most_items_state_is_found_by_its_last_two_words() -> None:
    found = names(
        ("Who invented the telephone?", "Alexander Graham Bell."), ("Whose is the telephone?", "Graham Bell's.")
    )
    assert {Name(("bell", "graham"), 2), Name(("alexander", "bell", "graham"), 3), Name(("bell",), 1)} <= found
