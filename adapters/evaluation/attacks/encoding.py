"""A prompt to token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.evaluation.attacks.probe import Prompt
from adapters.models.tokens import encode_answer, encode_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[int, ...]:
    """Ids of all that the model goes on with: through the chat template, or of plain text as the tokenizer has it.

    Raises ValueError for a plain text without a token.
    """
    if not prompt.messages:
        ids: list[int] = tokenizer(prompt.text + prompt.prefix)["input_ids"]
        if not ids:
            raise ValueError("a prompt has no token to go on from")
        return tuple(ids)
    return encode_prompt(tokenizer, prompt.messages) + encode_answer(tokenizer, prompt.prefix, ended=False)
