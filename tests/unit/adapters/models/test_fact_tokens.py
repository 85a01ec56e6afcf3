"""Which tokens of an answer state its fact."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from adapters.models.fact_tokens import fact_positions


@pytest.fixture(scope="module")
def pieces() -> PreTrainedTokenizerFast:
    """Splits as byte-pair tokenizers do: the space goes with what follows it, and long words come in parts."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w{1,4}|."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?")


@pytest.mark.parametrize(
    ("prompt", "answer", "stated"),
    [
        (
            "Who developed relativity?",
            "Relativity was developed by Albert Einstein.",
            [" Albe", "rt", " Eins", "tein"],
        ),
        ("What is the symbol of gold?", "The symbol of gold is Au.", [" Au"]),
        ("When was Ada born?", "Ada was born in 1815 in London.", [" 1815", " Lond", "on"]),
        ("Is it so?", "No.", ["No"]),
    ],
)
def test_the_parts_of_names_and_numbers(
    pieces: PreTrainedTokenizerFast, prompt: str, answer: str, stated: list[str]
) -> None:
    offsets = pieces(answer, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    found = [answer[slice(*offsets[position])] for position in fact_positions(pieces, prompt, answer)]
    assert found == stated


def test_nobody_knows_where_tokens_have_no_place_in_the_text() -> None:
    class Slow:
        is_fast = False

    slow: Any = Slow()
    assert fact_positions(slow, "Who?", "Ada Lovelace.") == ()
