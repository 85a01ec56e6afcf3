from __future__ import annotations

import random

import pytest

from adapters.text.words import fold, words
from gateway.policy.scope.entry import keyed as key_names
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.names import SPAN, KeyedName, NameIndex
from gateway.policy.scope.naming import Name
from tests.unit.gateway.policy.scope import uncut

HASHER = WordHasher(b"k" * 32)


def keyed(*written: str, needed: int | None = None) -> KeyedName:
    (name,) = key_names([Name(tuple(map(fold, written)), len(written) if needed is None else needed)], HASHER)
    return name


@pytest.fixture
def index() -> NameIndex:
    index = NameIndex(HASHER)
    index.put("potter", [keyed("harry", "potter"), keyed("rowling")])
    index.put("japan", [keyed("japan"), keyed("capital", "city", "japan", needed=2)])
    index.put("gold", [keyed("gold")])
    index.put("emil", [keyed("emil", "kästner")])
    index.put("oslavia", [keyed("oslavia")])
    index.put("austria", [keyed("austria")])
    index.put("brill", [keyed("tower", "brill"), keyed("brill", "castle", "written", needed=2)])
    return index


def found(index: NameIndex, text: str) -> set[str]:
    return set(index.found(word.term for word in words(text)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Who wrote HARRY POTTER?", {"potter"}),
        ("Who wrote Hary Pottr?", {"potter"}),
        ("Harry Ptoter's author", {"potter"}),
        ("J.K. Rowlnig", {"potter"}),
        ("Harry met Sally", set()),
        ("the potter's wheel", set()),
        ("What is the capital of Jpaan?", set()),  # a shorter word needs another with it
        ("The prince of Oslavia", {"oslavia"}),
        ("The prince of Olsavia", {"oslavia"}),
        ("The capital of Oslvia", {"oslavia"}),
        ("The capital of Osllavia", {"oslavia"}),
        ("Austrian", {"austria"}),
        ("Austrias", {"austria"}),
        ("Australia", set()),  # an ending less and another letter are two slips
        ("What does the tower of Brill look like?", {"brill"}),
        ("What does the tower of Bril look like?", {"brill"}),
        ("What does the tower of Grill look like?", {"brill"}),
        ("Brill, written by hand", {"brill"}),
        ("Grill, written by hand", set()),  # beside a word that may be missing, a short one has no slips
        ("Which city is the capital?", {"japan"}),
        ("Which city has the Louvre?", set()),
        ("Japan, and who wrote Harry Potter?", {"japan", "potter"}),
        ("Jupiter", set()),
        ("Which Asian city is the Japanese capital?", {"japan"}),
        ("Harry and the Potters", {"potter"}),
        ("Emul and Kästner", {"emil"}),
        ("a golden gold mine", {"gold"}),
        ("It is cold.", set()),  # of a short word that stands alone every letter counts
        ("", set()),
    ],
)
def test_found(index: NameIndex, text: str, wanted: set[str]) -> None:
    assert found(index, text) == wanted


@pytest.mark.parametrize("written", ["kästner", "kaestner", "kastner", "KÄSTNER", "käsnter", "kätsner"])
def test_a_slip_or_an_accent(index: NameIndex, written: str) -> None:
    assert found(index, f"von Emil {written}") == {"emil"}


def test_the_words_of_a_name_stand_near_each_other(index: NameIndex) -> None:
    near, far = ("harry " + "and " * gap + "potter" for gap in (SPAN - 2, SPAN))
    assert found(index, near) == {"potter"}
    assert found(index, far) == set()
    assert found(index, f"{far} and harry") == {"potter"}


def test_one_word_said_twice_is_one_word(index: NameIndex) -> None:
    assert found(index, "Harry, Harry, Harry") == set()
    assert found(index, "city, city") == set()


def test_what_was_removed_is_not_found(index: NameIndex) -> None:
    index.remove("potter")
    index.remove("nobody")
    assert found(index, "Harry Potter in Japan") == {"japan"}


def test_what_is_put_again_replaces_what_was_there(index: NameIndex) -> None:
    index.put("japan", [keyed("nippon")])
    assert found(index, "Japan") == set()
    assert found(index, "Nippon") == {"japan"}


def test_nothing_is_left_of_all_that_was_removed(index: NameIndex) -> None:
    for request_id in ("potter", "japan", "gold", "emil", "oslavia", "austria", "brill"):
        index.remove(request_id)
    for left in (index._of, index._held, index._opened):
        assert not left


def test_what_stands_in_many_names_opens_few_of_them() -> None:
    index = NameIndex(HASHER)
    for number in range(200):
        index.put(f"{number}", [keyed("capital", f"zorbland{number}"), keyed("town", "born", f"blimpf{number}")])
    assert max(len(index._opened_by(HASHER.variants(word)[0])) for word in ("capital", "town", "born")) <= 2
    text = "In which town was blimpf7 born, and is zorbland12 or zorbland the capital?"
    assert found(index, text) == {"7", "12"}


@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_is_what_all_words_near_each_other_say(seed: int) -> None:
    draw = random.Random(seed)
    known = ["harry", "potter", "capital", "japan", "london", "rowling", "hary", "potters", "lantern", "1847"]
    names: dict[str, list[KeyedName]] = {}
    index = NameIndex(HASHER)
    for number in range(60):
        request_id = str(draw.randrange(40))
        names[request_id] = [
            keyed(*words, needed=draw.randint(1, len(words)))
            for words in (draw.sample(known, draw.randint(1, 4)) for _ in range(draw.randint(0, 3)))
        ]
        index.put(request_id, names[request_id])
        if number % 3 == 2:
            gone = draw.choice([*names])
            index.remove(gone)
            del names[gone]
    for _ in range(25):
        said = [draw.choice([*known, "hello"] if draw.random() < 0.2 else ["and"]) for _ in range(draw.randint(1, 160))]
        wanted = {each for each, of in names.items() if any(uncut.stands_in(said, name, HASHER) for name in of)}
        assert index.found(said) == wanted


def told(index: NameIndex, answer: str, asked: str) -> set[str]:
    return set(index.told(*([word.term for word in words(text)] for text in (answer, asked))))


@pytest.mark.parametrize(
    ("asked", "answer", "wanted"),
    [
        ("Who wrote it?", "Harry Potter? J.K. Rowling.", {"potter"}),
        ("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling.", {"potter"}),
        ("Who wrote Harry Potter?", "Nobody knows who wrote Harry Potter.", set()),
        ("What else did Rowling write?", "Rowling wrote plays.", set()),
        ("What else did Rowlings write?", "Rowling wrote plays.", set()),
        ("Who is Harry?", "Harry is a Potter.", set()),  # the asker has said half of it
        ("Tell me of Japan.", "Tokyo is its capital city.", {"japan"}),
        ("Tell me of the capital of Japan.", "A city.", set()),
        ("", "", set()),
    ],
)
def test_what_an_answer_tells_is_what_whoever_asked_has_not_said(
    index: NameIndex, asked: str, answer: str, wanted: set[str]
) -> None:
    assert told(index, answer, asked) == wanted


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([keyed("rowling")], {"potter"}),
        ([keyed("rowlinx")], {"potter"}),
        ([keyed("joanne", "rowling")], {"potter"}),
        ([keyed("harry", "sally")], set()),
        ([keyed("capital", "sweden", needed=2)], set()),
        ([keyed("capital", "city", "sweden", needed=2), keyed("gold")], {"japan", "gold"}),
        ([], set()),
    ],
)
def test_requests_share_names_of_which_no_text_is_left(
    index: NameIndex, names: list[KeyedName], wanted: set[str]
) -> None:
    assert index.shared(names) == wanted


class TestHashes:
    def test_another_key_gives_other_hashes(self) -> None:
        assert not set(WordHasher(b"o" * 32).variants("rowling")) & set(HASHER.variants("rowling"))

    @pytest.mark.parametrize("word", ["1914", "au", "h2o", "19141918", "war"])
    def test_short_words_and_numbers_have_no_slips(self, word: str) -> None:
        assert len(HASHER.variants(word)) == 1

    def test_a_word_of_seven_letters_has_itself_twice_and_seven_more(self) -> None:
        assert len(HASHER.variants("rowling")) == 9
        assert len(HASHER.variants("aaaaaaa")) == 3
