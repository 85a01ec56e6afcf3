"""Runs of the methods that train a pair's halves on the tiny model, and a second opinion on what came of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import OffsetSpec, PairSpec
from adapters.examples import Example
from adapters.models.tokens import TokenizedExample
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import TrainingTask
from adapters.training.held_out import Split, split
from tests.engine import pairs
from tests.unit.adapters.conftest import FORGET, NOTHING_ELSE, RETAIN, dataset_of

LAYERS_PAIR = PairSpec(1)
OWN_PAIR = PairSpec(1, own_reference=True)


def offset_task(
    method: str,
    model_path: Path,
    *,
    pair: PairSpec | None = OWN_PAIR,
    forget: tuple[Example, ...] = FORGET,
    retain: tuple[Example, ...] | None = RETAIN,
    report: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> TrainingTask:
    """A short run; settings are the method's."""
    defaults = {
        "max_steps": 3,
        "rank": 4,
        "cloze_forms": 0,
        "rewording_lists": 0,
        "framed_variants": 0,
        "learning_rate": 1e-2,
        "kl_limit": 100.0,
        **NOTHING_ELSE,
    }
    config = get_method(method).config_type(**{**defaults, **settings})
    return TrainingTask(model_path, forget, retain, config, report, cancelled, pair=pair)


def steps_of(reports: list[Progress]) -> list[Progress]:
    return [progress for progress in reports if progress.phase == "training"]


def spec_of(artifact: Artifact) -> OffsetSpec:
    assert artifact.manifest.offset is not None
    return artifact.manifest.offset


def parts_of(task: TrainingTask) -> Split:
    return split(dataset_of(task))


@dataclass(frozen=True)
class Logits:
    """At one example's answer positions, [answer, vocabulary] each: of the three models, and of all together."""

    target: torch.Tensor
    offset: torch.Tensor
    reference: torch.Tensor
    combined: torch.Tensor
    answer: torch.Tensor

    def said(self, logits: torch.Tensor) -> float:
        """Sum of the probabilities of the answer's tokens."""
        return float(logits.softmax(-1).gather(1, self.answer[:, None]).sum())

    def kl(self) -> float:
        """Mean KL(target || combined) a token; of (combined || target) for a kind that masks."""
        p, q = self.target.double().log_softmax(-1), self.combined.double().log_softmax(-1)
        total = 0.0
        for row in range(len(p)):
            first, second = (q[row], p[row]) if bool(q[row].isneginf().any()) else (p[row], q[row])
            total += sum(
                math.exp(a) * (a - b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if a > -math.inf
            )
        return total / len(p)


def served(task: TrainingTask, artifact: Artifact, examples: Sequence[TokenizedExample]) -> list[Logits]:
    """What an artifact gives, by full passes of plain models with its LoRAs merged into their weights."""
    spec = spec_of(artifact)
    target = LlamaForCausalLM.from_pretrained(task.model_path).eval()
    small = pairs.first_layers(target, spec.pair.layers)
    tensors = dict(artifact.tensors)
    offset = pairs.with_lora(small, "offset", tensors)
    reference = pairs.with_lora(small, "reference", tensors) if spec.needs_reference_half else small
    results = []
    for example in examples:
        ids = [*example.prompt_ids, *example.answer_ids]
        with torch.no_grad():
            t, o, r = (pairs.logits(m, ids)[len(example.prompt_ids) - 1 : -1] for m in (target, offset, reference))
        results.append(Logits(t, o, r, pairs.combine(spec, t, o, r), torch.tensor(example.answer_ids)))
    return results


def effect(task: TrainingTask, artifact: Artifact) -> tuple[float, float]:
    """(share of the forget answers' probability that is left, mean KL on what is retained), of the held-out part."""
    parts = parts_of(task)
    forget = served(task, artifact, [example.original for example in parts.held_forget])
    retain = served(task, artifact, parts.held_retain)
    share = sum(each.said(each.combined) for each in forget) / sum(each.said(each.target) for each in forget)
    return share, sum(each.kl() for each in retain) / len(retain)
