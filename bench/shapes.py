"""Checkpoints of a named size with random weights: how fast a model answers does not depend on what it has learned.

python -m bench.shapes llama-8b FOLDER
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from gateway.checkpoints.default_model import prepare
from gateway.settings import Settings

#: Spread of the weights at which an untrained decoder of this kind gives states of ordinary size.
_SPREAD = 0.02
_SHARD_BYTES = 2 << 30
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)

SHAPES: Mapping[str, LlamaConfig] = MappingProxyType(
    {
        "llama-8b": LlamaConfig(
            vocab_size=128_256,
            hidden_size=4096,
            intermediate_size=14_336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=8192,
            rope_theta=500_000.0,
            tie_word_embeddings=False,
            dtype=torch.bfloat16,
            architectures=["LlamaForCausalLM"],
        )
    }
)


def write(config: LlamaConfig, folder: Path, *, seed: int = 0) -> Path:
    """A checkpoint of this shape in bfloat16, with the default model's tokenizer, which has fewer ids.

    Returns `folder`.
    """
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    tokenizer = prepare(Settings().cache_dir)
    for name in _TOKENIZER:
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder / name)
    placed: dict[str, str] = {}
    for number, shard in enumerate(_shards(config, seed)):
        file = f"model-{number:05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        placed |= dict.fromkeys(shard, file)
    index = {"metadata": {}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def _shards(config: LlamaConfig, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    shard: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            tensor = torch.ones(shape, dtype=torch.bfloat16)
        else:
            tensor = torch.randn(shape, generator=generator, device=device, dtype=torch.bfloat16).mul_(_SPREAD).cpu()
        shard[name] = tensor
        if sum(each.nbytes for each in shard.values()) > _SHARD_BYTES:
            yield shard
            shard = {}
    if shard:
        yield shard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=list(SHAPES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(write(SHAPES[options.shape], options.folder))


if __name__ == "__main__":
    main()
