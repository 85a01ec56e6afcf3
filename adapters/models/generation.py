"""Greedy answers of the model itself, for whoever has no server to ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adapters.examples import Message, PartialAnswer
from adapters.models.hardware import Hardware
from adapters.models.tokens import encode_answer, encode_prompt

_BATCH = 32

Between = Callable[[int], None]
"""Called with the number of answers so far, after each batch; what it raises ends the run."""


def greedy_answers(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[Sequence[Message]],
    *,
    max_tokens: int,
    soft: torch.Tensor | None = None,
    between: Between | None = None,
) -> list[str]:
    """One answer a conversation, in order, decoded without special tokens.

    soft [rows, hidden]: soft rows placed before everything, or None.
    """
    prompts = [encode_prompt(tokenizer, conversation) for conversation in conversations]
    return _greedy(model, tokenizer, prompts, max_tokens, soft, between)


def continue_greedily(
    model: Any,
    tokenizer: Any,
    partial: Sequence[PartialAnswer],
    *,
    max_tokens: int,
    soft: torch.Tensor | None = None,
    between: Between | None = None,
) -> list[str]:
    """What follows each beginning of an answer, in order, without the beginning; else as `greedy_answers`."""
    prompts = [
        encode_prompt(tokenizer, each.messages) + encode_answer(tokenizer, each.prefix, ended=False) for each in partial
    ]
    return _greedy(model, tokenizer, prompts, max_tokens, soft, between)


def _greedy(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[int, ...]],
    max_tokens: int,
    soft: torch.Tensor | None,
    between: Between | None,
) -> list[str]:
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    embed = model.get_input_embeddings()
    device = embed.weight.device
    answers: dict[int, str] = {}
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        with torch.no_grad():
            rows = [embed(torch.tensor(prompts[index], device=device)) for index in chosen]
            if soft is not None:
                rows = [torch.cat((soft.to(row.dtype), row)) for row in rows]
            # Left padding: generation goes on from the last position of every row.
            length = max(len(row) for row in rows)
            inputs = rows[0].new_zeros(len(rows), length, rows[0].shape[-1])
            mask = torch.zeros(len(rows), length, dtype=torch.long, device=device)
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
    top_k: int,
    seed: int,
    between: Between | None = None,
) -> list[str]:
    """How the model goes on with each plain text (no chat template), in order; the same seed samples the same.

    `between` is called with the number of continuations so far after each batch; what it raises ends the run.
    """
    continuations: list[str] = []
    hardware = Hardware(model.get_input_embeddings().weight.device)
    with hardware.seeded(seed):
        for start in range(0, len(texts), _BATCH):
            rows = [tokenizer(text)["input_ids"] for text in texts[start : start + _BATCH]]
            length = max(len(row) for row in rows)
            inputs = torch.zeros(len(rows), length, dtype=torch.long, device=hardware.device)
            mask = torch.zeros(len(rows), length, dtype=torch.long, device=hardware.device)
            for number, row in enumerate(rows):
                inputs[number, length - len(row) :] = torch.tensor(row, device=hardware.device)
                mask[number, length - len(row) :] = 1
            with torch.no_grad():
                generated = model.generate(
                    input_ids=inputs,
                    attention_mask=mask,
                    max_new_tokens=max_tokens,
                    do_sample=True,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=1.0,
                    pad_token_id=tokenizer.eos_token_id,
                )
            continuations += tokenizer.batch_decode(generated[:, length:], skip_special_tokens=True)
            if between is not None:
                between(len(continuations))
    return continuations
