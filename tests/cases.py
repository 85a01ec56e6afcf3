"""The table of inputs that failed once, each with what came of it: `make cases` prints it.

A test of such inputs is marked `case("what kind they are of")`; a row is one run of it, named by the test and its
parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

_PROPERTY = "case"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("case"):
            name = item.name.removeprefix("test_").replace("_", " ")
            item.user_properties.append((_PROPERTY, [mark.args[0], name]))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.option.markexpr != "case":
        return
    rows = sorted({row for outcome in ("passed", "failed", "error") for row in _rows(terminalreporter, outcome)})
    terminalreporter.section("inputs that failed once")
    for row in [("kind", "input", "outcome"), ("---", "---", "---"), *rows]:
        terminalreporter.write_line("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    kinds = {kind for kind, _, _ in rows}
    terminalreporter.write_line(f"{len(rows)} inputs of {len(kinds)} kinds")


def _rows(terminalreporter: Any, outcome: str) -> Iterator[tuple[str, str, str]]:
    for report in terminalreporter.stats.get(outcome, ()):
        for name, value in getattr(report, "user_properties", ()):
            if name == _PROPERTY:
                yield value[0], value[1], "right" if outcome == "passed" else "wrong"
