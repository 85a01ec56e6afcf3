"""Lets the processes of a test's engine load code of the test, as vLLM loads its plugins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def plugin_environment(folder: Path, entry_point: str) -> Mapping[str, str]:
    """Variables under which vLLM's processes call `entry_point` ("module:function"); `folder` gets its metadata."""
    metadata = folder / "test_plugin-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: test-plugin\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[vllm.general_plugins]\ntest_plugin = {entry_point}\n")
    paths = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
