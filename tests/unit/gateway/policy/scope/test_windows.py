from __future__ import annotations

import pytest

from gateway.policy.scope.windows import windows

MANY = 10_000
ENGLISH = ["I like music.", "The river is long.", "Who is she?", "He left.", "It rained."]
CHINESE = ["我叔叔出生在绍兴。", "他经营磨坊四十年。", "他是谁？", "他写了一本书。", "下雨了。"]
RUSSIAN = ["Я люблю музыку.", "Река длинная.", "Кто она?", "Он ушёл.", "Шёл дождь."]
HINDI = ["राधा कोटा में रहती हैं।", "नदी लंबी है।", "वह कौन है?", "वह चला गया।", "बारिश हुई।"]


@pytest.mark.parametrize(("found", "space"), [(ENGLISH, " "), (CHINESE, ""), (RUSSIAN, " "), (HINDI, " ")])
def test_each_sentence_and_every_three_are_a_window(found: list[str], space: str) -> None:
    expected = [
        found[0],
        found[1],
        found[2],
        space.join(found[0:3]),
        found[3],
        space.join(found[1:4]),
        found[4],
        space.join(found[2:5]),
    ]
    assert windows(space.join(found), most=MANY) == expected
    assert windows(space.join(found), most=3) == expected[-3:]


@pytest.mark.parametrize(("found", "space"), [(ENGLISH, " "), (CHINESE, ""), (RUSSIAN, " "), (HINDI, " ")])
def test_short_texts(found: list[str], space: str) -> None:
    assert windows("", most=1) == windows(" \n", most=1) == []
    assert windows(found[0], most=MANY) == [found[0]]
    assert windows(space.join(found[:2]), most=MANY) == [*found[:2], space.join(found[:2])]


@pytest.mark.parametrize(
    "question", ["Who is Harry Potter?", "Кто такой Гарри Поттер?", "谁是哈利波特？", "¿Quién es Ana?"]
)
@pytest.mark.parametrize("place", [0, 1, 500, 999])
def test_a_question_hidden_in_pages_is_a_window(question: str, place: int) -> None:
    filling = [f"Page {number} says nothing." for number in range(1_000)]
    filling[place] = question
    assert question in windows(" ".join(filling), most=MANY)


@pytest.mark.parametrize(
    "words",
    [
        [f"word{number}" for number in range(500)],
        [f"слово{number}" for number in range(500)],
        ["who is Harry Potter and", "then some more of it"] * 100,
        ["x" * 50] * 50,
    ],
)
def test_a_long_sentence_is_cut_by_words_into_overlapping_pieces(words: list[str]) -> None:
    sentence = " ".join(words)
    pieces = windows(sentence, most=MANY)
    assert all(len(piece) <= 480 and piece in sentence for piece in pieces)
    tokens = sentence.split()
    for first, second, third in zip(tokens, tokens[1:], tokens[2:], strict=False):
        assert any(f"{first} {second} {third}" in piece for piece in pieces)


@pytest.mark.parametrize("letter", ["x", "谁", "ก", "a1"])
def test_what_has_no_spaces_is_cut_too(letter: str) -> None:
    text = letter * 2_000
    pieces = windows(text, most=MANY)
    assert pieces
    assert all(len(piece) <= 480 for piece in pieces)


@pytest.mark.parametrize("hidden", ["哈利波特", "绍兴磨坊", "电影导演"])
def test_a_name_is_whole_in_some_piece_wherever_it_stands(hidden: str) -> None:
    for place in range(0, 200, 7):
        text = f"{'他们和我们一起去那里' * place}{hidden}{'他们和我们一起去那里' * 20}"
        assert any(hidden in piece for piece in windows(text, most=MANY))


def test_a_wide_window_holds_what_is_next_to_its_neighbour_of_a_long_sentence() -> None:
    long = " ".join(f"Word{number}" for number in range(400)) + "."
    found = windows(f"{long} Who is she? {long} He left.", most=MANY)
    assert any("Word399. Who is she? Word0 " in window for window in found)
    assert all(len(window) <= 3 * 480 + 2 for window in found)


@pytest.mark.parametrize("text", ["He left. " * 300, "他走了。" * 300, "Он ушёл. " * 300, "He left. She left. " * 200])
def test_no_window_comes_twice(text: str) -> None:
    found = windows(text, most=MANY)
    assert len(found) == len(set(found)) <= 4


def test_of_equal_windows_the_last_one_stays() -> None:
    assert windows("He left. It rained. She came. He left.", most=2) == ["He left.", "It rained. She came. He left."]


@pytest.mark.parametrize("most", [0, -1])
def test_at_least_one_window_is_asked_for(most: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        windows("He left.", most=most)


@pytest.mark.parametrize(
    "unit", ["Number {} says nothing. ", "word{} ", "第{}页什么也没说。", "x{}", "Строка {} ничего не говорит. "]
)
def test_the_windows_together_grow_as_the_text_does(unit: str) -> None:
    for count in (100, 400, 1_600):
        text = "".join(unit.format(number) for number in range(count))
        assert sum(map(len, windows(text, most=MANY))) <= 5 * len(text)
