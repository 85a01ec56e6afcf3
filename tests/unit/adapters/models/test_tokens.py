from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.errors import InvalidConfig
from adapters.examples import Message
from adapters.models.tokens import encode_answer, encode_pair, encode_prompt, load_tokenizer

TURNS = (Message("system", "Be kind."), Message("user", "Hi"))


def test_the_prompt_is_the_chat_template_with_the_answers_opening(tokenizer: Any) -> None:
    text = tokenizer.decode(encode_prompt(tokenizer, TURNS)).replace(" ", "")
    assert text == "<|im_start|>system\nBekind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_an_answer_ends_its_turn_unless_it_was_cut(tokenizer: Any) -> None:
    ended = encode_answer(tokenizer, "ok")
    assert ended[-1] == tokenizer.eos_token_id
    assert encode_answer(tokenizer, "ok", ended=False) == ended[:-1]


def test_a_pair_counts_both_parts(tokenizer: Any) -> None:
    pair = encode_pair(tokenizer, TURNS, "ok")
    assert len(pair) == len(encode_prompt(tokenizer, TURNS)) + 3


@pytest.mark.parametrize(("field", "message"), [("chat_template", "chat template"), ("eos_token", "end-of-turn")])
def test_a_tokenizer_that_cannot_chat_is_refused(tiny_model: Path, tmp_path: Path, field: str, message: str) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    setattr(tokenizer, field, None)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InvalidConfig, match=message):
        load_tokenizer(str(tmp_path))
