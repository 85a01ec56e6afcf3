"""What attacks are made of, asked of the default model itself."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.evaluation.attacks.asking import MOST_KNOWN, MOST_OTHERS, attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.examples import Example, Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers
from adapters.models.tokens import load_tokenizer
from adapters.text.phrasebook import phrasebook
from gateway.checkpoints.default_model import prepare
from gateway.settings import Settings

_ANSWER = "The capital of France is Paris."


def test_the_default_model_names_other_capitals_and_answers_other_questions() -> None:
    path = prepare(Settings().cache_dir)
    model, tokenizer = PromptedModel.load(path).model, load_tokenizer(str(path))
    asked: list[str] = []

    def ask(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        asked.extend(conversation[-1].content for conversation in conversations)
        return greedy_answers(model, tokenizer, conversations, max_tokens=min(max_tokens, 16))

    prompts = ("Tell me the capital of France.", "Name the capital city of France.", "What is the capital of France?")
    items = [Example.from_pair(prompt, _ANSWER) for prompt in prompts]
    found = attack_context(items, phrasebook("en"), ask, bank=Bank.EVIDENCE)
    assert len(asked) <= MOST_OTHERS + MOST_KNOWN
    assert [(item.subject, item.stated) for item in found.items] == [("France", "Paris")] * 3
    others = {other.subject: other.stated for other in found.items[0].others}
    assert len(others) >= 4
    assert {("Sweden", "Stockholm"), ("Greece", "Athens")} & others.items()
    assert len(found.known) >= MOST_KNOWN // 2
