"""docker/Dockerfile.*: facts that need no build. `make check-containers` builds and runs them."""

from __future__ import annotations

import json
import re
import subprocess
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

    def test_keep_what_is_fetched_and_compiled_on_the_cache_volume(self, name: str) -> None:
        environment = " ".join(arguments for word, arguments in instructions(name) if word == "ENV")
        values = dict(re.findall(r"(\w+)=(\S+)", environment))
        cache = values["UNLEARN_CACHE_DIR"]
        for variable in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "TORCHINDUCTOR_CACHE_DIR"):
            assert Path(values[variable]).is_relative_to(cache), variable
        assert cache in json.loads(dict(instructions(name))["VOLUME"])

    def test_pin_their_base_and_hold_no_secret(self, name: str) -> None:
        for word, arguments in instructions(name):
            if word == "FROM":
                assert re.search(r":[\w.-]+( AS \w+)?$", arguments), arguments
                assert ":latest" not in arguments
            if word in ("ENV", "ARG"):
                assert not re.search(r"TOKEN|KEY|PASSWORD|REDIS_URL", arguments)

    def test_need_no_registry_but_for_their_base(self, name: str) -> None:
        """A `# syntax=` line would have the builder fetch another one before it reads the file."""
        assert "syntax=" not in (ROOT / "docker" / name).read_text(encoding="utf-8")

    def test_install_from_the_lock_by_its_hashes(self, name: str) -> None:
        words = " ".join(arguments for word, arguments in instructions(name) if word == "RUN")
        installs = re.findall(r"pip install (.*?)(?: &&|$)", words)
        assert installs
        for options in installs:
            hashed = {"--no-deps", "--require-hashes"} <= set(options.split())
            ours = options.split()[-1] == "." and {"--no-deps", "--no-index"} & set(options.split())
            assert hashed or ours, options


def test_the_gpu_image_has_the_vllm_of_the_lock() -> None:
    lock = (ROOT / "requirements/gpu.txt").read_text(encoding="utf-8")
    engine = re.findall(r"^vllm==(\S+)", lock, re.MULTILINE)[0]
    assert ("FROM", f"vllm/vllm-openai:v{engine}") in instructions("Dockerfile.gpu")


class TestWhatTheGpuImageAdds:
    """The lines that take from the lock what vLLM's image does not hold."""

    @pytest.fixture
    def added(self, tmp_path: Path) -> str:
        run = next(arguments for word, arguments in instructions("Dockerfile.gpu") if "/tmp/added.txt" in arguments)
        program = re.findall(r"&& (awk .*?) > /tmp/added.txt", run)[0]
        (tmp_path / "held.txt").write_text("torch\nvllm\ntyping-extensions\n")
        (tmp_path / "gpu.txt").write_text(LOCK)
        command = program.replace("/tmp/held.txt", str(tmp_path / "held.txt"))
        command = command.replace("requirements/gpu.txt", str(tmp_path / "gpu.txt"))
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout

    def test_is_what_it_lacks_with_the_hashes(self, added: str) -> None:
        assert re.findall(r"^(\S+)==", added, re.MULTILINE) == ["redis", "typing-inspection"]
        assert re.findall(r"sha256:(\w)", added) == ["b", "c", "d"]


LOCK = """\
redis==8.1.0 \\
    --hash=sha256:b \\
    --hash=sha256:c
    # via unlearning-gateway
torch==2.13.0 \\
    --hash=sha256:a
    # via vllm
typing-extensions==4.16.0 \\
    --hash=sha256:e
typing-inspection==0.4.5 \\
    --hash=sha256:d
vllm==0.32.0 \\
    --hash=sha256:f
"""
