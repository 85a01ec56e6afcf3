"""Lets the processes of a test's engine load code of the test, as vLLM loads its plugins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def plugin_environment(folder: Path, *modules: str) -> Mapping[str, str]:
    """Variables under which vLLM's processes call `apply` of each module; `folder` gets their metadata."""
    metadata = folder / "test_plugins-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: test-plugins\nVersion: 0\n")
    names = [module.rpartition(".")[2] for module in modules]
    entries = [f"{name} = {module}:apply" for name, module in zip(names, modules, strict=True)]
    (metadata / "entry_points.txt").write_text("\n".join(["[vllm.general_plugins]", *entries, ""]))
    paths = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "UNLEARN_VLLM_PLUGINS": ",".join(names),
    }
