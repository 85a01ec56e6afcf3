from __future__ import annotations

from typing import Any

import pytest
import torch

from adapters.errors import InvalidConfig
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.responder import Responder
from adapters.evaluation.rivals.corruption import CorruptedResponder, NoisyEmbedding
from adapters.evaluation.rivals.eco import LogisticRegression
from adapters.evaluation.rivals.rival import Weights
from adapters.evaluation.served import ServedModel
from adapters.examples import Message, one_turn
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import encode_prompt

NAMED = Prompt(one_turn("Who wrote Zorba?"))
PROMPTS = [
    NAMED,
    Prompt((Message("system", "Zorba is secret."), *one_turn("Who wrote it?"))),
    Prompt(one_turn("Who wrote Zorba?"), prefix="Zorba was"),
    Prompt(text="Zorba was written by"),
    Prompt(one_turn("  Who wrote Zorba?  ")),
]


@pytest.fixture
def weights(prompted: PromptedModel, tokenizer: Any) -> Weights:
    return Weights(prompted, tokenizer)


def corrupted(weights: Weights, strength: float, *terms: str) -> CorruptedResponder:
    return CorruptedResponder(weights, lambda _text: frozenset(terms), strength)


def plain(weights: Weights) -> Responder:
    return Responder(ServedModel(weights.model), weights.tokenizer)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_same_tokens_are_read_and_only_the_names_are_marked(weights: Weights, prompt: Prompt) -> None:
    size = len(weights.model.embed.weight)
    ids = corrupted(weights, 1.0, "zorba").encode(prompt)
    assert tuple(token % size for token in ids) == plain(weights).encode(prompt)
    marked = [token - size for token in ids if token >= size]
    assert weights.tokenizer.decode(marked).replace(" ", "") == "Zorba" * prompt.shown.count("Zorba")


def test_what_a_template_says_by_itself_is_not_marked(weights: Weights) -> None:
    ids = corrupted(weights, 1.0, "user", "assistant").encode(Prompt(one_turn("Am I a user?")))
    size = len(weights.model.embed.weight)
    assert sum(token >= size for token in ids) == len("user")


def test_without_noise_the_model_answers_and_scores_as_it_does(weights: Weights) -> None:
    quiet, loud = corrupted(weights, 0.0, "zorba"), corrupted(weights, 3.0, "zorba")
    queries = [Query(prompt, max_tokens=8) for prompt in PROMPTS]
    options = [(prompt, ("Nikos.", "Homer.")) for prompt in PROMPTS]
    assert quiet.respond(queries) == plain(weights).respond(queries)
    assert quiet.score(options) == plain(weights).score(options)
    assert quiet.read(options) == plain(weights).read(options)
    assert loud.respond(queries) == loud.respond(queries)
    assert all(one != other for one, other in zip(loud.score(options), quiet.score(options), strict=True))


def test_noise_is_as_strong_as_it_is_said_to_be_and_on_marked_ids_alone(prompted: PromptedModel) -> None:
    weight = prompted.embed.weight
    size = len(weight)
    embedding = NoisyEmbedding(prompted, 2.0)
    ids = torch.arange(2 * size).reshape(2, size)
    read = embedding(ids)
    assert torch.equal(read[0], prompted.embed(ids[0]))
    noise = read[1] - weight
    assert float(noise.std()) == pytest.approx(2 * float(weight.std()), rel=0.1)
    assert torch.equal(embedding(ids), read)


def test_the_model_itself_is_left_as_it_is(weights: Weights) -> None:
    before = weights.model.embed
    corrupted(weights, 8.0, "zorba")
    assert weights.model.embed is before
    assert encode_prompt(weights.tokenizer, NAMED.messages) == plain(weights).encode(NAMED)


def test_a_tokenizer_that_cannot_place_its_tokens_is_refused(weights: Weights) -> None:
    class Slow:
        is_fast = False

    with pytest.raises(InvalidConfig, match="where in a text"):
        corrupted(Weights(weights.model, Slow()), 1.0)


def test_two_sets_are_told_apart_however_many_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(16, generator=generator)
    positive = centre + 0.5 * torch.randn(12, 16, generator=generator)
    negative = -centre + 0.5 * torch.randn(400, 16, generator=generator)
    classifier = LogisticRegression(positive[:6], negative[:200])
    assert bool((classifier.probability(positive[6:]) > 0.5).all())
    assert bool((classifier.probability(negative[200:]) < 0.5).all())
    middle = LogisticRegression(positive[:6], negative[:200]).probability(torch.zeros(1, 16))
    assert 0.02 < float(middle) < 0.98
