from __future__ import annotations

import pytest

from adapters.text.sentences import sentences


@pytest.mark.parametrize(
    "found",
    [
        ["J. K. Rowling met Dr. Smith.", 'She said "Go!"', "Then they left.", "It cost 3.5 pounds."],
        ["“Really?” he asked.", "Well...", "She wrote, e.g. Emma."],
        ["He was 12.", "Then No. 5 came, i.e. Tom."],
        ["He said no.", "She loved modern art.", "Prof. Ray agreed.", "Yes. 👍"],
        ["Er kam am 3. Mai 1990 nach Köln, d.h. zu Fr. Weber.", "„Wirklich?“", "Ja."],
        ["M. Dupont est né à Lyon.", "Il y a vécu avec Mme Dupont."],
        ["¿Quién vive aquí?", "El Sr. Gil.", "¡Qué bien!"],
        ["Мой дядя А. С. Громов родился в г. Самаре.", "Он держал мельницу."],
        ["राधा कोटा में रहती हैं।", "डॉ. वर्मा कोच हैं।"],
        ["أين ولد أحمد؟", "ولد في القاهرة."],
        ["김민수는 부산에서 태어났다.", "그는 교사다."],
    ],
)
def test_sentences_end_at_the_stops_of_their_script(found: list[str]) -> None:
    assert sentences(" ".join(found)) == found
    assert sentences("\n\n \n".join(found)) == found
    assert sentences("\n".join(found)) == found


@pytest.mark.parametrize(
    "found",
    [
        ["我叔叔出生在绍兴。", "他经营磨坊四十年。", "“是吗？”", "「真的！」", "他写了一本书。"],
        ["私の叔父は金沢で生まれた。", "「本当ですか？」", "その後、彼は富山に移った。"],
    ],
)
def test_no_space_is_needed_where_a_script_has_none(found: list[str]) -> None:
    assert sentences("".join(found)) == found


def test_a_space_ends_a_sentence_in_thai() -> None:
    found = ["สมชายเกิดที่เชียงใหม่", "เขาทำงานเป็นครูสี่สิบปี", "ต่อมาเขาย้ายไปกรุงเทพ"]
    assert sentences(" ".join(found)) == found


def test_a_blank_line_ends_a_sentence_and_white_space_is_folded() -> None:
    assert sentences("A  heading\n \nThen\nthey left") == ["A heading", "Then they left"]
    assert sentences(" \n ") == []


@pytest.mark.parametrize(
    "text", ["Chapter one " + "." * 16_000, ". " * 16_000, ".+" * 16_000, "J. K. Rowling, " * 4_000]
)
def test_stops_that_end_nothing_leave_one_sentence(text: str) -> None:
    assert sentences(text) == [" ".join(text.split())]
