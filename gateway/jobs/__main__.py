"""`python -m gateway.jobs REQUEST ATTEMPT`: one job, in a process of its own. The worker starts it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from gateway.jobs.learn import learn
from gateway.service.core_dumps import forbid_core_dumps
from gateway.service.logs import configure_logging
from gateway.settings import Settings


async def run(request_id: str, attempt: int) -> None:
    """Ends the process with status 0. Raises what `learn` raises."""
    await learn(request_id, attempt, Settings())
    logging.shutdown()
    os._exit(0)  # without waiting for a trainer that was left behind


def main() -> None:
    configure_logging()
    forbid_core_dumps()
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
