"""An evaluation made again by somebody who has the examples: what the service gives now, held against a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.examples import Example
from adapters.progress import Progress
from gateway.client.client import UnlearnClient
from gateway.evidence.report.judging import Judgement, judge
from gateway.evidence.report.report import Evaluation, Report
from gateway.jobs.measured import Measured
from gateway.jobs.probe import Prober
from gateway.jobs.probe_set import ProbeSet


@dataclass(frozen=True, slots=True)
class Again:
    """evaluation, judgement: of now, by the report's policy. same_probes: whether as much was asked of each kind as the
    report says. The report's commitment to its probes cannot be opened: its salt is gone with them."""

    evaluation: Evaluation
    judgement: Judgement
    same_probes: bool


class _Result:
    """`gateway.jobs.probe.Witness` that keeps what was measured."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.evaluation: Evaluation | None = None

    async def fix(self, adapter: str, probes: ProbeSet) -> None:
        """Nothing is promised to anybody."""

    async def conclude(self, adapter: str, probes: ProbeSet, measured: Measured) -> None:  # noqa: ARG002
        self.evaluation = measured.to_evaluation(probes, self._report.policy.terms, kept=False)


async def evaluate_again(
    service: UnlearnClient,
    report: Report,
    forget: Sequence[Example],
    retain: Sequence[Example],
    tell: Callable[[Progress], None],
    *,
    served: bool,
) -> Again:
    """Derive the probes of a report from its examples, with its seed, tier and level, and ask the service.

    service: as its operator. served: what every caller gets, for a request that is in force; else its adapter alone.
    Raises `ClientError`.
    """
    found = _Result(report)
    prober = Prober(
        service,
        report.request.id,
        forget,
        retain,
        report.request.language,
        report.claim.level,
        tell,
        tier=report.evaluation.tier,
        witness=found,
        served=served,
    )
    await prober.evidence(report.manifest["adapter"])
    assert found.evaluation is not None
    judgement = judge(found.evaluation, report.claim.level, report.policy.terms)
    return Again(found.evaluation, judgement, _asked(found.evaluation) == _asked(report.evaluation))


def _asked(evaluation: Evaluation) -> dict[str, int]:
    families = {family.family: family.asked for family in evaluation.families}
    return {**families, "direct": evaluation.forget.before.n}
