"""Conversations to token ids, through the model's own chat template.

The prompt is rendered exactly as a server renders it (`add_generation_prompt=True`), so what is
trained on is what is served. The answer is its text followed by the end-of-turn token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapters.errors import InvalidConfig
from adapters.examples import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """Token ids of one training example: [prompt_ids][answer_ids]; both are never empty.

    fact: positions in answer_ids of the tokens that state the answer's fact; empty where nobody looked. own: positions
        of those that are nobody's secret: the subject's name, the token behind it and the end of turn.
    counterfactuals: the same example about others.
        Notes on the same tokens, so they do not tell examples apart: what a model makes of them is cached once.
    """

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    fact: tuple[int, ...] = field(default=(), compare=False)
    own: tuple[int, ...] = field(default=(), compare=False)
    counterfactuals: tuple[Counterfactual, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.answer_ids)


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """An example with another name in its subject's place.

    example: its tokens. positions: for each token of the original's answer the position in this one's answer that
    predicts the same token after the same words, -1 where the names differ. given_back: (first token of this name,
    first token of the subject's), whose probability is the subject's.
    """

    example: TokenizedExample
    positions: tuple[int, ...]
    given_back: tuple[tuple[int, int], ...] = ()


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local checkpoint; nothing is ever fetched.

    Raises `InvalidConfig` when it has no chat template or no end-of-turn token.
    """
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
    if tokenizer.chat_template is None:
        raise InvalidConfig("the model's tokenizer has no chat template")
    if tokenizer.eos_token_id is None:
        raise InvalidConfig("the model's tokenizer has no end-of-turn token")
    return tokenizer


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """Ids of the conversation up to where the assistant's answer begins."""
    encoded: Any = tokenizer.apply_chat_template(
        [message.to_dict() for message in messages],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
    )
    return tuple(encoded["input_ids"])


def encode_answer(tokenizer: PreTrainedTokenizerBase, answer: str, *, ended: bool = True) -> tuple[int, ...]:
    """Ids of an answer; `ended` appends the end-of-turn token (false for an answer cut at a token limit)."""
    ids: list[int] = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return (*ids, tokenizer.eos_token_id) if ended else tuple(ids)


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answer: str, *, ended: bool = True
) -> TokenizedExample:
    """One conversation with its answer."""
    return TokenizedExample(encode_prompt(tokenizer, messages), encode_answer(tokenizer, answer, ended=ended))
