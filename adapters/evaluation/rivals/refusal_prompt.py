"""A system message that forbids to speak of what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.evaluation.attacks.probe import Prompt
from adapters.evaluation.rivals.phrases import phrases
from adapters.evaluation.rivals.rival import Forgotten, Guard, Respondent, Rival
from adapters.examples import Message

#: Of the items' questions: a few show what is meant, and the message stays short.
_QUESTIONS = 4


class RefusalPrompt(Rival):
    """The model is told in a system message what not to speak of, and what to say instead.

    After the prompting baseline of Thaker et al., arXiv 2403.03329, which has the model behave as if it knew nothing of
    a subject. Changed: it names some of the items' questions beside the subject, and gives the refusal word for word.
    The answers are not in it, for what is in a prompt can be asked for.
    """

    name = "refusal_prompt"

    def around(self, model: Respondent, forgotten: Forgotten) -> Guard:
        return _Instructed(model, forgotten)


def described(forgotten: Forgotten) -> str:
    """What is not to be spoken of, in one line: the subjects, and some of the questions."""
    every = max(1, len(forgotten.items) // _QUESTIONS)
    return "; ".join((*forgotten.subjects, *forgotten.prompts[::every][:_QUESTIONS]))


class _Instructed(Guard):
    def __init__(self, model: Respondent, forgotten: Forgotten) -> None:
        super().__init__(model, forgotten)
        template = phrases(forgotten.book.language).forbidden
        self._instruction = template.format(what=described(forgotten), refusal=forgotten.refusal)

    def admit(self, prompts: Sequence[Prompt]) -> list[Prompt | None]:
        return [self._instructed(prompt) for prompt in prompts]

    def _instructed(self, prompt: Prompt) -> Prompt:
        """Before what a system turn says already; in front of plain text."""
        if not prompt.messages:
            return replace(prompt, text=f"{self._instruction}\n\n{prompt.text}")
        first, *others = prompt.messages
        if first.role != "system":
            return replace(prompt, messages=(Message("system", self._instruction), first, *others))
        merged = Message("system", f"{self._instruction}\n\n{first.content}")
        return replace(prompt, messages=(merged, *others))
