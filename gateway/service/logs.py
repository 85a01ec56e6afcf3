"""Logging set-up: one line an event, `key=value`, to standard error. No forget text ever reaches it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


def configure_logging(level: int = logging.INFO) -> None:
    """For `serve` and `worker`. vLLM logs through handlers of its own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    # On our own loggers, not on the root: libraries set the root up as they please.
    for name in ("gateway", "adapters"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
    # httpx logs every request line; asyncio and uvicorn say nothing an operator needs below a warning.
    for name in ("httpx", "httpcore", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def progress_reporter() -> Iterator[Callable[[str, float], None]]:
    """A progress bar on standard error; where that is no terminal, a line a step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        seen: set[str] = set()

        def report_line(step: str, _done: float) -> None:
            if step not in seen:
                seen.add(step)
                console.print(f"default model: {step}", highlight=False)

        yield report_line
        return
    columns = (TextColumn("default model: {task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda step, done: progress.update(task, description=step, completed=done)
