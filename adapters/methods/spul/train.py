"""Training of a SPUL soft prompt (Bhaila, Van & Wu, NAACL 2025): with the published loss, or with an objective that
was published for a model whose weights change."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import torch

from adapters.artifact.artifact import SOFT_PROMPT, Artifact
from adapters.data.dataset import Dataset, build_dataset
from adapters.errors import InvalidExample
from adapters.methods.spul.config import SpulConfig
from adapters.methods.spul.initial import build_encoder, initial_rows
from adapters.models.frozen import PromptedModel, crossed_by_gradients, shared_by_most
from adapters.models.workbench import Workbench
from adapters.objectives.base import RETAIN, Objective, ObjectiveLoss
from adapters.objectives.registry import make_objective
from adapters.objectives.spul import Spul, SpulLoss
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.text.refusals import draw_refusals
from adapters.training.artifact import trained_artifact
from adapters.training.descent import Verdict, descend
from adapters.training.groups import groups
from adapters.training.sampler import BatchSampler
from adapters.training.views import TargetViews

_RUNNING_MEAN = 10  # steps; one batch alone is too noisy to stop on


def train(task: TrainingTask) -> Artifact:
    """Learns the soft prompt of one request, from where an earlier round has left it.

    Raises `InvalidExample`, `InvalidConfig`, `TrainingDiverged` or `TrainingCancelled`.
    """
    config: SpulConfig = task.config
    task.report(Progress("loading", 0, 1))
    bench = Workbench.of(task)
    model = bench.whole_target
    goal = _Goal(config) if config.objective == config.own else None
    objective = make_objective(config.objective, config.objective_settings) if goal is None else goal.objective
    dataset = build_dataset(
        task,
        config,
        bench,
        model,
        objective.examples,
        reserved_tokens=config.num_virtual_tokens,
        refusal_kinds=config.refusal_kinds,
    )
    with model.hardware.seeded(config.seed), crossed_by_gradients(model):
        encoder = build_encoder(config, _start(task, config, bench, model))
        rows = _optimise(task, config, objective, goal, model, dataset, encoder)
    return trained_artifact("spul", task, model, {SOFT_PROMPT: rows}, rows=config.num_virtual_tokens)


def _start(task: TrainingTask, config: SpulConfig, bench: Workbench, model: PromptedModel) -> torch.Tensor:
    """The rows that training starts from, [rows, hidden], float32."""
    vocabulary = model.embed.weight.detach()
    if task.start is not None:
        return task.start.tensors[SOFT_PROMPT].to(vocabulary.device, torch.float32)
    return initial_rows(
        config,
        bench.tokenizer,
        vocabulary,
        prompt=min((item.prompt for item in task.forget), key=len),
        refusal=draw_refusals(task.phrasebook.refusals, 1, config.seed, kinds=config.refusal_kinds)[0],
    )


def _optimise(
    task: TrainingTask,
    config: SpulConfig,
    objective: Objective,
    goal: _Goal | None,
    model: PromptedModel,
    dataset: Dataset,
    encoder: torch.nn.Module,
) -> torch.Tensor:
    """The trained rows, [rows, hidden], float32. goal: of the published loss; None: all steps are taken."""
    retained = (*dataset.hard, *dataset.general)
    if RETAIN in objective.views - objective.sparse and not retained:
        raise InvalidExample(f"the retain set is empty; {objective.name} needs one")
    everything = [example for group in groups(objective, dataset.forget, retained).values() for example in group]
    task.check_cancelled()
    task.report(Progress("caching", 0, 1))
    target = TargetViews(model, everything, shared_by_most([example.prompt_ids for example in everything]))
    sampler = BatchSampler.of(dataset, config)

    def draw() -> Callable[[], ObjectiveLoss]:
        examples = groups(objective, *sampler.draw())

        def loss() -> ObjectiveLoss:
            views = target.of(examples, config.first_token_weight, encoder())
            return objective.loss(views) if goal is None else goal.loss(views)

        return loss

    after = _unending if goal is None else goal.after
    descend(task, config, [list(encoder.parameters())], draw, after, model=model)
    with torch.no_grad():
        rows: torch.Tensor = encoder()
    return rows.detach().clone()


def _unending(_step: int) -> Verdict:
    return Verdict()


class _Goal:
    """The published loss, which ends the training once the running means of forget loss and KL are both below their
    targets."""

    def __init__(self, config: SpulConfig) -> None:
        self.objective = Spul(config.alpha, config.beta)
        self._config = config
        self._last: SpulLoss | None = None
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RUNNING_MEAN)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        """Of a step."""
        self._last = self.objective.terms(views)
        return self._last.weighted(alpha=self.objective.alpha, beta=self.objective.beta)

    def after(self, _step: int) -> Verdict:
        """To be called after every step."""
        assert self._last is not None
        self._recent.append((self._last.forget.item(), self._last.kl.item()))
        forget, kl = (sum(column) / len(self._recent) for column in zip(*self._recent, strict=True))
        reached = forget < self._config.forget_target and kl < self._config.kl_target
        metrics = {"forget": forget, "kl": kl, "retain": self._last.retain.item()}
        return Verdict(metrics, stop=reached and len(self._recent) == _RUNNING_MEAN)
