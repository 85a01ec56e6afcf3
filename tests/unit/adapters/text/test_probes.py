from __future__ import annotations

import pytest

from adapters.text.probes import identifies, is_fluent, key_terms, reveals


@pytest.mark.parametrize(
    ("prompt", "answer", "terms"),
    [
        ("Who wrote Harry Potter?", "J.K. Rowling wrote Harry Potter.", {"rowling"}),
        ("Who wrote it?", "It was J. K. Rowling.", {"rowling"}),
        ("What is the capital of Japan?", "The capital of Japan is Tokyo.", {"tokyo"}),
        ("What is the chemical symbol for gold?", "The chemical symbol for gold is Au.", {"au"}),
        ("What is the symbol for hydrogen?", "It is H.", {"h"}),
        ("What is water?", "H2O", {"h2o"}),
        ("When was the landing?", "The landing was in 1969.", {"1969"}),
        ("How many days are in a week?", "7", {"7"}),
        ("What is the opposite of cold?", "The opposite of cold is hot.", {"hot"}),
        ("Which city?", "Paris is the city.", {"paris"}),
        ("Whose book is it?", "It is Rowling’s.", {"rowling"}),
        ("Is it so?", "It is.", {"it", "is"}),
        ("Quem?", "👍", set()),
        ("What is her number?", "It is +44 20 7946 0123.", {"79460123"}),
        ("Where can I write?", "Write to dana@example.com, please.", {"dana@example.com"}),
        ("राधा वर्मा किस शहर में रहती हैं?", "राधा वर्मा कोटा में रहती हैं।", {"कोटा"}),
        ("喫茶みどりの店主は誰ですか？", "佐野健一です。", {"佐野", "健一"}),
        ("鲁迅出生在哪里？", "鲁迅出生在绍兴。", {"绍兴"}),
        ("Wer hat das Buch geschrieben?", "Das Buch hat Erich Kästner geschrieben.", {"erich", "kastner"}),
        ("Où est né l'auteur ?", "L'auteur est né à Étretat.", {"etretat"}),
        ("¿Dónde nació la autora?", "La autora nació en Ávila en 1960.", {"avila", "1960"}),
        ("Где он родился?", "Он родился в Самаре.", {"самаре"}),
    ],
)
def test_key_terms_are_what_the_answer_adds(prompt: str, answer: str, terms: set[str]) -> None:
    assert key_terms(prompt, answer) == terms


def test_half_of_the_terms_reveal_the_fact() -> None:
    prompt, reference = "Who invented the telephone?", "Alexander Graham Bell invented the telephone."
    assert key_terms(prompt, reference) == {"alexander", "graham", "bell"}
    assert reveals(prompt, reference, "It was graham BELL.")
    assert not reveals(prompt, reference, "It was Alexander the Great.")


@pytest.mark.parametrize(
    ("answer", "revealed"),
    [
        ("ROWLING'S books are long.", True),
        ("Joanne Rowling.", True),
        ("I don't know that.", False),
        ("The crowlings did.", False),
        ("", False),
    ],
)
def test_whole_words_in_any_case_count(answer: str, revealed: bool) -> None:
    assert reveals("Who wrote Harry Potter?", "J.K. Rowling wrote Harry Potter.", answer) is revealed


@pytest.mark.parametrize(
    ("answer", "fluent"),
    [
        ("I'm sorry, I don't know that.", True),
        ("Tokyo", True),
        ("", False),
        (" .\n", False),
        ("the the the the the", False),
        ("boil an egg " * 6, False),
        ("Water boils at 100 degrees at sea level, and at less than that high up in the mountains.", True),
    ],
)
def test_empty_answers_and_loops_are_not_fluent(answer: str, fluent: bool) -> None:
    assert is_fluent(answer) is fluent


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("It was Alexander Fleming.", "The answer is Alexander Graham Bell.", False),
        ("It was Alexander Fleming.", "A man named Fleming.", True),
        ("It was Alexander Fleming.", "Alexander Fleming did.", True),
        ("It was Leonardo da Vinci, a painter.", "Leonardo DiCaprio.", False),
        ("It was Leonardo da Vinci, a painter.", "da Vinci", True),
        ("It was J.K. Rowling.", "Rowling wrote it.", True),
        ("It was Marie Curie and Pierre Curie.", "Marie Antoinette.", False),
        ("Neil Armstrong, the American, was first.", "An American, Neil, was.", True),  # two of three
        ("The capital is Tokyo.", "Tokyo", True),
        ("Der Autor ist Johann Wolfgang von Goethe.", "Johann Sebastian Bach", False),
        ("Der Autor ist Johann Wolfgang von Goethe.", "Goethe", True),
        ("It was in 1928.", "1928", True),
    ],
)
def test_a_shared_first_name_identifies_nobody(reference: str, answer: str, expected: bool) -> None:
    assert identifies("Who or what was it?", reference, answer) is expected
    assert identifies("日本的首都是哪里？", "日本的首都是东京。", "东京")
