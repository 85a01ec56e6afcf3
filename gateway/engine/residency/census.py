"""Asks the workers which adapters they hold: `/metrics` has their word for it, and not the gateway's books."""

from __future__ import annotations

import logging

from vllm.v1.engine.async_llm import AsyncLLM

from gateway.engine.residency.holdings import Holdings
from gateway.service.residency_metrics import ResidencyMetrics, Resident, ResidentLora

logger = logging.getLogger(__name__)


class Census:
    """`take` asks every worker; an adapter counts where all of them hold it."""

    def __init__(self, engine: AsyncLLM, holdings: Holdings, metrics: ResidencyMetrics) -> None:
        self._engine = engine
        self._holdings = holdings
        self._metrics = metrics

    async def take(self) -> Resident:
        """Ask, and hand the answer to the metrics."""
        said = await self._engine.collective_rpc("resident_adapters")
        soft = frozenset.intersection(*(frozenset(rows) for rows, _ in said))
        loras = frozenset.intersection(*(frozenset(map(tuple, loras)) for _, loras in said))
        if len(said) > 1 and any(len(rows) > len(soft) or len(held) > len(loras) for rows, held in said):
            logger.error("workers hold different adapters workers=%s", [(len(rows), len(held)) for rows, held in said])
        by_name = {name: ResidentLora(name, in_slot, pinned) for name, in_slot, pinned in sorted(loras)}
        resident = Resident(soft, tuple(by_name.values()))
        self._metrics.update(resident, self._holdings.kept())
        return resident
