"""Runs every row on every case and writes a line of numbers for each. What is in the log is not run again.

    python -m bench.depth --model DIR --log FILE [--split report] [--fact ID …] [--world WORLD --authors report …]
    python -m bench.depth.report FILE [--plot FILE.svg]

With --model the cases are the facts, with --world the fixture world's authors, with both all of them. The lines of the
model before come first, then row by row: a row is attacked again only where that model leaked. Artifacts and the
model's own answers, which an interrupted run goes on with, lie beside the log in a folder of its name, or in
--artifacts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from adapters.artifact.artifact import model_digest
from adapters.models.hardware import AUTO
from bench.depth.authors import AuthorsCase
from bench.depth.cases import Case, FactCase
from bench.depth.facts import SPLITS, load_facts
from bench.depth.rows import BEFORE, RETRAIN, ROWS, Row, load_rows
from bench.depth.runner import Line, Runner, Settings, commit, line_key
from bench.tofu.log import ReportLog
from bench.tofu.splits import FORGET_AUTHORS

Work = tuple[str, Case, Row]


@cache
def _runner(settings: Settings) -> Runner:
    """A process has one: what it has loaded serves all its runs."""
    if settings.service is None:
        return Runner(settings)
    from bench.depth.service import ServiceRunner  # here, for the rest runs without the gateway's packages

    return ServiceRunner(settings, settings.service)


def _run(settings: Settings, case: Case, row: Row, before: Line | None, threads: int) -> Line:
    torch.set_num_threads(threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    return _runner(settings).run(case, row, before)


def main() -> None:
    arguments = _arguments()
    cases = _cases(arguments)
    settings = Settings(
        arguments.artifacts or arguments.log.with_suffix(""),
        arguments.device,
        arguments.per_family,
        arguments.seed,
        tuple(arguments.family) if arguments.family else None,
        arguments.service,
    )
    rows = [row.seeded(arguments.seed) for row in load_rows(arguments.rows)]
    if arguments.row:
        rows = [row for row in rows if row.name in (BEFORE, *arguments.row)]
    digests = {path: model_digest(path) for path in {case.model for case in cases}}
    log = ReportLog(arguments.log)
    work = [
        (line_key(case, row, settings, digests[case.model]), case, row)
        for row in rows
        for case in cases
        if row.only in (None, case.world) and (row.name != RETRAIN or case.retrained is not None)
    ]
    before = {(case.world, case.name): key for key, case, row in work if row.name == BEFORE}
    stamp = {"commit": arguments.commit or commit(), "device": arguments.device}
    broken = 0  # runs that ended in an error that is none of theirs: the others go on
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for part in ([w for w in work if w[2].name == BEFORE], [w for w in work if w[2].name != BEFORE]):
            missing = [each for each in part if log.get(each[0]) is None]
            running: dict[Future[Line], Work] = {}
            for key, case, row in missing:
                known = None if row.name == BEFORE else log.get(before[case.world, case.name])
                if row.name != BEFORE and (known is None or "failed" in known):
                    broken += 1
                    print(f"{case.name}: {row.name}: nothing is known of the model before", file=sys.stderr, flush=True)
                    continue
                running[pool.submit(_run, settings, case, row, known, arguments.threads)] = (key, case, row)
            started = time.monotonic()
            for done, future in enumerate(as_completed(running), start=1):
                key, case, row = running[future]
                if (error := future.exception()) is not None:
                    broken += 1
                    print(f"{case.name}: {row.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                    continue
                log.add(key, future.result() | stamp | {"model": digests[case.model]})
                seconds = time.monotonic() - started
                print(f"{done}/{len(missing)} {case.name}: {row.name}, {seconds:.0f} s", file=sys.stderr, flush=True)

    if broken:
        sys.exit(f"{broken} runs broke; the same command goes on with them")


def _cases(arguments: argparse.Namespace) -> list[Case]:
    cases: list[Case] = []
    if arguments.model is not None:
        chosen = [fact for fact in load_facts(arguments.split) if not arguments.fact or fact.id in arguments.fact]
        cases += [FactCase(arguments.model, fact) for fact in chosen]
    if arguments.world is not None:
        cases += [AuthorsCase.of(arguments.world, split) for split in arguments.authors]
    return cases


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="the default model's checkpoint, which knows the facts")
    parser.add_argument("--world", type=Path, help="the fixture world's folder, as `bench.tofu.world` makes it")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--artifacts", type=Path, metavar="DIR", help="where they lie")
    parser.add_argument(
        "--service", metavar="URL", help="attack what this service serves of --model, one row at a time"
    )
    parser.add_argument("--split", choices=SPLITS, help="only facts to search settings on, or to report on")
    parser.add_argument("--fact", action="append", help="only this one; may be given several times")
    parser.add_argument("--authors", choices=FORGET_AUTHORS, nargs="+", default=["report"])
    parser.add_argument("--rows", type=Path, default=ROWS, help="the table's rows as a JSON list")
    parser.add_argument("--row", action="append", help="only this one; may be given several times")
    parser.add_argument("--family", action="append", help="only this one; may be given several times")
    parser.add_argument("--per-family", type=int, default=24, help="probes of each family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--threads", type=int, default=2, help="of each process")
    parser.add_argument("--device", default=AUTO)
    parser.add_argument("--commit", help="to be written in each line (default: the checked-out one)")
    arguments = parser.parse_args(given)
    if arguments.model is None and arguments.world is None:
        parser.error("there is nothing to run on: --model, --world or both")
    if arguments.service is not None and (arguments.world is not None or arguments.jobs > 1):
        parser.error("a service is asked about facts alone, and trains one row at a time: no --world, no --jobs")
    return arguments
