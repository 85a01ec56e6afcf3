from __future__ import annotations

import pytest

from adapters.text.words import terms, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("J.K. Rowling's H2O costs $3.50, don’t you know?", "jk rowling h2o costs 3.50 dont you know"),
        ("The U.S. sent a Ph.D. by the mill.Then he left", "the us sent a phd by the mill then he left"),
        ("_Hamlet_ and foo_bar; Moby-Dick…", "hamlet and foo bar moby dick"),
        ("L'auteur d’Émile, qu'elle aujourd'hui", "auteur emile elle aujourdhui"),
        ("राधा वर्मा कोटा में रहती हैं।", "राधा वर्मा कोटा में रहती हैं"),
        ("佐野健一です。", "佐野 健一 です"),
        ("他出生在绍兴。", "他 出生 在 绍兴"),
        ("สมชายเกิดที่เชียงใหม่", "สมชาย เกิด ที่ เชียงใหม่"),
        ("김민수는 부산에서 태어났다.", "김민수 부산 태어났다"),
        ("Write to Dana.Whitfield@Example.co.uk.", "write to dana.whitfield@example.co.uk"),
        ("邮箱是dana@example.com，谢谢", "邮箱 是 dana@example.com 谢谢"),
        ("See https://www.Example.org/a_b?c=1, please", "see example.org/a_b?c=1 please"),
        ("on 12.05.1990, 1990-05-12 and in 1914-1918", "on 12 05 1990 1990 05 12 and in 1914 1918"),
        ("१९९० and １９９０ and 1,000,000", "1990 and 1990 and 1000000"),
        ("👍 … — ___ .", ""),
    ],
)
def test_words_of_any_script_are_found_and_folded(text: str, found: str) -> None:
    assert " ".join(word.term for word in words(text)) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Renée Lefèvre", "RENEE LEFEVRE"),
        ("Łódź", "lodz"),
        ("Søren Strauß", "Soren Strauss"),
        ("Пётр", "петр"),
        ("लड\u093cका", "ल\u095cका"),
        ("ﬁne ａｂｃ", "Fine ABC"),
        ("İstanbul", "istanbul"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("ガギ", "ｶﾞｷﾞ"),
        ("부산입니다", "부산"),
        ("+44 20 7946 0123", "442079460123"),
        ("+44 (0)20 7946-0123", "020 7946 0123"),
        ("+49 30 901820", "030/901820"),
        ("(555) 555-0123", "5555550123"),
        ("4111 1111 1111 1234", "4111-1111-1111-1234"),
        ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("https://www.example.org/", "www.example.org"),
        ("Dana@Example.com", "dana@example.com"),
    ],
)
def test_two_ways_to_write_one_word_compare_as_equal(one: str, other: str) -> None:
    assert terms(one) == terms(other)
    assert terms(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+44 20 7946 0123", "+44 20 7946 0990"),
        ("4111 1111 1111 1234", "4111 1111 1111 4321"),
        ("8,000,000,000", "1,000,000,000"),
        ("3.5", "35"),
        ("राधा", "राधी"),
        ("が", "か"),
        ("мой", "мои"),
        ("dana@example.com", "dan@example.com"),
    ],
)
def test_what_differs_stays_different(one: str, other: str) -> None:
    assert not terms(one) & terms(other)


def test_places_leave_out_possessives_and_elided_articles() -> None:
    text = "Rowling’s friend d'Émile: +44 20 7946 0123, a@b.org."
    assert [text[start:end] for _, start, end in words(text)] == [
        "Rowling",
        "friend",
        "Émile",
        "+44 20 7946 0123",
        "a@b.org",
    ]
