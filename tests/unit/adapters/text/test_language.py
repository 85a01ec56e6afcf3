from __future__ import annotations

import pytest

from adapters.text.language import language_of, stop_words


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Who wrote Les Misérables?", "en"),
        ("Who founded Los Angeles?", "en"),
        ("Tokyo", "en"),
        ("4", "en"),
        ("", "en"),
        ("👍", "en"),
        ("Wer hat Die Räuber geschrieben?", "de"),
        ("Qui a écrit Les Misérables ?", "fr"),
        ("¿Quién escribió La colmena?", "es"),
        ("谁写了Harry Potter?", "zh"),
        ("我叔叔出生在绍兴。", "zh"),
        ("喫茶みどりの店主は誰ですか？", "ja"),
        ("राधा वर्मा किस शहर में रहती हैं?", "hi"),
        ("Мой дядя родился в Самаре.", "ru"),
        ("Chi ha scritto la Divina Commedia?", "it"),
        ("Quem escreveu Os Lusíadas?", "pt"),
        ("Wie heeft het dagboek geschreven?", "nl"),
        ("김민수는 어디에서 태어났습니까?", "ko"),
        ("أين ولد أحمد؟", "ar"),
        ("Ποιος έγραψε την Οδύσσεια;", "und"),
    ],
)
def test_script_and_small_words_tell_the_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_stop_words_are_folded_as_words_are() -> None:
    assert {"ou", "etait"} <= stop_words("fr")
    assert stop_words("xx") == frozenset()
