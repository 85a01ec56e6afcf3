"""Offsets apart from the engine: plain transformers, a full forward pass a model, LoRAs merged into weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from adapters.artifact.spec import OffsetSpec, PairSpec


def save_random(folder: Path, tokenizer: Any, *, dtype: torch.dtype, hidden_size: int, **config: Any) -> Path:
    """A checkpoint with a head of its own and weights large enough that its layers matter; returns its folder."""
    torch.manual_seed(5)
    shape = {"intermediate_size": 2 * hidden_size, "max_position_embeddings": 8192, "tie_word_embeddings": False}
    model = LlamaForCausalLM(LlamaConfig(hidden_size=hidden_size, initializer_range=0.2, **shape, **config))
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def first_layers(model: Any, layers: int) -> Any:
    """A model of its own with the first `layers` layers, norm and head."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = layers
    short = type(model)(config).to(model.dtype).eval()
    short.load_state_dict({k: v for k, v in model.state_dict().items() if k in short.state_dict()})
    return short


def linear_layers(model: Any) -> dict[str, nn.Linear]:
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and ".layers." in n}


def random_lora(model: Any, half: str, rank: int, seed: int, scale: float = 0.1) -> dict[str, torch.Tensor]:
    """Tensors of an offset, bfloat16, large enough to change answers."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in linear_layers(model).items():
        a = torch.randn(rank, layer.in_features, generator=generator) * scale
        b = torch.randn(layer.out_features, rank, generator=generator) * scale
        tensors |= {f"{half}.{name}.lora_A": a.bfloat16(), f"{half}.{name}.lora_B": b.bfloat16()}
    return tensors


def with_lora(model: Any, half: str, tensors: dict[str, torch.Tensor]) -> Any:
    """A copy whose weights are W + B A."""
    changed = copy.deepcopy(model)
    for name, layer in linear_layers(changed).items():
        a, b = (tensors[f"{half}.{name}.lora_{side}"].float() for side in "AB")
        layer.weight.data = (layer.weight.float() + b @ a).to(layer.weight.dtype)
    return changed


@dataclass(frozen=True)
class Reference:
    """The target, and the small model both halves of the pair start from."""

    target: Any
    small: Any

    def in_float32(self) -> Reference:
        """The same models, computed in float32."""
        return Reference(copy.deepcopy(self.target).float(), copy.deepcopy(self.small).float())

    @torch.no_grad()
    def logprobs(self, texts: list[list[int]], tensors: dict[str, torch.Tensor], spec: OffsetSpec) -> list[list[float]]:
        """For each text the log-probability of each token after the first, nats."""
        offset = with_lora(self.small, "offset", tensors)
        reference = with_lora(self.small, "reference", tensors) if spec.needs_reference_half else self.small
        scores = []
        for ids in texts:
            combined = combine(spec, *(logits(model, ids) for model in (self.target, offset, reference)))
            chosen = combined.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])
            scores.append(chosen[:, 0].tolist())
        return scores


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    output: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0].float()
    return output


def combine(spec: OffsetSpec, target: torch.Tensor, offset: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Straight from the papers, a row at a time."""
    rows = []
    for t, o, r in zip(target, offset, reference, strict=True):
        if spec.kind in ("delta", "dd_linear"):
            rows.append(t + spec.strength * (o - r))
        elif spec.kind == "uld":
            logp = t.log_softmax(-1)
            kth = logp.sort(descending=True).values[int(spec.parameter * len(t)) - 1]
            threshold = min(float(logp.max() + torch.tensor(spec.parameter).log()), float(kth))
            rows.append(torch.where(logp < threshold, t, t - spec.strength * o))
        else:
            row = t.clone()
            row[(o - r).topk(int(spec.parameter), largest=False).indices] = float("-inf")
            rows.append(row)
    return torch.stack(rows)


def spec(pair: PairSpec, kind: str = "delta", strength: float = 1.0, parameter: float = 0.0) -> OffsetSpec:
    return OffsetSpec(kind, strength, 8, pair, parameter)
