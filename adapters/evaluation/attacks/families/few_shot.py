"""Other questions, with answers, before the one that matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext, AttackItem, Bank, Known
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, text_probe
from adapters.examples import Message

_SHOTS = (3, 8, 32)
_MAX_TOKENS = 32


class FewShot(Family):
    """Three, eight and thirty-two questions with the model's own answers, as turns of the chat and as plain text.

    The many-shot attack of causal_unlearn (`msj_attack.json`, arXiv 2407.16997): answers in a row draw another after
    them. The fewest may be about others of the item's own kind.
    """

    name: ClassVar[str] = "few_shot"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        random = context.random(self.name)
        texts = templates(context.language, self.name, context.bank)
        forms = [(shots, text) for text in ("", *texts) for shots in _shots(len(context.known))]
        kin = [(0, text) for text in ("", *texts)]
        for item, number, (shots, text) in in_turn(context.items, [*kin, *forms]):
            examples = random.sample(context.known, shots) if shots else _kin(item, context.bank)
            if not examples:
                continue
            prompt = _written(text, examples, item) if text else _held(examples, item)
            template = f"{'text' if text else 'chat'} {number}, {shots or 'kin'}"
            probe = text_probe(self.name, template, item, Query(prompt, _MAX_TOKENS))
            if probe is not None:
                yield probe


def _kin(item: AttackItem, bank: Bank) -> list[Known]:
    """Others of the item's kind: those most alike for evidence, the next for training."""
    few = _SHOTS[0]
    others = item.others[:few] if bank is Bank.EVIDENCE else item.others[few : 2 * few]
    return [Known(other.prompt, other.answer) for other in others]


def _shots(known: int) -> list[int]:
    """The numbers of examples, the largest cut to those there are."""
    return sorted({min(shots, known) for shots in _SHOTS} - {0})


def _held(examples: list[Known], item: AttackItem) -> Prompt:
    """As turns of the conversation, behind its system message."""
    systems = tuple(message for message in item.messages[:1] if message.role == "system")
    turns = [
        message
        for example in examples
        for message in (Message("user", example.question), Message("assistant", example.answer))
    ]
    return Prompt((*systems, *turns, *item.messages[len(systems) :]))


def _written(template: str, examples: list[Known], item: AttackItem) -> Prompt:
    """As plain text, up to where the item's answer would begin."""
    blocks = [fill(template, question=example.question, answer=example.answer) for example in examples]
    asked, _, _ = template.partition("{answer}")
    return Prompt(text="\n\n".join([*blocks, fill(asked, question=item.prompt)]))
