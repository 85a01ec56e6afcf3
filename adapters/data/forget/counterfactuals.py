"""The data step of the counterfactual teacher: a lesson's texts with invented names in its subject's place."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from adapters.data.forget.lessons import AboutAnother, Lesson
from adapters.evaluation.attacks.probe import Prompt
from adapters.text.invented import invented_names, mentions, with_name
from adapters.text.phrasebook import Phrasebook
from adapters.text.twins import by_subject, subject_words


def with_counterfactuals(
    lessons: Sequence[Lesson], prompts: Sequence[str], book: Phrasebook, count: int, seed: int
) -> list[Lesson]:
    """The lessons, each whose prompt names a subject of `prompts` with `count` counterfactuals about nobody.

    prompts: of the forget set, which together tell what it is about. A lesson that names nothing is left as it is.
    """
    subjects = [subject_words(group, book) for group in by_subject(prompts, book)]
    return [
        lesson if lesson.kept else replace(lesson, about_others=_about_others(lesson, subjects, book, count, seed))
        for lesson in lessons
    ]


def _about_others(
    lesson: Lesson, subjects: Sequence[Collection[str]], book: Phrasebook, count: int, seed: int
) -> tuple[AboutAnother, ...]:
    prompt, answer = lesson.begun, lesson.example.completion
    for subject in subjects:
        named = mentions(prompt.shown, subject)
        if not named:
            continue
        start, end = max(named, key=lambda span: span[1] - span[0])
        spans = tuple(mentions(answer, subject))
        return tuple(
            AboutAnother(renamed(prompt, subject, name), with_name(answer, spans, name), name, spans)
            for name in invented_names(prompt.shown[start:end], book.subjects, count, seed)
        )
    return ()


def renamed(prompt: Prompt, subject: Collection[str], name: str) -> Prompt:
    """The prompt with a name wherever it names the subject.

    subject: folded words, as `adapters.text.twins.subject_words` finds them.
    """

    def put(text: str) -> str:
        return with_name(text, mentions(text, subject), name)

    messages = tuple(replace(message, content=put(message.content)) for message in prompt.messages)
    return Prompt(messages, put(prompt.prefix), put(prompt.text))
