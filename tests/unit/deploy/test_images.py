"""docker/Dockerfile.*: facts that need no build. `make check-containers` builds and runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continued lines joined, comments left out."""
    text = (ROOT / "docker" / name).read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.gpu"])
class TestImages:
    def test_run_as_nobody_special_in_exec_form_with_a_probe(self, name: str) -> None:
        final = instructions(name)
        final = final[max(i for i, (word, _) in enumerate(final) if word == "FROM") :]
        last = dict(final)
        assert last["USER"] == "10001"
        assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "entrypoint"]
        assert json.loads(last["CMD"]) == ["serve"]
        assert "/livez" in last["HEALTHCHECK"]

    def test_copy_what_is_there_and_what_the_builder_is_given(self, name: str) -> None:
        given = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        for word, arguments in instructions(name):
            if word != "COPY" or "--from=" in arguments:
                continue
            *sources, _target = [part for part in arguments.split() if not part.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(source == g or source.startswith(f"{g}/") for g in given), source

    def test_pin_their_base_and_hold_no_secret(self, name: str) -> None:
        for word, arguments in instructions(name):
            if word == "FROM":
                assert re.search(r":[\w.-]+( AS \w+)?$", arguments), arguments
                assert ":latest" not in arguments
            if word in ("ENV", "ARG"):
                assert not re.search(r"TOKEN|KEY|PASSWORD|REDIS_URL", arguments)


def test_the_gpu_image_has_the_vllm_of_the_lock() -> None:
    lock = (ROOT / "requirements/gpu.txt").read_text(encoding="utf-8")
    engine = re.findall(r"^vllm==(\S+)", lock, re.MULTILINE)[0]
    assert ("FROM", f"vllm/vllm-openai:v{engine}") in instructions("Dockerfile.gpu")
