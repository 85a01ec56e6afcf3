from __future__ import annotations

import pytest

from adapters.text.slips import clusters, slips
from adapters.text.words import fold


def test_each_kind_makes_one_slip_after_the_first_letter() -> None:
    assert slips("Emma") == {
        "swap": ("Emam",),
        "drop": ("Ema", "Emm"),
        "double": ("Emmma", "Emmaa"),
        "neighbour": ("Enma", "Emna", "Emms"),
    }


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("红楼梦", {"drop": ("楼梦", "红梦", "红楼"), "double": ("红红楼梦", "红楼楼梦", "红楼梦梦")}),
        ("道", {"double": ("道道",)}),
        ("प्रेमचंद", {"drop", "double"}),
        ("Чехов", {"swap", "drop", "double"}),
        ("X", {"double", "neighbour"}),
        ("1984", set()),
        ("", set()),
    ],
)
def test_a_script_has_the_slips_that_fit_it(word: str, wanted: object) -> None:
    made = slips(word)
    assert (dict(made) if isinstance(wanted, dict) else set(made)) == wanted


@pytest.mark.parametrize("word", ["Émile", "Cortázar", "Möbius", "H2O", "O'Brien", "นิยาย", "e\u0301tude", "Ça"])
def test_a_slip_is_another_word_and_tears_no_mark_from_its_letter(word: str) -> None:
    whole = set(clusters(word))
    for made in slips(word).values():
        assert len(set(made)) == len(made) > 0
        for slip in made:
            assert fold(slip) != fold(word)
            assert [sign for sign in slip if sign.isdigit()] == [sign for sign in word if sign.isdigit()]
    for slip in (*slips(word).get("drop", ()), *slips(word).get("swap", ())):
        assert set(clusters(slip)) <= whole
