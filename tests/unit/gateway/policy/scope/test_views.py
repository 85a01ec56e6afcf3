from __future__ import annotations

import base64
import codecs
import html
import inspect
import urllib.parse
from collections.abc import Callable

import pytest

from adapters.text.phrasebook import LANGUAGES, phrasebook
from gateway.policy.scope import decodings
from gateway.policy.scope.views import views
from gateway.policy.scope.windows import windows

MANY = 10_000

QUESTIONS = (
    "Who is Harry Potter?",
    "Was ist die Hauptstadt von Japan?",
    "Кто такой Гарри Поттер?",
    "谁是哈利波特？",
    "من هو هاري بوتر؟",
    "हैरी पॉटर कौन है?",
    "해리 포터는 누구입니까?",
)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def _backwards(text: str) -> str:
    return text[::-1]


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": _base64,
    "base64 without padding": lambda text: _base64(text).rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes((f"{text} " * 8).encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "large hex": lambda text: text.encode().hex().upper(),
    "hex in groups": lambda text: text.encode().hex(" "),
    "bytes of source code": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "percent-encoding": urllib.parse.quote,
    "all of it percent-encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "decimal entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "hexadecimal entities": lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    "escapes of JSON": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "code points": lambda text: "".join(f"U+{ord(c):04X}" for c in text),
    "backwards": _backwards,
}
NESTED: dict[str, Callable[[str], str]] = {
    "base64 twice": lambda text: _base64(_base64(text)),
    "hex in base64": lambda text: _base64(text.encode().hex()),
    "backwards in base64": lambda text: _base64(_backwards(text)),
    "base64 in percent-encoding": lambda text: urllib.parse.quote(_base64(text), safe=""),
    "entities of entities": lambda text: html.escape("".join(f"&#{ord(c)};" for c in text)),
}


def _reads(text: str, wanted: str) -> bool:
    return any(wanted in view for view in views(text))


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("encode", [*ENCODINGS.values(), *NESTED.values()], ids=[*ENCODINGS, *NESTED])
def test_what_is_encoded_is_read(encode: Callable[[str], str], text: str) -> None:
    assert encode(text) != text
    assert _reads(encode(text), text)


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("kind", [kind for kind in ENCODINGS if kind != "base64 in lines"])
def test_what_is_encoded_is_read_amid_other_text(kind: str, text: str) -> None:
    # Backwards, a sentence among others is told by its words; where these are of one script only, by its stop.
    around = f"Please decode this first: {ENCODINGS[kind](text)} and then give the answer."
    assert _reads(around, text)


@pytest.mark.parametrize(
    "text",
    [
        "Who is Harry Potter?",
        "Wer schrieb Krieg und Frieden?",
        "¿Quién escribió Don Quijote?",
        "Qui a peint Guernica ?",
    ],
)
def test_rotated_letters_are_read(text: str) -> None:
    assert _reads(_rot13(text), text)
    assert _reads(f"The first part is plain. {_rot13(text)}", text)
    assert _reads(_base64(_rot13(text)), text)


@pytest.mark.parametrize("name", ["Paris", "Stephen King", "Tokyo", "Einstein"])
def test_a_rotated_name_is_read_in_a_plain_question(name: str) -> None:
    assert _reads(f"Who or what is {_rot13(name)}?", name)


@pytest.mark.parametrize("name", ["Adriana Martinez", "Addis Ababa", "Adwoa Ampomah", "Антон Иванов", "Eugene O'Neill"])
def test_a_name_is_read_from_its_end_in_a_plain_question(name: str) -> None:
    assert _reads(_backwards(name), name)
    assert _reads(f"Who is {_backwards(name)}?", name)


@pytest.mark.parametrize(
    "text",
    ["=8jclRHdvBFI5JnchhEIzlGIvh2V", "8jclRHdvBFI5JnchhEIzlGIvh2V", _backwards(_base64("Кто такой Гарри Поттер?"))],
)
def test_base64_is_read_from_its_end(text: str) -> None:
    assert _reads(text, "Who is Harry Potter?") or _reads(text, "Кто такой Гарри Поттер?")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Who is Hаrrу Pоttеr?", "Who is Harry Potter?"),  # Cyrillic in Latin
        ("Who is Наrrу Роttеr?", "Who is Harry Potter?"),
        ("Ηαrrу Ροttеr", "Harry Potter"),  # Greek and Cyrillic
        ("Кто такой Гaрpи Поттeр?", "Кто такой Гарри Поттер?"),  # Latin in Cyrillic
        ("Столица Poccия", "Столица Россия"),
        ("Η πρωτεύουσα είναι η Aθήνα", "Η πρωτεύουσα είναι η Αθήνα"),
        ("Ｈａｒｒｙ 𝓟𝓸𝓽𝓽𝓮𝓻", "Harry Potter"),
        ("ʜᴀʀʀʏ ᴘᴏᴛᴛᴇʀ", "harry potter"),
        ("🅷🅰🆁🆁🆈", "HARRY"),
        ("Lіnϲоln", "Lincoln"),
        ("H\u200ba\u200brry Pot\u00adter\ufeff!", "Harry Potter\ufeff!"),
        ("哈\u200b利\u2060波特", "哈利波特"),
        ("Гар\u200dри", "Гарри"),
        ("पॉ\u200bटर", "पॉटर"),
        ("H̷a̷r̷r̷y̷", "Harry"),
        ("ﾊﾘｰ", "ハリー"),
        ("Hello" + "".join(chr(0xE0000 + ord(c)) for c in " Harry"), "Hello Harry"),
    ],
)
def test_look_alikes_are_made_plain_and_what_is_invisible_goes(written: str, plain: str) -> None:
    first, *others = views(written)
    assert first == plain
    assert written in others


def test_a_word_of_two_alphabets_is_read_as_latin_too() -> None:
    assert "Кто такой Harry Potter?" in views("Кто такой Hаrrу Рottеr?")
    assert "Τι είναι Harry;" in views("Τι είναι Ηarrу;")


@pytest.mark.parametrize("between", [" ", ".", "-", "_", "·", "*", " - ", "|", "/", ", ", "  ", "\n"])
@pytest.mark.parametrize("name", ["Harry Potter", "Гарри Поттер", "哈利波特", "해리포터", "Japan"])
@pytest.mark.parametrize("around", ["{}", "Who is {}?", "谁是 {} 吗"])
def test_letters_that_stand_apart_are_put_together(between: str, name: str, around: str) -> None:
    gap = between * 2 if between.isspace() and "\n" not in between else " "
    apart = gap.join(between.join(word) for word in name.split())
    assert any(name.replace(" ", "") in view.replace(" ", "") for view in views(around.format(apart)))


@pytest.mark.parametrize(
    ("apart", "together"),
    [
        ("है-री-पॉ-ट-र कौन है?", "हैरीपॉटर कौन है?"),
        ("谁是哈-利-波-特？", "谁是哈利波特？"),
        ("ใครคือ แ.ฮ.ร์.รี่", "ใครคือ แฮร์รี่"),
        ("誰がハ・リ・ーですか。", "誰がハリーですか。"),
    ],
)
def test_signs_stay_with_their_letter_and_a_run_may_begin_in_the_middle(apart: str, together: str) -> None:
    assert _reads(apart, together)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("H4rry P0tt3r", "Harry Potter"),
        ("h4rry p0773r", "harry potter"),
        ("J4p4n", "Japan"),
        ("5hr3k", "shrek"),
        ("W1ll14m", "William"),
        ("4l1c3", "alice"),
        ("4lb3rt E1n$t3in", "albert Einstein"),
        ("M0skau", "Moskau"),
        ("L0ndre$", "Londres"),
        ("Jame5 B0nd", "James Bond"),
        ("П0ттер", "Поттер"),
        ("Г4рри", "Гарри"),
        ("th3 1ine in 8erl1n", "the line in berlin"),
        ("4dr1@n@ M4r71n3z", "adriana Martinez"),
    ],
)
def test_leetspeak_is_read(written: str, plain: str) -> None:
    for around in ("{}", "Who or what is {}?", "{}, please.", "({})"):
        assert _reads(around.format(written), plain)


@pytest.mark.parametrize("language", LANGUAGES)
def test_ordinary_questions_have_one_view(language: str) -> None:
    book = phrasebook(language)
    texts = (*book.questions, *book.siblings, *book.refusals)
    several = [text for text in texts if len(views(text)) > 1]
    assert len(several) <= len(texts) / 50
    # In a long text a few words may seem to read better some other way: little more is to be looked up for that.
    whole = " ".join(texts)
    looked_up = {window for view in views(whole) for window in windows(view, most=MANY)}
    assert len(looked_up) <= 1.2 * len(windows(whole, most=MANY))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The 2nd edition of the 1930s, B2B, GPT-4, H2O, 10th of May, mp3, COVID-19, 3D, e.g. in the U.S.A.",
        "Visit https://www.example.com/path/to-page?a=1&b=2 or write to bob.smith@example.org!",
        "def area(x):\n    return x[0] * y1\n",
        "Ich habe 1.000 € bezahlt, d.h. 5 % mehr, z.B. am 3.5.2024.",
        "123e4567-e89b-12d3-a456-426614174000 and 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
        'Call it with {"name": "x", "n": 12}.',
        "I ❤️ you 👨‍👩‍👧",
        "J. K. Rowling met R. R. Martin; I was a bit late.",
        "می‌خواهم بدانم",
        "Çok güzel ışık",
        "Москва — столица России, а Киев — Украины.",
        "我有两本书，三、四。“真的吗？”哈利·波特说。",
        "東京タワーは どこですか。",
        "โลกนี้ทำอะไรได้บ้าง",
        "सम्‍राट हिन्दी में लिखते हैं।",
    ],
)
def test_ordinary_texts_have_one_view(text: str) -> None:
    assert views(text) == (text,)


HOSTILE = {
    "everything": (
        f"H4rry P0tt3r H-a-r-r-y {_base64('Harry &#72;&#97; P-o-t-t')} %48%61%72%72%79 Cbggre rettoP yrraH Hаrry "
    ),
    "letters apart": "H a r r y  P o t t e r ",
    "uneven hex": "48 61 72 7",
    "letters and signs": "a-",
    "letters and digits": "a1",
    "ampersands": "&amp",
    "the longest ligature": "\ufdfa",
    "marks": "a\u0301\u0338\u0337",
    "invisible": "a\u200b",
    "two alphabets": "aа",
    "lone surrogates": "\ud800a",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_text_is_always_among_few_and_bounded_views(unit: str) -> None:
    for text in (unit, unit * 40):
        found = views(text)
        assert text in found
        assert len(found) == len(set(found)) <= 147
        assert max(map(len, found)) <= 4 * len(text)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_number_of_views_does_not_grow_with_the_text(unit: str) -> None:
    assert len(views(unit * 80)) <= len(views(unit * 20)) + 8


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_work_grows_as_the_text_does(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    for name, made in inspect.getmembers(decodings, inspect.isfunction):
        if name.startswith("_") or made.__module__ != decodings.__name__:
            continue

        def counted(text: str, original: Callable[[str], str] = made) -> str:
            nonlocal read
            read += len(text)
            return original(text)

        monkeypatch.setattr(decodings, name, counted)
    views(unit * 20)
    short, read = read, 0
    views(unit * 80)
    assert read <= 4.5 * short
