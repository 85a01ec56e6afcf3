"""vLLM's plugins of other packages keep the service from starting, unless the operator has named them."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.engine import plugins
from gateway.engine.plugins import GROUPS, OWN, refusal

SHIPPED = EntryPoint(
    "lora_hf_hub_resolver",
    "vllm.plugins.lora_resolvers.hf_hub_resolver:register_hf_hub_resolver",
    "vllm.general_plugins",
)
NAMED = sorted(GROUPS.keys() - {"vllm.endpoint_plugins"})


def steering(group: str, name: str = "steer", value: str = "steering.hooks:register") -> EntryPoint:
    return EntryPoint(name, value, group)


@pytest.mark.parametrize("group", NAMED)
def test_a_plugin_of_another_package(group: str) -> None:
    reason = refusal([OWN, SHIPPED, steering(group)], (), None)
    assert reason is not None
    assert "steer (steering.hooks:register)" in reason
    assert "UNLEARN_VLLM_PLUGINS" in reason
    assert refusal([steering(group)], {"steer"}, None) is None
    assert refusal([steering(group)], {"another"}, None) == reason


def test_ours_and_those_that_vllm_ships_are_known_by_their_code() -> None:
    assert refusal([OWN, SHIPPED], (), None) is None
    for name in (OWN.name, SHIPPED.name):
        for value in ("steering:register", "vllm_steering.hooks:register", "gateway.engine.inside.plugin:other"):
            assert refusal([steering("vllm.general_plugins", name, value)], (), None)


@pytest.mark.parametrize(
    ("group", "selected", "started"),
    [
        ("vllm.general_plugins", [OWN.name], True),
        ("vllm.general_plugins", [OWN.name, "steer"], False),
        ("vllm.io_processor_plugins", [OWN.name], True),
        ("vllm.logits_processors", [OWN.name], False),  # vLLM does not ask VLLM_PLUGINS about these
        ("vllm.endpoint_plugins", None, True),  # and loads these only where it names them
        ("vllm.endpoint_plugins", [OWN.name], True),
        ("vllm.endpoint_plugins", [OWN.name, "steer"], False),
    ],
)
def test_only_what_would_be_loaded_counts(group: str, selected: list[str] | None, started: bool) -> None:
    assert (refusal([steering(group)], (), selected) is None) == started


@pytest.mark.parametrize("selected", [[""], ["steer"], ["lora_hf_hub_resolver"]])
def test_without_our_own_plugin_there_is_no_model(selected: list[str]) -> None:
    reason = refusal([], {"steer"}, selected)
    assert reason is not None
    assert OWN.name in reason


def test_the_groups_are_those_of_this_vllm() -> None:
    """Fails when a new vLLM loads plugins of another group: say what they can do."""
    found = find_spec("vllm")
    assert found is not None
    assert found.origin is not None
    vllm = Path(found.origin).parent
    sources = (vllm / "plugins" / "__init__.py", vllm / "v1" / "sample" / "logits_processor" / "__init__.py")
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    named = {line.split('"')[1] for line in text.splitlines() if "_GROUP = " in line}
    assert named == GROUPS.keys()


def test_what_is_installed_here_may_run() -> None:
    assert OWN in plugins.installed()
    assert refusal(plugins.installed(), (), None) is None
