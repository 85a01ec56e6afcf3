"""Entry point of `vllm.general_plugins`: vLLM calls `register` in each of its processes, maybe more than once."""

from __future__ import annotations

from gateway.engine.inside.message_queue import sleep_between_messages
from gateway.engine.inside.parent import end_with_parent
from gateway.engine.layout import ARCHITECTURE

GROUPED_PUNICA = "gateway.engine.inside.punica.GroupedPunicaWrapper"


def register() -> None:
    """Make the wrapper architecture known to vLLM; by name, so that nothing heavy is imported here.

    A process of the engine ends with its parent from now on.
    """
    from vllm import ModelRegistry
    from vllm.platforms import current_platform

    end_with_parent()
    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, f"gateway.engine.inside.model:{ARCHITECTURE}")
    if current_platform.is_cpu():
        sleep_between_messages()
        # vLLM asks the platform for the class by name; there is no setting for it.
        type(current_platform).get_punica_wrapper = classmethod(lambda _cls: GROUPED_PUNICA)
