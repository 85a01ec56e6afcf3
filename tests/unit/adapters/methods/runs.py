"""Runs of the methods on the tiny model, and a second opinion on what came of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from adapters.artifact.artifact import SOFT_PROMPT, TARGET, Artifact
from adapters.artifact.spec import OffsetSpec, PairSpec
from adapters.examples import Example
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import RETAIN as RETAIN_VIEW
from adapters.objectives.base import Objective
from adapters.objectives.registry import make_objective
from adapters.objectives.terms.reduction import position_weights
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import Ask, TrainingTask
from adapters.training.groups import groups
from adapters.training.held_out import Score, Split, split
from tests.engine import pairs
from tests.unit.adapters.conftest import FORGET, NOTHING_ELSE, RETAIN, dataset_of

LAYERS_PAIR = PairSpec(1)
OWN_PAIR = PairSpec(1, own_reference=True)


#: Of a short run; a method takes those of them that it has.
SHORT: dict[str, Any] = {
    "max_steps": 3,
    "num_virtual_tokens": 4,
    "init_text": "Answer.",
    "rank": 4,
    "cloze_forms": 0,
    "rewording_lists": 0,
    "framed_variants": 0,
    "learning_rate": 1e-2,
    "kl_limit": 100.0,
    **NOTHING_ELSE,
}


def method_task(
    method: str,
    model_path: Path,
    *,
    pair: PairSpec | None = OWN_PAIR,
    forget: tuple[Example, ...] = FORGET,
    retain: tuple[Example, ...] | None = RETAIN,
    report: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    ask: Ask | None = None,
    **settings: Any,
) -> TrainingTask:
    """A short run; settings are the method's."""
    config_type = get_method(method).config_type
    known = {field.name for field in fields(config_type)}
    config = config_type(**{name: value for name, value in SHORT.items() if name in known} | settings)
    return TrainingTask(model_path, forget, retain, config, report, cancelled, ask, pair=pair)


def steps_of(reports: list[Progress]) -> list[Progress]:
    return [progress for progress in reports if progress.phase == "training"]


def spec_of(artifact: Artifact) -> OffsetSpec:
    assert artifact.manifest.offset is not None
    return artifact.manifest.offset


def objective_of(task: TrainingTask) -> Objective | None:
    """The one that the task's settings name, where the method has such a setting; None for a loss of its own."""
    name = getattr(task.config, "objective", None)
    return (
        None
        if name in (None, getattr(task.config, "own", None))
        else make_objective(name, task.config.objective_settings)
    )


def parts_of(task: TrainingTask) -> Split:
    """What the task's method trains on and what it scores."""
    return split(dataset_of(task, objective=objective_of(task)))


@dataclass(frozen=True)
class Logits:
    """At one example's answer positions, [answer, vocabulary] each: of the target, of what is served with the adapter,
    and of the halves of the pair, where the adapter has one."""

    target: torch.Tensor
    served: torch.Tensor
    answer: torch.Tensor
    offset: torch.Tensor
    reference: torch.Tensor

    def said(self, logits: torch.Tensor) -> float:
        """Sum of the probabilities of the answer's tokens."""
        return float(logits.softmax(-1).gather(1, self.answer[:, None]).sum())

    def kl(self) -> float:
        """Mean KL(target || served) a token; of (served || target) for a kind that masks."""
        p, q = self.target.double().log_softmax(-1), self.served.double().log_softmax(-1)
        total = 0.0
        for row in range(len(p)):
            first, second = (q[row], p[row]) if bool(q[row].isneginf().any()) else (p[row], q[row])
            total += sum(
                math.exp(a) * (a - b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if a > -math.inf
            )
        return total / len(p)


@torch.no_grad()
def served(task: TrainingTask, artifact: Artifact, examples: Sequence[TokenizedExample]) -> list[Logits]:
    """What an artifact gives, by full passes of plain models: its LoRAs merged into weights, its rows in front."""
    tensors, spec = dict(artifact.tensors), artifact.manifest.offset
    target = LlamaForCausalLM.from_pretrained(task.model_path).eval()
    halves = [target, target]
    if spec is not None:
        small = pairs.first_layers(target, spec.pair.layers)
        halves = [pairs.with_lora(small, "offset", tensors), small]
        if spec.needs_reference_half:
            halves[1] = pairs.with_lora(small, "reference", tensors)
    changed = pairs.with_lora(target, TARGET, tensors) if artifact.manifest.target_rank else target
    rows = tensors.get(SOFT_PROMPT, torch.empty(0, target.config.hidden_size))
    results = []
    for example in examples:
        ids = [*example.prompt_ids, *example.answer_ids]
        answer = slice(len(example.prompt_ids) - 1, -1)
        t, o, r = (pairs.logits(model, ids)[answer] for model in (target, *halves))
        if spec is not None:
            combined = pairs.combine(spec, t, o, r)
        else:
            inputs = torch.cat([rows, changed.get_input_embeddings()(torch.tensor(ids))])
            combined = changed(inputs_embeds=inputs[None]).logits[0, len(rows) :][answer]
        results.append(Logits(t, combined, torch.tensor(example.answer_ids), o, r))
    return results


def measured(task: TrainingTask, artifact: Artifact) -> Score:
    """On the held-out part, by plain passes: the share of the forget answers' probability that is left, and the KL."""
    parts = parts_of(task)
    forget = served(task, artifact, [example.original for example in parts.held_forget])
    retain = served(task, artifact, parts.held_retain)
    share = sum(each.said(each.served) for each in forget) / sum(each.said(each.target) for each in forget)
    return Score(share, sum(each.kl() for each in retain) / len(retain))


def scored(task: TrainingTask, artifact: Artifact) -> Score:
    """On the held-out part, by plain passes: the objective's total, and the KL."""
    objective, parts = objective_of(task), parts_of(task)
    assert objective is not None
    views = {}
    for name, examples in (groups(objective, parts.held_forget, ()) | {RETAIN_VIEW: list(parts.held_retain)}).items():
        logits = served(task, artifact, examples)
        owner = torch.repeat_interleave(torch.tensor([len(each.answer) for each in logits]))
        views[name] = View(
            logits=torch.cat([each.served for each in logits]),
            original=torch.cat([each.target for each in logits]),
            targets=torch.cat([each.answer for each in logits]),
            owner=owner,
            examples=len(examples),
            weights=position_weights(owner, task.config.first_token_weight),
        )
    return Score(float(objective.loss(views).total), float(views[RETAIN_VIEW].kl()))
