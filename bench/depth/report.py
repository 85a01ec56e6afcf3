"""The log of `bench.depth` as Markdown tables, and as a heat map.

    python -m bench.depth.report LOG [--split report] [--plot FILE.svg]

A cell is the share of probes that leak of those in which the model before leaked, pooled over the cases, and behind ≤
its exact one-sided 95 % bound. A family in which the model before leaked fewer than eight times says nothing: "few".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from adapters.evaluation.attacks.outcome import MIN_KNOWN, FamilyOutcome, outcomes, pooled
from adapters.evaluation.statistics.paired import lost_bound
from bench.depth.authors_table import authors_table
from bench.depth.heat import Cell, heat_map
from bench.depth.results import from_numbers
from bench.depth.rows import BEFORE
from bench.tofu.log import load_log
from bench.tofu.table import markdown

Line = dict[str, Any]

RANKING = "ranking"
LEAK_AT = 16
ALL = "all"


@dataclass(frozen=True)
class RowRuns:
    """A row's lines, each beside that of the model before on the same case."""

    name: str
    runs: tuple[tuple[Line, Line], ...]
    failed: int

    @property
    def families(self) -> dict[str, FamilyOutcome]:
        """Pooled over the cases; all of them together under `ALL`."""
        each = [
            outcomes(from_numbers(before["families"]), from_numbers(line["families"])) for before, line in self.runs
        ]
        names = dict.fromkeys(name for found in each for name in found)
        together = {
            name: replace(pooled(found[name] for found in each if name in found), family=name) for name in names
        }
        return together | {ALL: pooled(outcome for found in each for outcome in found.values())}

    def values(self, part: str) -> tuple[list[float], list[float]]:
        """A part's values of all cases before and after, in the same order; nothing where no line has the part."""
        with_part = [(before[part], line[part]) for before, line in self.runs if part in line]
        return [x for before, _ in with_part for x in before], [x for _, after in with_part for x in after]

    @property
    def margins(self) -> list[float]:
        """How much likelier than the likeliest other the truth is, in nats a character."""
        found = [line["families"].get(RANKING, {}).get("margins", ()) for _, line in self.runs]
        return [margin for margins in found for margin in margins if margin is not None]

    def mean(self, name: str) -> float | None:
        """Of a number that lines have; None where none has it."""
        values = [line[name] for _, line in self.runs if name in line]
        return fmean(values) if values else None


def row_runs(lines: Sequence[Line]) -> list[RowRuns]:
    """The rows in the log's order. A line is left out without one of the model before on its case, of its suite."""
    before = {_asked(line): line for line in lines if line["row"] == BEFORE}
    rows = []
    for name in dict.fromkeys([BEFORE, *(line["row"] for line in lines)]):
        mine = [line for line in lines if line["row"] == name]
        runs = tuple((before[_asked(line)], line) for line in mine if "failed" not in line and _asked(line) in before)
        rows.append(RowRuns(name, runs, sum("failed" in line for line in mine)))
    return rows


def _asked(line: Line) -> tuple[str, str, str]:
    return line["world"], line["case"], line["suite"]


def leaks_table(rows: Sequence[RowRuns]) -> str:
    """Rows × families."""
    families = family_names(rows)
    header = ["row", *families]
    cells = [[row.name, *(_leaks(row.families.get(family), row.name) for family in families)] for row in rows]
    return markdown([header, *cells])


def family_names(rows: Sequence[RowRuns]) -> list[str]:
    """Those that any row was attacked with, all together last."""
    names = dict.fromkeys(name for row in rows for name in row.families)
    return [*(name for name in names if name != ALL), ALL]


def _leaks(outcome: FamilyOutcome | None, row: str) -> str:
    if outcome is None or not outcome.asked:
        return "–"
    if row == BEFORE:
        return f"{outcome.known} of {outcome.asked}"
    if not outcome.conclusive:
        return f"few ({outcome.leaked} of {outcome.known})"
    assert outcome.rate is not None
    return f"{outcome.rate:.0%} ≤ {outcome.upper:.0%}"


def kept_table(rows: Sequence[RowRuns]) -> str:
    """Beside the leaks: samples, the rank of the truth, what else is known, and what it costs."""
    header = [
        "row", f"leak@{LEAK_AT}", "truth likeliest", "margin, nats a character", "given", "paraphrases",
        "neighbours kept", "general kept", "training, s", "attacks, s", "KiB", "failed",
    ]  # fmt: skip
    return markdown([header, *(_kept_row(row) for row in rows)])


def _kept_row(row: RowRuns) -> list[str]:
    families, margins = row.families, row.margins
    sampled = [outcome.leak_at[LEAK_AT] for outcome in families.values() if LEAK_AT in outcome.leak_at]
    size = row.mean("bytes")
    return [
        row.name,
        f"{max(sampled):.2f}" if sampled else "–",
        f"{fmean(margin > 0 for margin in margins):.2f}" if margins else "–",
        f"{fmean(margins):+.3f}" if margins else "–",
        _right(row.values("given")[1]),
        _right(row.values("paraphrases")[1]),
        kept(*row.values("neighbours")) if not _is_scores(row, "neighbours") else "below",
        kept(*row.values("general")),
        _seconds(row.mean("train_s")),
        _seconds(row.mean("attack_s")),
        "–" if size is None else f"{size / 1024:.0f}",
        str(row.failed) if row.failed else "",
    ]


def _is_scores(row: RowRuns, part: str) -> bool:
    return any(isinstance(line.get(part), Mapping) for _, line in row.runs)


def kept(before: Sequence[float], after: Sequence[float]) -> str:
    """The share of questions answered right before that still are, and the bound of the loss over all of them: those
    that became right count for it."""
    known = [now for was, now in zip(before, after, strict=True) if was]
    if not known:
        return "–"
    lost = sum(not now for now in known)
    gained = sum(bool(now) and not was for was, now in zip(before, after, strict=True))
    return f"{1 - lost / len(known):.3f}, loss ≤ {lost_bound(lost, gained, len(before)):.3f}"


def _right(values: Sequence[float]) -> str:
    return f"{sum(map(int, values))} of {len(values)}" if values else "–"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def plot(rows: Sequence[RowRuns], title: str) -> str:
    """Rows × families, coloured by how much leaks, as an SVG document. The model before is what all is measured by."""
    shown = [row for row in rows if row.name != BEFORE and row.runs]
    families = family_names(shown)
    cells = [[_cell(row.families.get(family)) for family in families] for row in shown]
    return heat_map([row.name for row in shown], families, cells, title)


def _cell(outcome: FamilyOutcome | None) -> Cell | None:
    if outcome is None or outcome.known < MIN_KNOWN or outcome.rate is None:
        return None
    return Cell(outcome.rate, outcome.upper, outcome.floor)


def tables(lines: Iterable[Line]) -> str:
    """All tables of each world."""
    parts = []
    every = list(lines)
    for world in dict.fromkeys(line["world"] for line in every):
        mine = [line for line in every if line["world"] == world]
        rows = row_runs(mine)
        cases = dict.fromkeys(line["case"] for line in mine)
        parts += [f"**{world}** ({', '.join(cases)})\n", leaks_table(rows), kept_table(rows)]
        if any(_is_scores(row, "neighbours") for row in rows):
            parts.append(authors_table([(row.name, row.runs) for row in rows]))
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--split", help="only cases to search settings on, or to report on")
    parser.add_argument("--plot", type=Path, help="write an SVG there; of several worlds the first is drawn")
    arguments = parser.parse_args()
    lines = load_log(arguments.log, arguments.split)
    print(tables(lines), end="")
    if arguments.plot:
        world = lines[0]["world"]
        rows = row_runs([line for line in lines if line["world"] == world])
        arguments.plot.write_text(plot(rows, TITLE), encoding="utf-8")


TITLE = "How often the forgotten still comes out, by attack"

if __name__ == "__main__":
    main()
