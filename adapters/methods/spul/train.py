"""Training of a SPUL soft prompt (Bhaila, Van & Wu, NAACL 2025)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import torch

from adapters.artifact.artifact import SOFT_PROMPT, Artifact
from adapters.data.dataset import Dataset, build_dataset
from adapters.methods.spul.config import SpulConfig
from adapters.methods.spul.initial import build_encoder, initial_rows
from adapters.models.frozen import PromptedModel, crossed_by_gradients, shared_prefix
from adapters.models.original_states import OriginalStates
from adapters.models.tokens import TokenizedExample
from adapters.models.workbench import Workbench
from adapters.objectives.base import ObjectiveLoss
from adapters.objectives.spul import SpulLoss
from adapters.objectives.terms.cross_entropy import answer_cross_entropy
from adapters.objectives.terms.kl import answer_kl
from adapters.objectives.terms.reduction import position_weights
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.text.refusals import draw_refusals
from adapters.training.artifact import trained_artifact
from adapters.training.descent import Verdict, descend
from adapters.training.sampler import BatchSampler

_RUNNING_MEAN = 10  # steps; one batch alone is too noisy to stop on


def train(task: TrainingTask) -> Artifact:
    """Learns the soft prompt of one request.

    Raises `InvalidExample`, `InvalidConfig`, `TrainingDiverged` or `TrainingCancelled`.
    """
    config: SpulConfig = task.config
    task.report(Progress("loading", 0, 1))
    bench = Workbench.of(task)
    tokenizer, model = bench.tokenizer, bench.whole_target
    dataset = build_dataset(
        task,
        config,
        bench,
        model,
        reserved_tokens=config.num_virtual_tokens,
        refusal_kinds=config.refusal_kinds,
    )
    with model.hardware.seeded(config.seed), crossed_by_gradients(model):
        initial = initial_rows(
            config,
            tokenizer,
            model.embed.weight.detach(),
            prompt=min((item.prompt for item in task.forget), key=len),
            refusal=draw_refusals(task.phrasebook.refusals, 1, config.seed, kinds=config.refusal_kinds)[0],
        )
        encoder = build_encoder(config, initial)
        rows = _optimise(task, config, model, dataset, encoder)
    return trained_artifact("spul", task, model, {SOFT_PROMPT: rows}, rows=config.num_virtual_tokens)


def _optimise(
    task: TrainingTask,
    config: SpulConfig,
    model: PromptedModel,
    dataset: Dataset,
    encoder: torch.nn.Module,
) -> torch.Tensor:
    """The trained rows, [rows, hidden], float32."""
    retained = (*dataset.hard, *dataset.general)
    refused = [item.refused for item in dataset.forget]
    shared = shared_prefix([example.prompt_ids for example in (*refused, *retained)])
    task.check_cancelled()
    task.report(Progress("caching", 0, 1))
    original = OriginalStates(model, retained, shared)
    sampler = BatchSampler.of(dataset, config)
    goal = _Goal(config)

    def draw() -> Callable[[], ObjectiveLoss]:
        forget, retain = sampler.draw()
        refused = [example.refused for example in forget]

        def loss() -> ObjectiveLoss:
            losses = step_losses(model, encoder(), refused, retain, original, shared, config.first_token_weight)
            goal.last = losses
            return losses.weighted(alpha=config.alpha, beta=config.beta)

        return loss

    descend(task, config, [list(encoder.parameters())], draw, goal.after, model=model)
    with torch.no_grad():
        rows: torch.Tensor = encoder()
    return rows.detach().clone()


class _Goal:
    """Ends the training once the running means of forget loss and KL are both below their targets."""

    def __init__(self, config: SpulConfig) -> None:
        self.last: SpulLoss | None = None
        self._config = config
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RUNNING_MEAN)

    def after(self, _step: int) -> Verdict:
        """To be called after every step, with its losses in `last`."""
        assert self.last is not None
        self._recent.append((self.last.forget.item(), self.last.kl.item()))
        forget, kl = (sum(column) / len(self._recent) for column in zip(*self._recent, strict=True))
        reached = forget < self._config.forget_target and kl < self._config.kl_target
        metrics = {"forget": forget, "kl": kl, "retain": self.last.retain.item()}
        return Verdict(metrics, stop=reached and len(self._recent) == _RUNNING_MEAN)


def step_losses(
    model: PromptedModel,
    soft: torch.Tensor,
    forget: Sequence[TokenizedExample],
    retain: Sequence[TokenizedExample],
    original: OriginalStates,
    shared: int,
    first_token_weight: float = 1.0,
) -> SpulLoss:
    """SPUL's three terms on one batch, in one forward pass; without retain examples two of them are zero.

    soft [rows, hidden]. shared: length of the prefix all prompts have in common.
    """
    examples = [*forget, *retain]
    batch = model.collate(examples, shared)
    logits = model.logits(model.answer_states(examples, shared, soft))
    is_forget = batch.rows < len(forget)
    weights = position_weights(batch.rows, first_token_weight)
    forget_loss = answer_cross_entropy(
        logits[is_forget], batch.targets[is_forget], batch.rows[is_forget], len(forget), weights[is_forget]
    )
    if not retain:
        zero = forget_loss.new_zeros(())
        return SpulLoss(forget=forget_loss, retain=zero, kl=zero)
    kept = logits[~is_forget]
    owner = batch.rows[~is_forget] - len(forget)
    with torch.no_grad():
        wanted = model.logits(original.of(retain))
    return SpulLoss(
        forget=forget_loss,
        retain=answer_cross_entropy(kept, batch.targets[~is_forget], owner, len(retain), weights[~is_forget]),
        kl=answer_kl(kept, wanted, owner, len(retain), weights[~is_forget]),
    )
