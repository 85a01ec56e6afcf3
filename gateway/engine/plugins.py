"""vLLM's plugins: code of other packages that it loads into its processes, beside the adapters or around them.

A steering or hooking plugin changes hidden states or logits after an adapter has done its work, or adds routes that do.
None can be told from a harmless one, so that only those run which the operator has named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

#: Groups of entry points that vLLM loads, with what a plugin of each can do.
GROUPS = MappingProxyType(
    {
        "vllm.general_plugins": "runs in every process of the engine, and may change anything there",
        "vllm.logits_processors": "changes the logits after the adapters",
        "vllm.endpoint_plugins": "adds or replaces routes",
        "vllm.io_processor_plugins": "makes prompts and answers of its own",
        "vllm.platform_plugins": "replaces the workers",
        "vllm.stat_logger_plugins": "runs in the service's process",
    }
)
OWN = EntryPoint("unlearning_gateway", "gateway.engine.inside.plugin:register", "vllm.general_plugins")

#: vLLM loads these whatever VLLM_PLUGINS says, and those only where it names them.
_ALWAYS, _IF_NAMED = "vllm.logits_processors", "vllm.endpoint_plugins"


def installed() -> list[EntryPoint]:
    """The plugins of every group that vLLM would find here."""
    return [plugin for group in GROUPS for plugin in entry_points(group=group)]


def refusal(plugins: Iterable[EntryPoint], allowed: Collection[str], selected: Sequence[str] | None) -> str | None:
    """Why vLLM is not started beside these plugins, or None.

    allowed: names that the operator vouches for. selected: the names in VLLM_PLUGINS, None where it is not set.
    """
    if selected is not None and OWN.name not in selected:
        return f"VLLM_PLUGINS leaves out the gateway's own plugin: add {OWN.name} to it, or unset it"
    for plugin in plugins:
        if _is_known(plugin) or plugin.name in allowed or not _is_loaded(plugin, selected):
            continue
        return (
            f"the vLLM plugin {plugin.name} ({plugin.value}) {GROUPS[plugin.group]}, and could take back what the "
            "adapters do: uninstall its package, or name it in UNLEARN_VLLM_PLUGINS if you know that it does not"
        )
    return None


def _is_known(plugin: EntryPoint) -> bool:
    """Ours, or one that vLLM ships itself: by the code it names, for a name is anybody's."""
    return plugin.value == OWN.value or plugin.module.startswith("vllm.")


def _is_loaded(plugin: EntryPoint, selected: Sequence[str] | None) -> bool:
    if plugin.group == _ALWAYS:
        return True
    if selected is None:
        return plugin.group != _IF_NAMED
    return plugin.name in selected
