"""What holds for every method that trains with an objective of choice, with every objective it says it can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import SOFT_PROMPT, TARGET, Artifact, model_digest
from adapters.artifact.spec import PairSpec
from adapters.carriers import carriers, page
from adapters.errors import InvalidConfig
from adapters.models.frozen import Batch, PromptedModel
from adapters.models.lora import attach, load_state
from adapters.models.pair import first_layers
from adapters.models.tokens import encode_pair
from adapters.objectives.registry import objectives
from adapters.progress import Progress
from adapters.registry import get_method, parse_config
from adapters.task import TrainingTask
from tests.unit.adapters.conftest import FORGET, HIDDEN, NOTHING_ELSE
from tests.unit.adapters.methods.runs import method_task, steps_of

pytestmark = pytest.mark.usefixtures("few_others")
ROOT = Path(__file__).parents[3]
PAIR = PairSpec(1)
INVERTED = {0: ("Anna wrote it.", "Otto wrote it."), 1: ("It is Ida.",), 2: ("Karl.",)}
#: Whole sets in every batch, so that the loss of one step can be compared with another's; steps so small that none
#: overshoots, also where the toy model is nearly there before it begins (undial: all its tokens are improbable).
SETTINGS: dict[str, Any] = {
    "max_steps": 4,
    "learning_rate": 1e-3,
    "warmup_ratio": 0.0,
    "rank": 4,
    "forget_batch": 512,
    "retain_batch": 512,
    "evaluate_every": 4,
    "strengths": [1.0],
    "kl_limit": 100.0,
    "framed_variants": 0,
    "rewording_lists": 0,
    "cloze_forms": 0,
    **NOTHING_ELSE,
}


def train(
    make_task: Callable[..., TrainingTask], method: str, objective: str, start: Artifact | None = None, **changes: Any
) -> tuple[Artifact, list[float]]:
    """The artifact, and the loss before each step. changes: to the settings."""
    losses: list[float] = []

    def report(progress: Progress) -> None:
        if progress.phase == "training" and progress.loss is not None:
            losses.append(progress.loss)

    known = {field.name for field in fields(get_method(method).config_type)}
    settings = {name: value for name, value in (SETTINGS | changes).items() if name in known}
    own = {"attacks": 1} if objective == "counterfactual" else {}  # each is answered by the model
    config = parse_config(method, {**settings, "objective": objective, "objective_settings": own})
    task = replace(make_task(report=report), config=config, pair=PAIR, inverted=INVERTED, start=start)
    return get_method(method).train(task), losses


@torch.no_grad()
def moved(artifact: Artifact, model: PromptedModel, batch: Batch) -> float:
    """How far the artifact moves the final states of what it changes: the target, as such or behind its rows, or the
    pair's offset."""
    soft = artifact.tensors.get(SOFT_PROMPT)
    if soft is not None:
        assert len(artifact.tensors) == 1
        return float((model.states(batch, soft) - model.states(batch, None)).abs().max())
    half = {name.partition(".")[0] for name in artifact.tensors}.pop()
    changed = model if half == TARGET else PromptedModel(first_layers(model.model, PAIR.layers))
    before = changed.states(batch, None)
    rank = artifact.manifest.target_rank if artifact.manifest.offset is None else artifact.manifest.offset.rank
    layers = attach(changed.model, rank)
    load_state(layers, half, artifact.tensors)
    assert len(artifact.tensors) == 2 * len(layers)
    return float((changed.states(batch, None) - before).abs().max())


@pytest.mark.parametrize(
    ("method", "objective"), [(carrier.method, objective) for carrier in carriers() for objective in carrier.fit]
)
def test_it_trains_lowers_its_loss_and_what_it_saved_can_be_applied(
    make_task: Callable[..., TrainingTask], target: PromptedModel, tokenizer: Any, method: str, objective: str
) -> None:
    artifact, losses = train(make_task, method, objective)
    assert losses[-1] < losses[0]

    loaded = Artifact.from_bytes(artifact.to_bytes(), expect_digest=artifact.digest)
    assert (loaded.manifest.method, loaded.manifest.config["objective"]) == (method, objective)
    loaded.require(hidden_size=HIDDEN, model_digest=model_digest(make_task().model_path), pair=PAIR, target_lora=True)

    batch = target.collate([encode_pair(tokenizer, item.messages, item.completion) for item in FORGET], 0)
    assert moved(loaded, target, batch) > 1e-4


@pytest.mark.parametrize("method", [carrier.method for carrier in carriers()])
def test_it_goes_on_from_what_an_earlier_round_has_learned(make_task: Callable[..., TrainingTask], method: str) -> None:
    first, losses = train(make_task, method, "counterfactual", learning_rate=1e-2)
    again, more = train(make_task, method, "counterfactual", start=first, learning_rate=1e-7)
    assert more[0] < losses[0]
    torch.testing.assert_close(dict(again.tensors), dict(first.tensors), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", [carrier.method for carrier in carriers() if "snap" in carrier.fit])
def test_an_objectives_term_on_the_weights_holds_them_back(tiny_model: Path, method: str) -> None:
    def trained(wasserstein: float) -> tuple[float, list[float]]:
        seen: list[Progress] = []
        settings = {"wasserstein": wasserstein, "directions": 5, "retain_kl": 0.0}
        known: dict[str, Any] = {} if method == "lora" else {"neutrality": 0.0, "strengths": (1.0,)}
        task = method_task(
            method, tiny_model, objective="snap", objective_settings=settings, max_steps=5, report=seen.append, **known
        )
        change = [b for name, b in get_method(method).train(task).tensors.items() if name.endswith("lora_B")]
        return sum(float(b.square().sum()) for b in change), [step.metrics["retain"] for step in steps_of(seen)]

    (free, without), (held, terms) = trained(0.0), trained(1e6)
    assert held < 0.1 * free
    assert set(without) == {0.0}
    assert terms[0] == 0 < terms[1], "before the first step nothing has changed"
    assert trained(1e6) == (held, terms), "what is drawn comes from the seed"


@pytest.mark.parametrize(
    ("method", "objective"), [(carrier.method, objective) for carrier in carriers() for objective in carrier.unfit]
)
def test_what_it_cannot_train_with_is_refused_and_the_others_are_named(method: str, objective: str) -> None:
    fit = next(carrier.fit for carrier in carriers() if carrier.method == method)
    with pytest.raises(InvalidConfig) as refusal:
        parse_config(method, {"objective": objective})
    reason, _, listed = str(refusal.value).partition("; there is: ")
    assert reason.startswith(objective)
    assert listed == ", ".join(sorted(fit))


def test_every_objective_is_one_or_the_other_of_each_carrier() -> None:
    assert {"spul", "delta", "lora"} <= {carrier.method for carrier in carriers()}
    for carrier in carriers():
        assert {*carrier.fit, *carrier.unfit} == set(objectives())
        assert not {*carrier.fit} & {*carrier.unfit}


def test_the_committed_page_is_what_the_registries_give() -> None:
    committed = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
    assert committed == page(), "run: python -m adapters.carriers > docs/objectives.md"
