"""What the command finds, as the JSON that it writes and reads again as a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from statistics import fmean
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from adapters.evaluation.statistics.bootstrap import mean_interval
from adapters.evaluation.tofu.parts import FORGET_QUALITY, MODEL_UTILITY, utility, values
from adapters.evaluation.tofu.scoring import FORGET, ItemScores
from adapters.evaluation.tofu.summary import forget_quality
from gateway.cli.bench.plans import BEFORE
from gateway.cli.bench.tofu.dataset import Source, Split
from gateway.cli.failures import UsageFailed

REFERENCE = "reference"


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measured(_Document):
    """One model. summary: {figure: value} under open-unlearning's names. intervals: 95 % of each mean. items: by part,
    a value a row; truth ratios as they are, before they are aggregated."""

    plan: str
    summary: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    items: dict[str, ItemScores]

    @classmethod
    def of(cls, plan: str, items: Mapping[str, ItemScores]) -> Self:
        by_figure = values(items)
        means = {name: fmean(each) for name, each in by_figure.items()}
        intervals = {name: mean_interval(each) for name, each in by_figure.items()}
        return cls(plan=plan, summary={**means, MODEL_UTILITY: utility(means)}, intervals=intervals, items=dict(items))

    def against(self, reference: Measured) -> Measured:
        """With forget quality: the p of a Kolmogorov–Smirnov test between both models' truth ratios."""
        ratios = (each.items[FORGET].truth_ratio for each in (self, reference))
        return self.model_copy(update={"summary": {**self.summary, FORGET_QUALITY: forget_quality(*ratios).p_value}})


class Settings(_Document):
    """What has to be the same for figures to be compared."""

    split: Split
    system: str | None
    max_tokens: int
    data: dict[str, Source]


class Results(_Document):
    """A run. model: as the service names it. models: what was measured, by name, in order."""

    benchmark: Literal["tofu"] = "tofu"
    model: str
    settings: Settings
    models: dict[str, Measured]

    @model_validator(mode="after")
    def _has_every_row(self) -> Self:
        wanted = {part: {source.rows} for part, source in self.settings.data.items()}
        for name, measured in self.models.items():
            if {part: set(map(len, astuple(items))) for part, items in measured.items.items()} != wanted:
                raise ValueError(f"the model {name} does not have the figures of every row")
        return self

    def against(self, reference: Measured) -> Results:
        """With forget quality, and the reference as one more model."""
        models = {name: measured.against(reference) for name, measured in self.models.items()}
        return self.model_copy(update={"models": {**models, REFERENCE: reference}})


def read_reference(path: Path, settings: Settings) -> Measured:
    """The model before of another service's run. Raises `UsageFailed` where it was not measured in the same way."""
    try:
        results = Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageFailed(f"--reference: {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        said = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise UsageFailed(f"--reference: {path} is not what `unlearn bench tofu --out` writes: {said}") from None
    other = [name for name in Settings.model_fields if getattr(results.settings, name) != getattr(settings, name)]
    if other:
        raise UsageFailed(f"--reference: {path} was measured with another {', another '.join(other)}")
    if BEFORE not in results.models:
        raise UsageFailed(f"--reference: {path} does not have the model {BEFORE}")
    return results.models[BEFORE]
