"""Training of an offset (Huang et al., Offset Unlearning for Large Language Models, TMLR 2025).

The loss is taken on the combined logits and trains nothing but the offset's LoRA.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from adapters.artifact import FORMAT, OFFSET_HALF, Artifact, Manifest, model_digest
from adapters.chat import TokenizedExample, load_tokenizer
from adapters.dataset import Dataset, ForgetExample, build_dataset
from adapters.errors import InvalidConfig, InvalidExample, TrainingDiverged
from adapters.lora import changes, load_state, parameters, state
from adapters.methods.delta.config import DeltaConfig
from adapters.objectives.objective import FORGET, INVERTED, REFUSAL, RETAIN, Objective, ObjectiveLoss, WeightPenalty
from adapters.objectives.registry import make_objective
from adapters.offset import DELTA, OffsetSpec
from adapters.pair import TrainablePair
from adapters.progress import Progress
from adapters.prompted import PromptedModel, shared_prefix
from adapters.sampler import BatchSampler
from adapters.schedule import warm_up_then_cosine
from adapters.task import TrainingTask

_HELD_OUT_EVERY = 7
_HELD_OUT_MOST = 24
#: What counts as next to the lowest total: this part of it above, and this much more, in nats.
_NEXT_TO, _NEXT_TO_NATS = 0.1, 0.005


def train(task: TrainingTask) -> Artifact:
    """Learns the offset of one request.

    Raises `InvalidExample`, `InvalidConfig` (also when the engine has no pair), `TrainingDiverged` or
    `TrainingCancelled`.
    """
    config: DeltaConfig = task.config
    if task.pair is None:
        raise InvalidConfig("the engine has no pair; δ-unlearning needs one")
    task.report(Progress("loading", 0, 1))
    tokenizer = load_tokenizer(str(task.model_path))
    target = PromptedModel.load(task.model_path)
    pair = TrainablePair(target, task.pair, config.rank)
    objective = make_objective(config.objective, config.objective_settings)
    dataset = build_dataset(task, config, target, tokenizer, objective=objective)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trained = _optimise(task, config, objective, pair, dataset)
    dtype = target.stored_dtype
    tensors = {name: tensor.to(dtype) for name, tensor in trained.tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise TrainingDiverged("the offset is not finite")
    manifest = Manifest(
        format=FORMAT,
        method="delta",
        hidden_size=target.hidden_size,
        rows=0,
        dtype=str(dtype).removeprefix("torch."),
        model_digest=model_digest(task.model_path),
        config=asdict(config),
        seed=config.seed,
        created_by="adapters.methods.delta/1",
        offset=OffsetSpec(DELTA, trained.strength, config.rank, task.pair.spec),
    )
    return Artifact(manifest, tensors)


@dataclass(frozen=True, slots=True)
class Trained:
    """The best LoRA found, and the strength that served it best."""

    tensors: Mapping[str, torch.Tensor]
    strength: float


@dataclass(frozen=True, slots=True)
class Split:
    """The sets, and the part of them that is scored and never trained on."""

    training: Dataset
    held_forget: tuple[ForgetExample, ...]
    held_retain: tuple[TokenizedExample, ...]


def split(dataset: Dataset) -> Split:
    """Every seventh example is held out, of either set only where others remain to train on."""
    hard, general = dataset.hard, dataset.general
    forget = dataset.forget
    held_forget = forget[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
    kept = tuple(example for example in forget if example not in set(held_forget))
    held = (*hard[::_HELD_OUT_EVERY], *general[::_HELD_OUT_EVERY])[:_HELD_OUT_MOST]
    if len(held) == len(hard) + len(general):
        held = ()
    out = set(held)
    return Split(
        Dataset(kept, tuple(e for e in hard if e not in out), tuple(e for e in general if e not in out)),
        held_forget or forget,
        held or (*hard, *general),
    )


def groups(
    objective: Objective, forget: Sequence[ForgetExample], retain: Sequence[TokenizedExample]
) -> dict[str, list[TokenizedExample]]:
    """The examples an objective wants to see, by view."""
    everything = {
        FORGET: [example.original for example in forget],
        REFUSAL: [example.refusal for example in forget],
        INVERTED: [example.inverted for example in forget if example.inverted is not None],
        RETAIN: list(retain),
    }
    return {name: examples for name, examples in everything.items() if name in objective.views and examples}


def _optimise(
    task: TrainingTask, config: DeltaConfig, objective: Objective, pair: TrainablePair, dataset: Dataset
) -> Trained:
    if not (dataset.hard or dataset.general):
        raise InvalidExample("the retain set is empty; δ-unlearning needs one")
    parts = split(dataset)
    everything = [e for group in groups(objective, dataset.forget, ()).values() for e in group]
    everything += [*dataset.hard, *dataset.general]
    shared = shared_prefix([example.prompt_ids for example in everything])
    task.check_cancelled()
    task.report(Progress("caching", 0, 1))
    pair.remember(everything, shared)
    held = Scorer(pair, objective, parts, shared, config.first_token_weight)
    sampler = BatchSampler(
        parts.training,
        forget=config.forget_batch,
        retain=config.retain_batch,
        hard_fraction=config.hard_fraction,
        seed=config.seed,
    )
    weights = parameters(pair.lora)
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(config.seed)
    best, best_score, worse = state(pair.lora, OFFSET_HALF), float("inf"), 0
    started = time.monotonic()
    for step in range(config.max_steps):
        task.check_cancelled()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warm_up_then_cosine(step, config.max_steps, config.warmup_ratio)
        forget, retain = sampler.draw()
        losses = objective.loss(
            pair.views(groups(objective, forget, retain), shared, config.strength, config.first_token_weight)
        )
        if isinstance(objective, WeightPenalty):
            # On the offset's weights, which are what moves the target's logits; counted with what is to stay.
            penalty = objective.penalty(changes(pair.lora), generator)
            losses = ObjectiveLoss(losses.forget, losses.retain + penalty)
        if not bool(losses.total.isfinite()):
            raise TrainingDiverged(f"the loss was not finite at step {step + 1}")
        optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
        optimizer.step()
        metrics = {"forget": losses.forget.item(), "retain": losses.retain.item()}
        if (step + 1) % config.evaluate_every == 0 or step + 1 == config.max_steps:
            score = held.score(config.strength)
            metrics |= {"held_out": score.total, "kl": score.kl}
            if score.kl <= config.kl_limit and score.total < best_score:
                best, best_score, worse = state(pair.lora, OFFSET_HALF), score.total, 0
            else:
                worse += 1
        task.report(
            Progress(
                "training",
                step + 1,
                config.max_steps,
                loss=losses.total.item(),
                eta_s=(time.monotonic() - started) / (step + 1) * (config.max_steps - step - 1),
                metrics=metrics,
            )
        )
        if worse >= config.patience or metrics.get("kl", 0.0) > config.kl_limit:
            break
    if best_score == float("inf"):
        raise TrainingDiverged(f"the held-out KL was above kl_limit ({config.kl_limit:g}) at every scoring")
    load_state(pair.lora, OFFSET_HALF, best)
    return Trained(best, _best_strength(held, config))


def _best_strength(held: Scorer, config: DeltaConfig) -> float:
    """The largest strength whose held-out total is next to the lowest of those within the KL limit.

    Held-out prompts are worded much like the trained ones, and wordings further off need more strength than they do: so
    among strengths that hardly differ the largest. The trained strength where none is within the limit.
    """
    scores = {strength: held.score(strength) for strength in config.strengths}
    within = {strength: score.total for strength, score in scores.items() if score.kl <= config.kl_limit}
    if not within:
        return config.strength
    lowest = min(within.values())
    enough = lowest + _NEXT_TO * abs(lowest) + _NEXT_TO_NATS
    return max(strength for strength, total in within.items() if total <= enough)


@dataclass(frozen=True, slots=True)
class Score:
    """On the held-out part: the objective's total, and KL(target || combined) in nats a token."""

    total: float
    kl: float


class Scorer:
    """Scores the pair as it is on the held-out part."""

    def __init__(
        self, pair: TrainablePair, objective: Objective, parts: Split, shared: int, first_token_weight: float
    ) -> None:
        self._pair = pair
        self._objective = objective
        self._groups = groups(objective, parts.held_forget, ())
        self._groups[RETAIN] = list(parts.held_retain)
        self._shared = shared
        self._weight = first_token_weight

    def score(self, strength: float) -> Score:
        """One pass over the held-out part, without gradients."""
        with torch.no_grad():
            views = self._pair.views(self._groups, self._shared, strength, self._weight)
            return Score(self._objective.loss(views).total.item(), views[RETAIN].kl().item())
