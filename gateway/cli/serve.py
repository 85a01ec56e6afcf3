"""`serve` and `worker`: the two commands that run the service instead of talking to it.

Both import it only when they run, so that `unlearn --help` and the others load neither torch nor vLLM.
"""

from __future__ import annotations

from typing import Any

import typer

from adapters.errors import InvalidPlugin
from gateway.cli.context import load_settings
from gateway.cli.failures import UsageFailed


def serve(ctx: typer.Context, overrides: dict[str, Any]) -> None:
    """Serve a model that can be told to forget.

    Every setting can also come from the environment as UNLEARN_<NAME>; secrets only from there: REDIS_URL,
    UNLEARN_API_KEYS, UNLEARN_OPERATOR_TOKEN, UNLEARN_PAYLOAD_KEY. Options not listed here are passed to vLLM as
    they are, as in --max-model-len 2048 or --tensor-parallel-size 2.
    """
    settings = load_settings(overrides)
    _check_plugins(objectives_too=True)
    from gateway.service.serve import run

    raise typer.Exit(run(settings, list(ctx.args)))


def worker(_ctx: typer.Context, overrides: dict[str, Any]) -> None:
    """Learn the adapters of registered requests, beside a service or on a machine of its own.

    Takes the service's settings: REDIS_URL, UNLEARN_GATEWAY_URL, UNLEARN_OPERATOR_TOKEN and UNLEARN_PAYLOAD_KEY
    say where the service is and that it may be used.
    """
    settings = load_settings(overrides)
    _check_plugins(objectives_too=False)  # importing those imports torch, which only a job may
    from gateway.jobs.worker import run_worker

    raise typer.Exit(run_worker(settings))


def _check_plugins(*, objectives_too: bool) -> None:
    """A method or objective of another package that cannot be used is found before anything starts."""
    from adapters.registry import methods

    try:
        methods()
        if objectives_too:
            from adapters.objectives.registry import objectives

            objectives()
    except InvalidPlugin as error:
        raise UsageFailed(str(error)) from error
