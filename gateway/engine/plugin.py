"""Entry point of `vllm.general_plugins`: vLLM calls `register` in each of its processes, maybe more than once."""

from __future__ import annotations

from gateway.engine.layout import ARCHITECTURE


def register() -> None:
    """Make the wrapper architecture known to vLLM; by name, so that nothing heavy is imported here."""
    from vllm import ModelRegistry

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, f"gateway.engine.model:{ARCHITECTURE}")
