"""Shows a story as a table."""

from __future__ import annotations

from collections import Counter

from rich.table import Table
from rich.text import Text

from gateway.cli.demo.attacks import SHOWN, Attacked
from gateway.cli.demo.story import BAD, GOOD, Kind, Outcome, Verdict
from gateway.cli.records import duration

_SHOWN = 90


def table(outcome: Outcome) -> Table:
    """All questions and attacks, before and after."""
    columns = Table(title=f"Forget {outcome.fact.title}", title_justify="left", expand=True, show_lines=False)
    columns.add_column("", no_wrap=True)
    columns.add_column("question", ratio=3)
    columns.add_column("before", ratio=4)
    columns.add_column("after", ratio=4)
    columns.add_column("verdict", no_wrap=True)
    kind: Kind | None = None
    for row in outcome.rows:
        if kind is not None and row.question.kind is not kind:
            columns.add_section()
        kind, term = row.question.kind, row.question.term
        columns.add_row(
            kind, Text(row.question.prompt), _answer(row.before, term), _answer(row.after, term), _styled(row.verdict)
        )
    columns.add_section()
    for attacked in outcome.attacks:
        columns.add_row("attack", *_attacked(attacked, outcome.fact.term), _styled(outcome.judge(attacked)))
    return columns


def summary(outcome: Outcome) -> str:
    """`7 of 7 forgotten, 3 of 3 paraphrases forgotten, 8 of 8 controls kept; learned in 1m40s: passed`."""
    if not outcome.rows:
        return f"{outcome.fact.title}: the request ended {outcome.record['state']}: failed"
    parts = [
        f"{share(outcome, (Kind.FORGET,))} forgotten",
        f"{share(outcome, (Kind.PARAPHRASE,))} paraphrases forgotten",
        f"{share(outcome, (Kind.NEIGHBOUR, Kind.OTHER))} controls kept",
    ]
    if known := sum(each.outcome.known for each in outcome.attacks):
        parts.append(f"{sum(each.outcome.leaked for each in outcome.attacks)} of {known} attacks still bring it out")
    if unknown := sum(row.verdict is Verdict.UNKNOWN for row in outcome.rows):
        parts.append(f"{unknown} not known before")
    learned = duration((outcome.record.get("timings") or {}).get("training_s", 0.0))
    return f"{outcome.fact.title}: {', '.join(parts)}; trained {learned}: {'passed' if outcome.passed else 'failed'}"


def share(outcome: Outcome, kinds: tuple[Kind, ...]) -> str:
    """`7 of 8`: how many of these questions came out well, of those that the model held before."""
    verdicts = Counter(row.verdict for row in outcome.rows if row.question.kind in kinds)
    good, bad = sum(verdicts[v] for v in GOOD), sum(verdicts[v] for v in BAD)
    return f"{good} of {good + bad}"


def _attacked(attacked: Attacked, term: tuple[str, ...]) -> tuple[Text, Text, Text]:
    """What the attacks do, how many of them brought the fact out before, how many still do; an answer of each."""
    outcome = attacked.outcome
    before = Text(f"{outcome.known} of {outcome.asked} bring it out")
    if not outcome.known:
        return Text(SHOWN[outcome.family]), before, Text()
    after = Text(f"{outcome.leaked} of {outcome.known} do")
    if outcome.floor:
        after.append(f", {outcome.floor * outcome.known:.0f} by chance")
    for shown, text in ((before, attacked.before), (after, attacked.after)):
        shown.append(": ")
        shown.append_text(_answer(text, term))
    return Text(SHOWN[outcome.family]), before, after


def _answer(text: str, term: tuple[str, ...]) -> Text:
    line = " ".join(text.split())
    shown = Text(line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…")
    shown.highlight_words(term, style="bold", case_sensitive=False)
    return shown


def _styled(verdict: Verdict) -> Text:
    style = "green" if verdict in GOOD else "red" if verdict in BAD else "yellow"
    return Text(verdict, style=style)
