from __future__ import annotations

from typing import Any

import pytest
import torch

from adapters.errors import TrainingCancelled
from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers, sampled_continuations
from adapters.models.tokens import encode_prompt

CONVERSATIONS = [(Message("user", text),) for text in ("Hi", "Who wrote Emma and when was it?", "2+2")]


def test_answers_do_not_depend_on_the_batch_they_are_given_in(prompted: PromptedModel, tokenizer: Any) -> None:
    together = greedy_answers(prompted.model, tokenizer, CONVERSATIONS, max_tokens=6)
    alone = [greedy_answers(prompted.model, tokenizer, [c], max_tokens=6)[0] for c in CONVERSATIONS]
    assert together == alone
    assert len(set(together)) > 1


def test_soft_rows_stand_in_front_of_the_prompt(prompted: PromptedModel, tokenizer: Any) -> None:
    """Rows that are the embeddings of tokens give what those tokens give."""
    lead = torch.tensor(tokenizer("Zeta", add_special_tokens=False)["input_ids"])
    soft = prompted.embed(lead).detach()
    (answer,) = greedy_answers(prompted.model, tokenizer, CONVERSATIONS[:1], max_tokens=6, soft=soft)
    ids = torch.cat((lead, torch.tensor(encode_prompt(tokenizer, CONVERSATIONS[0]))))
    with torch.no_grad():
        for _ in range(6):
            ids = torch.cat((ids, prompted.model(ids[None]).logits[0, -1].argmax()[None]))
            if ids[-1] == tokenizer.eos_token_id:
                break
    start = len(lead) + len(encode_prompt(tokenizer, CONVERSATIONS[0]))
    assert answer == tokenizer.decode(ids[start:], skip_special_tokens=True)


def test_what_the_caller_raises_between_batches_ends_the_run(prompted: PromptedModel, tokenizer: Any) -> None:
    def stop(done: int) -> None:
        raise TrainingCancelled(f"after {done}")

    with pytest.raises(TrainingCancelled, match="after 3"):
        greedy_answers(prompted.model, tokenizer, CONVERSATIONS, max_tokens=2, between=stop)


def test_continuations_are_of_the_plain_text_and_the_seed_decides_them(prompted: PromptedModel, tokenizer: Any) -> None:
    texts = ["1. Who wrote Emma?\n2.", "1. Hi\n2."]
    settings: dict[str, Any] = {"max_tokens": 8, "temperature": 1.0, "top_k": 50}
    once, again, other = (
        sampled_continuations(prompted.model, tokenizer, texts, seed=seed, **settings) for seed in (3, 3, 4)
    )
    assert once == again != other
    # Nearly no temperature leaves nothing to chance: what a greedy reader would go on with.
    (cold,) = sampled_continuations(
        prompted.model, tokenizer, texts[1:], max_tokens=3, temperature=1e-4, top_k=50, seed=0
    )
    ids = torch.tensor(tokenizer(texts[1])["input_ids"])
    with torch.no_grad():
        for _ in range(3):
            ids = torch.cat((ids, prompted.model(ids[None]).logits[0, -1].argmax()[None]))
    assert tokenizer.decode(ids[-3:], skip_special_tokens=True) == cold


def test_the_callers_own_chance_is_left_alone(prompted: PromptedModel, tokenizer: Any) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    sampled_continuations(prompted.model, tokenizer, ["Hi"], max_tokens=2, temperature=1.0, top_k=50, seed=0)
    assert torch.equal(torch.rand(3), expected)
