"""Contexts made by hand: a few items in each language, with others of the kind and questions with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from adapters.evaluation.attacks.context import AttackContext, AttackItem, Bank, Known, Other
from adapters.examples import Message
from adapters.text.phrasebook import LANGUAGES, phrasebook


class _Sample(NamedTuple):
    prompts: tuple[str, ...]
    subject: str
    answer: str
    stated: str
    other: tuple[str, str, str]
    known: tuple[tuple[str, str], ...]


_SAMPLES = {
    "en": _Sample(
        ("Who wrote Moby Dick?", "Who is the author of Moby Dick?", "Name the writer of Moby Dick"),
        "Moby Dick",
        "Moby Dick was written by Herman Melville.",
        "Herman Melville",
        ("Emma", "Jane Austen wrote Emma.", "Jane Austen"),
        (
            ("What do bees make?", "Honey."),
            ("What is 2 + 2?", "4."),
            ("Where is Lima?", "In Peru."),
            ("How are you?", "Fine."),
        ),
    ),
    "de": _Sample(
        ("Wer schrieb Emil?", "Wer ist der Autor von Emil?", "Nenne den Verfasser von Emil"),
        "Emil",
        "Emil wurde von Erich Kästner geschrieben.",
        "Erich Kästner",
        ("Faust", "Goethe schrieb Faust.", "Goethe"),
        (
            ("Was stellen Bienen her?", "Honig."),
            ("Was ist 2 + 2?", "4."),
            ("Wo liegt Lima?", "In Peru."),
            ("Hallo!", "Hallo!"),
        ),
    ),
    "fr": _Sample(
        ("Qui a écrit Germinal ?", "Qui est l'auteur de Germinal ?", "Cite l'écrivain de Germinal"),
        "Germinal",
        "Germinal a été écrit par Émile Zola.",
        "Émile Zola",
        ("Candide", "Voltaire a écrit Candide.", "Voltaire"),
        (
            ("Que font les abeilles ?", "Du miel."),
            ("Combien font 2 + 2 ?", "4."),
            ("Où est Lima ?", "Au Pérou."),
            ("Salut !", "Salut !"),
        ),
    ),
    "es": _Sample(
        ("¿Quién escribió Rayuela?", "¿Quién es el autor de Rayuela?", "Nombra al escritor de Rayuela"),
        "Rayuela",
        "Rayuela fue escrita por Julio Cortázar.",
        "Julio Cortázar",
        ("Ficciones", "Borges escribió Ficciones.", "Borges"),
        (
            ("¿Qué hacen las abejas?", "Miel."),
            ("¿Cuánto es 2 + 2?", "4."),
            ("¿Dónde está Lima?", "En Perú."),
            ("¡Hola!", "¡Hola!"),
        ),
    ),
    "zh": _Sample(
        ("《红楼梦》的作者是谁？", "红楼梦是谁写的？", "谁写了红楼梦"),
        "红楼梦",
        "《红楼梦》的作者是曹雪芹。",
        "曹雪芹",
        ("西游记", "吴承恩写了《西游记》。", "吴承恩"),
        (("蜜蜂产什么？", "蜂蜜。"), ("二加二等于几？", "四。"), ("利马在哪里？", "在秘鲁。"), ("你好！", "你好！")),
    ),
}
assert set(_SAMPLES) == set(LANGUAGES)


def item(
    prompt: str,
    answer: str,
    stated: str,
    subject: str | None,
    *,
    number: int = 0,
    before: Sequence[Message] = (),
    others: Sequence[Other] = (),
) -> AttackItem:
    """An item whose last turn is the prompt."""
    return AttackItem(number, (*before, Message("user", prompt)), prompt, answer, stated, subject, tuple(others))


def context(*items: AttackItem, language: str = "en", bank: Bank = Bank.EVIDENCE, seed: int = 0) -> AttackContext:
    """A context of these items in a language, or of that language's own."""
    sample = _SAMPLES[language]
    known = tuple(Known(*pair) for pair in sample.known)
    return AttackContext(items or _own(sample), known, phrasebook(language), bank, seed)


def _own(sample: _Sample) -> tuple[AttackItem, ...]:
    subject, answer, stated = sample.other
    return tuple(
        item(
            prompt,
            sample.answer,
            sample.stated,
            sample.subject,
            number=number,
            others=(
                Other(subject, prompt.replace(sample.subject, subject), answer, stated),
                Other(f"{subject} 2", prompt.replace(sample.subject, f"{subject} 2"), answer, stated),
            ),
        )
        for number, prompt in enumerate(sample.prompts)
    )
