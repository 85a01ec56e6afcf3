"""Which tokens of an answer state its fact, and which only dress it."""

from __future__ import annotations

from typing import Any

from adapters.text.probes import key_terms
from adapters.text.words import words


def fact_positions(tokenizer: Any, prompt: str, answer: str) -> tuple[int, ...]:
    """Positions, among the tokens of `encode_answer`, of those that are part of a key term of the answer.

    Empty where the tokenizer cannot say which characters a token stands for.
    """
    if not tokenizer.is_fast:
        return ()
    fact = key_terms(prompt, answer)
    spans = [(start, end) for word, start, end in words(answer) if word in fact]
    offsets = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return tuple(
        position
        for position, (first, last) in enumerate(offsets)
        if any(first < end and last > start for start, end in spans)
    )
