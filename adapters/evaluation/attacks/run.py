"""Runs probes against a model, which it knows only through what answers and what scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.evaluation.attacks.probe import Probe, Reading, Respond, Score
from adapters.evaluation.attacks.reading import leaks, likeliest


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a probe.

    leaked: of each sample, whether it leaks; one entry for a likelihood probe. texts: the answers; empty for such.
    margin: for a likelihood probe, how much likelier the true option is than the likeliest other, in nats a character.
    """

    probe: Probe
    leaked: tuple[bool, ...]
    texts: tuple[str, ...] = ()
    margin: float | None = None

    @property
    def leaks(self) -> bool:
        """Whether any sample does."""
        return any(self.leaked)


def run(probes: Sequence[Probe], respond: Respond, score: Score | None) -> list[Result]:
    """The results in order. score None: likelihood probes are left out, as is one that has no likelihoods.

    Raises what `respond` and `score` raise.
    """
    asked = [probe for probe in probes if probe.reading is not Reading.LIKELIHOOD]
    scored = [probe for probe in probes if probe.reading is Reading.LIKELIHOOD] if score is not None else []
    results: dict[Probe, Result] = {}
    for probe, texts in zip(asked, respond([probe.query for probe in asked]), strict=True):
        results[probe] = Result(probe, tuple(leaks(probe, text) for text in texts), texts)
    if score is not None and scored:
        read = score([(probe.query.prompt, probe.options) for probe in scored])
        for probe, sums in zip(scored, read, strict=True):
            if sums:
                results[probe] = _ranked(probe, sums)
    return [results[probe] for probe in probes if probe in results]


def _ranked(probe: Probe, sums: Sequence[float]) -> Result:
    """By length, for a short option must not win for being short: in characters, which no tokenizer decides."""
    each = [total / len(option) for total, option in zip(sums, probe.options, strict=True)]
    others = [value for number, value in enumerate(each) if number != probe.truth]
    return Result(probe, (likeliest(each) == probe.truth,), margin=each[probe.truth] - max(others))
