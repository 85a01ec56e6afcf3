"""The report as a page: one HTML file without script and without anything from elsewhere, made of the report alone."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from importlib import resources
from types import MappingProxyType
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from adapters.evaluation.levels import Level
from gateway.evidence.report import chart
from gateway.evidence.report.chart import Mark, Row
from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Baseline, Family, Kept, Leaks, Report
from gateway.evidence.report.vocabulary import Term, baseline, family, percent

_TEMPLATE: Final = "page.html.j2"
_VERDICTS: Mapping[Verdict, Term] = MappingProxyType(
    {
        Verdict.PASS: Term(
            "Pass",
            "What was to be forgotten came out in no attack, enough was tried to rule out more than may, and what "
            "must stay has stayed.",
        ),
        Verdict.PASS_WITH_LIMITS: Term(
            "Pass, with limits",
            "Nothing shows that more comes out than may, and what must stay has stayed. The limits are named below.",
        ),
        Verdict.INCONCLUSIVE: Term(
            "Inconclusive", "The measurement does not allow a statement, for the reasons named below."
        ),
        Verdict.FAIL: Term(
            "Fail", "The request does not do what it claims, or does harm, for the reasons named below."
        ),
    }
)
_LEVELS: Mapping[Level, str] = MappingProxyType(
    {
        Level.REFUSES: "refuses: the questions, also in other words, are not answered with it",
        Level.SUPPRESSES: "suppresses: no attack brings it out in an answer",
        Level.RESEMBLES_IGNORANCE: "resembles ignorance: no attack brings it out, nor is it the likeliest of several",
    }
)
_LEAK_LEGEND = (("first", "before"), ("second", "after"), ("reference", "by guessing"), ("threshold", "at most"))


@dataclass(frozen=True, slots=True)
class _Attacked:
    family: Family
    term: Term

    @property
    def judged(self) -> str:
        if self.family.passes is None:
            return "too few to judge"
        return "passes" if self.family.passes else "fails"


@dataclass(frozen=True, slots=True)
class _Simpler:
    found: Baseline
    term: Term


def render(report: bytes | Report) -> str:
    """The page. report: its JSON, or the report. Raises `pydantic.ValidationError` for JSON that is none."""
    shown = Report.from_json(report.to_json() if isinstance(report, Report) else report)
    found = shown.evaluation
    kept = (("unrelated questions", found.controls), ("close to what was forgotten", found.neighbours))
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            report=shown,
            css=Markup(_css()),
            security=content_security_policy(),
            verdict=_VERDICTS[shown.verdict],
            level=_LEVELS[shown.claim.level],
            families=[_Attacked(each, family(each.family)) for each in (*found.families, found.pooled)],
            families_chart=Markup(_families_chart(shown)),
            kept=kept,
            kept_chart=Markup(_kept_chart(shown)),
            baselines=[_Simpler(each, baseline(each.name)) for each in found.baselines],
            baselines_chart=Markup(_baselines_chart(shown)),
            cost=[*((title, words) for title, _, words in _seconds(shown)), ("adapter", _size(shown))],
            cost_chart=Markup(
                chart.bars(
                    _seconds(shown), name="cost", title="Time by phase", summary="The same as in the table below."
                )
            ),
        )
    )


@cache
def content_security_policy() -> str:
    """What a browser may do with the page: use its own style, and nothing else."""
    style = base64.b64encode(hashlib.sha256(_css().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"


@cache
def _css() -> str:
    return resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, ""), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {
        "percent": percent,
        "at_least": partial(percent, rounding=math.floor),
        "at_most": partial(percent, rounding=math.ceil),
        "day": _day,
    }
    return environment


def _families_chart(report: Report) -> str:
    found = report.evaluation
    direct = Row(
        "direct questions", _leaks(found.forget.before, found.forget.after), (("threshold", found.forget.threshold),)
    )
    rows = [direct]
    for each in (*found.families, found.pooled):
        ticks = [("threshold", each.threshold)] + ([("reference", each.reference)] if each.reference else [])
        rows.append(Row(family(each.family).title, _leaks(each.before, each.after), tuple(ticks)))
    return chart.rates(
        rows,
        name="families",
        title="How often the answer came out, before and after",
        summary="A line for each kind of question. The same numbers are in the table below.",
        legend=_LEAK_LEGEND,
    )


def _kept_chart(report: Report) -> str:
    found = report.evaluation
    named = (("unrelated questions", found.controls), ("close by", found.neighbours))
    rows = [Row(title, _share("second", each), (("threshold", each.threshold),)) for title, each in named]
    return chart.rates(
        rows,
        name="kept",
        title="How many answers stayed as they were",
        summary="Unrelated questions, and others close by. The same numbers are in the table below.",
        legend=(("second", "stayed"), ("threshold", "at least")),
    )


def _baselines_chart(report: Report) -> str:
    rows = [
        Row(baseline(each.name).title, (*_share("first", each.leaks), *_share("second", each.adapter)))
        for each in report.evaluation.baselines
    ]
    return chart.rates(
        rows,
        name="baselines",
        title="How often the answer came out with something simpler, and with the adapter",
        summary="A line for each baseline. The same numbers are in the table below.",
        legend=(("first", "something simpler"), ("second", "the adapter")),
    )


def _leaks(before: Leaks, after: Leaks) -> tuple[Mark, ...]:
    return (*_share("first", before), *_share("second", after))


def _share(kind: str, share: Leaks | Kept) -> tuple[Mark, ...]:
    """Nothing where nothing was tried."""
    return () if share.rate is None else (Mark(kind, share.rate, share.lower, share.upper),)


def _seconds(report: Report) -> list[tuple[str, float, str]]:
    longest = sorted(report.cost.seconds.items(), key=lambda phase: -phase[1])
    return [(name.replace("_", " "), spent, f"{spent:.0f} s") for name, spent in longest]


def _size(report: Report) -> str:
    return f"{report.cost.artifact_bytes / 1024:.0f} KiB"


def _day(instant: str) -> str:
    """`27 November 2026`; it is English whatever the locale is."""
    when = datetime.fromisoformat(instant)
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
