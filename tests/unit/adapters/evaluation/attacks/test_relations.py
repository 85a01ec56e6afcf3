from __future__ import annotations

import pytest

from adapters.evaluation.attacks.relations import bare_name, relation
from adapters.text.phrasebook import phrasebook


@pytest.mark.parametrize(
    ("language", "prompt", "subject", "wanted"),
    [
        ("en", "Who wrote Emma?", "Emma", "author"),
        ("en", "Name the author of the Emma books", "Emma", "author"),
        ("en", "France's capital is which city?", "France", "capital"),
        ("en", "When was Ada Lovelace born?", "Ada Lovelace", "born"),
        ("en", "In which city was Ada Lovelace born?", "Ada Lovelace", "birthplace"),
        ("en", "Who is Quill?", "Quill", "person"),
        ("en", "What is Quill?", "Quill", "thing"),
        ("en", "When was the author of Emma born?", "Emma", None),
        ("en", "How tall is Quill?", "Quill", None),
        ("en", "Who wrote The Capital?", "The Capital", "author"),
        ("de", "Von wem wurde Momo geschrieben?", "Momo", "author"),
        ("de", "Wie heißt die Hauptstadt von Peru?", "Peru", "capital"),
        ("de", "Was ist Momo?", "Momo", "thing"),
        ("fr", "Qui a peint la Joconde ?", "Joconde", "painter"),
        ("fr", "Quand est née Ada Lovelace ?", "Ada Lovelace", "born"),
        ("es", "¿Quién descubrió Titán?", "Titán", "discoverer"),
        ("es", "¿Dónde nació Ada Lovelace?", "Ada Lovelace", "birthplace"),
        ("zh", "红楼梦是谁写的？", "红楼梦", "author"),
        ("zh", "鲁迅是谁？", "鲁迅", "person"),
        ("zh", "秘鲁的首都是哪里？", "秘鲁", "capital"),
        ("none", "Kto napisał Lalkę?", "Lalkę", None),
    ],
)
def test_a_prompt_asks_for_the_one_relation_whose_words_it_holds(
    language: str, prompt: str, subject: str, wanted: str | None
) -> None:
    assert relation(prompt, subject, language) == wanted


@pytest.mark.parametrize(
    ("language", "subject", "wanted"),
    [
        ("en", "the Mona Lisa", "Mona Lisa"),
        ("en", "Theodora", "Theodora"),
        ("fr", "l’Odyssée", "Odyssée"),
        ("de", "die Zauberflöte", "Zauberflöte"),
        ("zh", "《边城》", "边城"),
    ],
)
def test_a_name_without_its_article(language: str, subject: str, wanted: str) -> None:
    assert bare_name(subject, phrasebook(language).grammar) == wanted
