"""Where the soft prompt starts."""

from __future__ import annotations

from typing import Any

import torch

from adapters.errors import InvalidConfig
from adapters.methods.spul.config import SpulConfig
from adapters.methods.spul.encoder import EmbeddingEncoder, MlpEncoder


def initial_rows(
    config: SpulConfig, tokenizer: Any, vocabulary: torch.Tensor, *, prompt: str, refusal: str
) -> torch.Tensor:
    """The rows training starts from, [num_virtual_tokens, hidden], float32.

    vocabulary [vocabulary, hidden]: the model's input embeddings. prompt, refusal: what replaces `{prompt}` and
    `{refusal}` in the text. "random" with the MLP gives zeros, to which the untrained MLP adds.
    """
    rows, device = config.num_virtual_tokens, vocabulary.device
    if config.init == "text":
        text = config.init_text.replace("{prompt}", prompt).replace("{refusal}", refusal)
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise InvalidConfig("init_text has no tokens")
        repeated = torch.tensor([ids[index % len(ids)] for index in range(rows)], device=device)
        return vocabulary[repeated].float()
    if config.init == "vocab":
        return vocabulary[torch.randint(len(tokenizer), (rows,)).to(device)].float()
    if config.encoder == "mlp":
        return torch.zeros(rows, vocabulary.shape[1], device=device)
    # At the vocabulary's own scale: torch's unit variance would drown every real token.
    return torch.randn(rows, vocabulary.shape[1]).to(device) * vocabulary.float().std()


def build_encoder(config: SpulConfig, initial: torch.Tensor) -> EmbeddingEncoder | MlpEncoder:
    """The trainable part that `config` asks for, starting at `initial` and on its device."""
    if config.encoder == "mlp":
        return MlpEncoder(initial.cpu(), config.encoder_hidden).to(initial.device)
    return EmbeddingEncoder(initial)
