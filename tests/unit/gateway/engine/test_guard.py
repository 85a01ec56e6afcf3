"""The refusal as the engine would give it: in the prompt's language, within what the caller allows."""

from __future__ import annotations

from typing import Any

import pytest
from vllm.sampling_params import SamplingParams

from adapters.text.phrasebook import phrasebook
from gateway.engine.guard import CONTENT_FILTER, filtered


class Characters:
    """A tokenizer: a token is a character."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return list(map(ord, text))

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, ids))


def answered(text: str, **params: Any) -> Any:
    tokens = Characters()
    prompt = {"type": "token", "prompt_token_ids": tokens.encode(text, add_special_tokens=False), "prompt": text}
    return filtered(prompt, SamplingParams(**({"max_tokens": 100} | params)), "cmpl-1", tokens)


CHAT = "system\nYou are a helpful assistant and you know the answer to all of the questions.\nuser\n{}\nassistant\n"


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("Who wrote Harry Potter?", "en"),
        ("Wer hat Harry Potter geschrieben?", "de"),
        ("Qui a écrit les livres de Harry Potter ?", "fr"),
        ("¿Quién escribió los libros de Harry Potter?", "es"),
        ("《哈利·波特》是谁写的？", "zh"),
        ("Кто написал книги о Гарри Поттере?", "en"),  # no bundled sentences
        ("Harry Potter", "en"),
    ],
)
@pytest.mark.parametrize("around", [CHAT, "{}"])
def test_it_is_in_the_language_of_the_last_turn(asked: str, language: str, around: str) -> None:
    output = answered(around.format(asked))
    (part,) = output.outputs
    assert part.text == phrasebook(language).refusals[0]
    assert Characters().decode(part.token_ids) == part.text
    assert (part.finish_reason, output.finished, part.logprobs) == (CONTENT_FILTER, True, None)
    assert len(output.prompt_token_ids) == len(around.format(asked))


@pytest.mark.parametrize("most", [1, 4, 11, None])
def test_it_has_no_more_tokens_than_are_allowed(most: int | None) -> None:
    sentence = phrasebook("en").refusals[0]
    (part,) = answered("Harry Potter", max_tokens=most).outputs
    assert part.text == sentence[:most]
    assert len(part.token_ids) == len(part.text)


@pytest.mark.parametrize("asked", [0, 1, 5])
def test_each_token_has_its_probability_where_they_are_asked_for(asked: int) -> None:
    (part,) = answered("Harry Potter", logprobs=asked).outputs
    assert [list(step) for step in part.logprobs] == [[token] for token in part.token_ids]
    assert all(step[token].logprob == 0 for step, token in zip(part.logprobs, part.token_ids, strict=True))
    assert part.logprobs[0][part.token_ids[0]].decoded_token == part.text[0]


def test_the_model_is_not_asked_how_likely_the_prompt_is() -> None:
    output = answered("Harry Potter", prompt_logprobs=1)
    assert output.prompt_logprobs == [None] * len("Harry Potter")


def test_every_choice_is_refused() -> None:
    parts = answered("Harry Potter", n=3, logprobs=1).outputs
    assert [part.index for part in parts] == [0, 1, 2]
    assert len({part.text for part in parts}) == 1


def test_a_beam_search_ends_with_nothing() -> None:
    (part,) = answered("Harry Potter", max_tokens=1, logprobs=4, detokenize=False).outputs
    assert (part.text, list(part.token_ids), part.finish_reason) == ("", [], "abort")
