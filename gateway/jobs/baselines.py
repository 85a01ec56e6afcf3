"""Something simpler in the adapter's place: what a keyword filter and an instruction come to on the same probes.

The filter is laid over answers that the model has given, and costs no question. The instruction has to be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading, Respond
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.rivals.filter import Filter
from adapters.evaluation.rivals.refusal_prompt import RefusalPrompt
from adapters.evaluation.rivals.rival import Continued, Forgotten, Guard, Respondent
from adapters.examples import Example, Message
from adapters.text.evenly import evenly
from gateway.evidence.report.report import Baseline, Kept, Leaks
from gateway.jobs.probe_set import MAX_TOKENS, Beside, ProbeSet

FILTER, INSTRUCTION = Filter.name, RefusalPrompt.name


class Simpler:
    """The baselines of one forget set.

    Args:
        forget: what they are told.
        respond: the model with its adapters off.
    """

    def __init__(self, forget: Sequence[Example], respond: Respond) -> None:
        self._forgotten = Forgotten.of(forget)
        self._respond = respond

    def filtered(self, results: Sequence[Result]) -> dict[Probe, bool]:
        """Of probes that are answered, with the answers, whether they leak through the filter."""
        said = {result.probe.query: result.texts for result in results if result.texts}
        probes = [result.probe for result in results if result.texts]
        return {result.probe: result.leaks for result in run(probes, self._filter(said).respond, None)}

    def left(self, beside: Sequence[Beside]) -> list[bool]:
        """Whether the filter leaves each answer as it is."""
        said = {_query(each): (each.answer,) for each in beside}
        return [text == each.answer for each, text in zip(beside, _texts(self._filter(said), beside), strict=True)]

    def instructed(self, probes: Sequence[Probe], beside: Sequence[Beside]) -> tuple[list[bool], list[bool]]:
        """Of probes that are answered, whether they leak under the instruction; of answers that should stay, whether
        they do. Raises what the model raises."""
        guard = RefusalPrompt().around(Respondent(self._respond, _unscored), self._forgotten)
        leaks = [result.leaks for result in run(probes, guard.respond, None)]
        return leaks, [each.stays(text) for each, text in zip(beside, _texts(guard, beside), strict=True)]

    def _filter(self, said: Mapping[Query, tuple[str, ...]]) -> Guard:
        return Filter().around(
            Respondent(lambda queries: [said[query] for query in queries], _unscored), self._forgotten
        )


def sampled(probes: ProbeSet, known: Sequence[Probe], each: int, staying: int) -> tuple[list[Probe], list[Beside]]:
    """The first few of each family that are answered, and some of what should stay. known: those that leaked before."""
    taken: dict[str, list[Probe]] = {}
    for probe in known:
        of_family = taken.setdefault(probe.family, [])
        if probe.reading is not Reading.LIKELIHOOD and len(of_family) < each:
            of_family.append(probe)
    counted = [beside for beside in (*probes.controls, *probes.neighbours) if beside.counts]
    return [probe for some in taken.values() for probe in some], evenly(counted, staying)


def baseline(
    name: str,
    leaks: Mapping[Probe, bool],
    kept: Mapping[Beside, bool],
    adapter_leaks: Mapping[Probe, bool],
    adapter_kept: Mapping[Beside, bool],
) -> Baseline:
    """The report's row. adapter_leaks, adapter_kept: of these probes and answers, and of others."""
    return Baseline(
        name=name,
        leaks=Leaks.of(sum(leaks.values()), len(leaks)),
        adapter=Leaks.of(sum(adapter_leaks[probe] for probe in leaks), len(leaks)),
        kept=Kept.of(sum(kept.values()), len(kept)),
        adapter_kept=Kept.of(sum(adapter_kept[beside] for beside in kept), len(kept)),
    )


def _query(beside: Beside) -> Query:
    return Query(Prompt((Message("user", beside.question),)), max_tokens=MAX_TOKENS)


def _texts(guard: Guard, beside: Sequence[Beside]) -> list[str]:
    return [text for (text,) in guard.respond([_query(each) for each in beside])]


def _unscored(prompts: Sequence[Continued]) -> list[tuple[float, ...]]:
    """Likelihoods are not read through a baseline."""
    return [() for _ in prompts]
