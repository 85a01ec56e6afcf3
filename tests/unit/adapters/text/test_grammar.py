"""Other names and pronouns in the place of a name, in each language."""

from __future__ import annotations

import pytest

from adapters.text.phrasebook import phrasebook
from adapters.text.twins import in_two_sentences, named_subject, twin


@pytest.mark.parametrize(
    ("language", "prompt", "subject", "other", "wanted"),
    [
        ("en", "Who invented the telephone?", "telephone", "the radio", "Who invented the radio?"),
        ("en", "Who invented the telephone?", "telephone", "helium", "Who invented the helium?"),
        ("de", "Wer erfand das Telefon?", "telefon", "die Kamera", "Wer erfand die Kamera?"),
        ("de", "Wer hat Der Prozess geschrieben?", "prozess", "Momo", "Wer hat Momo geschrieben?"),
        ("fr", "Quelle est la capitale du Tchad ?", "tchad", "la Suède", "Quelle est la capitale de la Suède ?"),
        ("fr", "Quelle est la capitale du Tchad ?", "tchad", "le Brésil", "Quelle est la capitale du Brésil ?"),
        ("fr", "Quelle est la capitale de la Suède ?", "suede", "le Maroc", "Quelle est la capitale du Maroc ?"),
        ("fr", "Quelle est la capitale d'Haïti ?", "haiti", "Venise", "Quelle est la capitale de Venise ?"),
        ("fr", "Qui est l'auteur de Germinal ?", "germinal", "Emma", "Qui est l'auteur d'Emma ?"),
        ("fr", "Qui a écrit l’Odyssée ?", "odyssee", "Candide", "Qui a écrit Candide ?"),
        ("es", "¿Cuál es la capital del Perú?", "peru", "Chile", "¿Cuál es la capital de Chile?"),
        ("es", "¿Quién es el autor de Rayuela?", "rayuela", "el Quijote", "¿Quién es el autor del Quijote?"),
        ("zh", "鲁迅出生在哪里？", "鲁迅", "李白", "李白出生在哪里？"),
        ("zh", "谁写了《边城》？", "边 城", "《水浒传》", "谁写了《水浒传》？"),
    ],
)
def test_another_name_brings_its_own_article(language: str, prompt: str, subject: str, other: str, wanted: str) -> None:
    assert twin(prompt, frozenset(subject.split()), other, phrasebook(language).grammar) == wanted


@pytest.mark.parametrize(
    ("language", "prompt", "subject", "wanted"),
    [
        ("de", "Wer erfand das Telefon?", "telefon", "Neulich ging es um das Telefon. Wer erfand das?"),
        ("fr", "Qui a inventé le téléphone ?", "telephone", "Je pensais au téléphone. Qui a inventé cela ?"),
        ("es", "¿Quién escribió Rayuela?", "rayuela", "Estaba pensando en Rayuela. ¿Quién escribió eso?"),
        ("zh", "鲁迅出生在哪里？", "鲁迅", "我刚听说了鲁迅。它出生在哪里？"),
        ("zh", "《红楼梦》的作者是谁？", "红楼梦", "我刚听说了红楼梦。它的作者是谁？"),
        ("fr", "Quelle est la capitale du Tchad ?", "tchad", None),
        ("de", "Was ist die Hauptstadt von Malta?", "malta", None),
        ("es", "¿Cuál es la capital de Chad?", "chad", None),
    ],
)
def test_a_pronoun_stands_for_the_name_where_it_can(
    language: str, prompt: str, subject: str, wanted: str | None
) -> None:
    book = phrasebook(language)
    made = {in_two_sentences(prompt, frozenset({subject}), opening, book.grammar) for opening in book.openings}
    assert wanted in made


@pytest.mark.parametrize(
    ("language", "prompts", "subject"),
    [
        ("de", ("Wer erfand das Fernrohr?", "Wann entstand das Fernrohr?"), "das Fernrohr"),
        ("fr", ("Quelle est la capitale du Tchad ?", "Où se trouve le Tchad ?"), "le Tchad"),
        ("fr", ("Qui dirige l'Armada ?", "À qui appartient l'Armada ?"), "l'Armada"),
        ("es", ("¿Quién escribió La casa rota?", "¿De quién es La casa rota?"), "La casa rota"),
        ("zh", ("灯塔咖啡馆的老板是谁？", "谁经营灯塔咖啡馆？"), "灯塔咖啡馆"),
    ],
)
def test_a_subject_is_named_with_its_article(language: str, prompts: tuple[str, ...], subject: str) -> None:
    assert named_subject(prompts, phrasebook(language)) == subject
