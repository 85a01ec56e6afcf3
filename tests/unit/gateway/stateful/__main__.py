"""As many steps as asked for, in histories that are drawn anew each time.

    python -m tests.unit.gateway.stateful [--steps 1000000] [--minutes 60] [--as-found]

A history that goes wrong is made as short as possible and printed.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, settings

from gateway.store.embedded import EmbeddedRedis
from tests.unit.gateway.stateful.grounds import Grounds
from tests.unit.gateway.stateful.machine import Stage

_SAY_EVERY_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end then, however many there were")
    parser.add_argument("--as-found", action="store_true", help="leave a history that goes wrong as long as it is")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    drawn_anew = settings(
        max_examples=20,
        stateful_step_count=80,
        phases=[Phase.generate] if options.as_found else [Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with TemporaryDirectory(prefix="ug-") as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        stage = Stage(Grounds(server, Path(folder)))
        started = said = time.monotonic()
        try:
            while stage.steps.total() < options.steps and time.monotonic() - started < 60 * options.minutes:
                stage.play(drawn_anew)
                if time.monotonic() - said > _SAY_EVERY_S:
                    said = time.monotonic()
                    print(_figures(stage, said - started), flush=True)
        except BaseException:
            print(*stage.history, sep="\n")
            raise
        finally:
            print(_figures(stage, time.monotonic() - started))
            for name, count in (*stage.steps.most_common(), *stage.answers.most_common()):
                print(f"{count:9} {name}")
            stage.close()


def _figures(stage: Stage, seconds: float) -> str:
    steps = stage.steps.total()
    busy = time.process_time()
    return (
        f"{steps} steps in {stage.histories} histories, {seconds:.0f} s, {steps / seconds:.0f} a second; "
        f"{busy:.0f} s of this processor, {steps / busy:.0f} a second of it"
    )


if __name__ == "__main__":
    main()
