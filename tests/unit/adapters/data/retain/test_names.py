"""Names in prompts, and the prompts asked about others."""

from __future__ import annotations

import pytest

from adapters.data.retain.names import recurring_names, renamed

FORGET = (
    "In which genre does Hina Ameen primarily write?",
    "What are Hina Ameen's books about?",
    "Where was Hina Ameen born?",
    "Which awards did the author from Karachi win?",
)
OTHERS = (
    "What do Ji-Yeon Park's parents do?",
    "Which prize was Ji-Yeon Park given?",
    "Has Jad Ambrose Al-Shamary written poems?",
    "Who taught Jad Ambrose Al-Shamary?",
    "Is Oslo large?",
    "Where is Oslo?",
)


def test_a_name_is_a_run_of_capitals_in_two_prompts() -> None:
    assert recurring_names(FORGET) == ("Hina Ameen",)
    assert recurring_names(OTHERS) == ("Ji-Yeon Park", "Jad Ambrose Al-Shamary")


def test_names_of_one_word_count_where_none_has_more() -> None:
    assert recurring_names(("Is Oslo large?", "Where is Oslo?", "Where is Lima?")) == ("Oslo",)


@pytest.mark.parametrize(
    "prompts",
    [
        (),
        ("who wrote it?", "where is it?"),
        ("Geology is what?", "Geology or geology?"),
        ("Tell me a joke.", "Tell me more."),
        ("What did Ann Lee write?", "Who knew Bo Dahl?"),
    ],
)
def test_no_name(prompts: tuple[str, ...]) -> None:
    assert recurring_names(prompts) == ()


def test_a_possessive_ends_a_name_and_so_does_a_sentence() -> None:
    prompts = ("I read Ann Lee. Tom Ray wrote?", "Ann Lee's Blue Shale?", "Is Tom Ray right?")
    assert set(recurring_names(prompts)) == {"Ann Lee", "Tom Ray"}


def test_an_initial_is_part_of_a_name() -> None:
    assert recurring_names(("What did J. K. Rowling write?", "Is J. K. Rowling alive?")) == ("J. K. Rowling",)


def test_forget_prompts_are_asked_about_the_others() -> None:
    made = renamed(FORGET, recurring_names(FORGET), recurring_names(OTHERS), count=100, seed=0)
    assert set(made) == {
        prompt.replace("Hina Ameen", other)
        for prompt in FORGET[:3]
        for other in ("Ji-Yeon Park", "Jad Ambrose Al-Shamary")
    }


def test_both_prompts_and_names_are_varied_where_few_are_wanted() -> None:
    made = renamed(FORGET, ("Hina Ameen",), ("Ann Lee", "Tom Ray", "Bo Dahl"), count=3, seed=1)
    assert len(made) == 3
    for name in ("Ann Lee", "Tom Ray", "Bo Dahl"):
        assert sum(name in prompt for prompt in made) == 1
    assert len({prompt.split()[0] for prompt in made}) == 3


def test_nobody_is_their_own_stand_in() -> None:
    assert renamed(FORGET, ("Hina Ameen",), ("hina ameen",), count=5, seed=0) == ()
    assert renamed(FORGET, (), ("Ann Lee",), count=5, seed=0) == ()
    assert renamed(FORGET, ("Hina Ameen",), ("Ann Lee",), count=0, seed=0) == ()


def test_prompts_of_several_are_asked_about_one_another() -> None:
    prompts = ("Where was Ann Lee born?", "What did Tom Ray write?", "Who was it?")
    names = recurring_names((*prompts, "Is Ann Lee alive?", "Is Tom Ray alive?"))
    made = renamed(prompts, names, names, count=10, seed=0)
    assert set(made) == {"Where was Tom Ray born?", "What did Ann Lee write?"}


def test_a_name_inside_a_word_is_not_replaced() -> None:
    assert renamed(("Is Oslo in Oslofjord?",), ("Oslo",), ("Lima",), count=1, seed=0) == ("Is Lima in Oslofjord?",)
