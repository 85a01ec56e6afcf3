"""Greedy answers of the model itself, for retain sets made where no server can be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adapters.chat import encode_prompt
from adapters.examples import Message

_BATCH = 32


def greedy_answers(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[Sequence[Message]],
    *,
    max_tokens: int,
    soft: torch.Tensor | None = None,
    between: Callable[[int], None] | None = None,
) -> list[str]:
    """One answer a conversation, in order, decoded without special tokens.

    soft [rows, hidden]: soft rows placed before everything, or None. `between` is called with the number of
    answers so far after each batch; what it raises ends the run.
    """
    prompts = [encode_prompt(tokenizer, conversation) for conversation in conversations]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    embed = model.get_input_embeddings()
    answers: dict[int, str] = {}
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        with torch.no_grad():
            rows = [embed(torch.tensor(prompts[index])) for index in chosen]
            if soft is not None:
                rows = [torch.cat((soft.to(row.dtype), row)) for row in rows]
            # Left padding: generation goes on from the last position of every row.
            length = max(len(row) for row in rows)
            inputs = rows[0].new_zeros(len(rows), length, rows[0].shape[-1])
            mask = torch.zeros(len(rows), length, dtype=torch.long)
            for number, row in enumerate(rows):
                inputs[number, length - len(row) :] = row
                mask[number, length - len(row) :] = 1
            generated = model.generate(
                inputs_embeds=inputs,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=tokenizer.eos_token_id,
            )
        texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
        answers.update(zip(chosen, texts, strict=True))
        if between is not None:
            between(len(answers))
    return [answers[index] for index in range(len(prompts))]


def sampled_continuations(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    max_tokens: int,
    temperature: float,
    seed: int,
    between: Callable[[int], None] | None = None,
) -> list[str]:
    """How the model goes on with each plain text (no chat template), in order; the same seed samples the same.

    `between` is called with the number of continuations so far after each batch; what it raises ends the run.
    """
    continuations: list[str] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for start in range(0, len(texts), _BATCH):
            rows = [tokenizer(text)["input_ids"] for text in texts[start : start + _BATCH]]
            length = max(len(row) for row in rows)
            inputs = torch.zeros(len(rows), length, dtype=torch.long)
            mask = torch.zeros(len(rows), length, dtype=torch.long)
            for number, row in enumerate(rows):
                inputs[number, length - len(row) :] = torch.tensor(row)
                mask[number, length - len(row) :] = 1
            with torch.no_grad():
                generated = model.generate(
                    input_ids=inputs,
                    attention_mask=mask,
                    max_new_tokens=max_tokens,
                    do_sample=True,
                    temperature=temperature,
                    top_k=0,
                    top_p=0.95,
                    pad_token_id=tokenizer.eos_token_id,
                )
            continuations += tokenizer.batch_decode(generated[:, length:], skip_special_tokens=True)
            if between is not None:
                between(len(continuations))
    return continuations
