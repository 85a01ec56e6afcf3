from __future__ import annotations

from typing import Any

import pytest
import torch

from adapters.methods.spul.config import SpulConfig
from adapters.methods.spul.encoder import EmbeddingEncoder, MlpEncoder
from adapters.methods.spul.initial import build_encoder, initial_rows
from adapters.models.frozen import PromptedModel

TEXTS = {"prompt": "Who?", "refusal": "No."}


@pytest.mark.parametrize(("width", "count"), [(2048, 604_416), (4096, 1_192_192), (5120, 1_486_080)])
def test_the_mlp_has_as_many_parameters_as_published(width: int, count: int) -> None:
    encoder = MlpEncoder(torch.zeros(30, width), 128)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == count
    assert encoder().shape == (30, width)


@pytest.mark.parametrize("kind", ["mlp", "embedding"])
def test_training_starts_at_the_rows_it_is_given(kind: str) -> None:
    initial = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    encoder = build_encoder(SpulConfig(encoder=kind), initial)
    assert torch.equal(encoder(), initial)
    encoder().square().sum().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters())


def test_an_mlp_without_initial_rows_starts_as_torch_initialises() -> None:
    assert bool(MlpEncoder(torch.zeros(3, 16), 8)().any())


def test_an_embedding_encoder_owns_its_rows() -> None:
    initial = torch.zeros(2, 4)
    encoder = EmbeddingEncoder(initial)
    with torch.no_grad():
        encoder.rows.add_(1)
    assert not bool(initial.any())


def test_text_rows_are_the_texts_embeddings_repeated(prompted: PromptedModel, tokenizer: Any) -> None:
    vocabulary = prompted.embed.weight.detach()
    rows = initial_rows(SpulConfig(num_virtual_tokens=5, init_text="abc"), tokenizer, vocabulary, **TEXTS)
    ids = tokenizer("abcab", add_special_tokens=False)["input_ids"]
    assert torch.equal(rows, vocabulary[ids].float())


def test_a_text_takes_the_prompt_and_the_refusal_in(prompted: PromptedModel, tokenizer: Any) -> None:
    vocabulary = prompted.embed.weight.detach()
    config = SpulConfig(num_virtual_tokens=12, init_text="{prompt}-{refusal}{x}")
    rows = initial_rows(config, tokenizer, vocabulary, **TEXTS)
    ids = tokenizer("Who?-No.{x}W", add_special_tokens=False)["input_ids"]
    assert torch.equal(rows, vocabulary[ids].float())


def test_vocabulary_rows_come_from_the_vocabulary(prompted: PromptedModel, tokenizer: Any) -> None:
    vocabulary = prompted.embed.weight.detach()
    rows = initial_rows(SpulConfig(num_virtual_tokens=6, init="vocab"), tokenizer, vocabulary, **TEXTS)
    for row in rows:
        assert bool((vocabulary == row).all(-1).any())


def test_random_rows_have_the_vocabularys_scale(prompted: PromptedModel, tokenizer: Any) -> None:
    vocabulary = prompted.embed.weight.detach()
    rows = initial_rows(SpulConfig(num_virtual_tokens=400, init="random"), tokenizer, vocabulary, **TEXTS)
    assert float(rows.std()) == pytest.approx(float(vocabulary.std()), rel=0.1)
