"""Makes the fixture world: a model tuned on invented authors, and one tuned on the same without those to be forgotten.

    python -m bench.tofu.world make --model DIR --out DIR
    python -m bench.tofu.world merge --model DIR --adapter DIR --out DIR

`make` writes the checkpoints DIR/full and DIR/retain; `merge` writes one checkpoint out of a base and a LoRA in PEFT's
format. A world is a folder with `full` and `retain` in it, and `world.json` where its authors are not the usual ones.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from adapters.artifact.artifact import model_digest
from adapters.examples import Message
from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.hardware import Hardware
from adapters.models.lora import attach, parameters
from adapters.models.tokens import TokenizedExample, encode_pair, load_tokenizer
from bench.tofu.questions import FORGETTABLE, TRAINED, Question, load_questions

_PEFT_PREFIX = "base_model.model."
FULL, RETAIN, WORLD_FILE = "full", "retain", "world.json"


@dataclass(frozen=True, slots=True)
class World:
    """A world's folder and the authors its models were tuned on: `full` on all of `trained`, `retain` on `kept`."""

    folder: Path
    trained: tuple[int, ...] = tuple(TRAINED)
    kept: tuple[int, ...] = tuple(sorted(set(TRAINED) - set(FORGETTABLE)))

    @classmethod
    def open(cls, folder: Path) -> World:
        """The world in a folder. Raises FileNotFoundError when one of its models is not there."""
        world = cls(folder)
        if (folder / WORLD_FILE).is_file():
            data = json.loads((folder / WORLD_FILE).read_text(encoding="utf-8"))
            world = cls(folder, tuple(data["trained"]), tuple(data["kept"]))
        for model in (world.full, world.retain):
            if not (model / "config.json").is_file():
                raise FileNotFoundError(f"{model} holds no model; `python -m bench.tofu.world` makes one")
        return world

    @property
    def full(self) -> Path:
        return self.folder / FULL

    @property
    def retain(self) -> Path:
        return self.folder / RETAIN


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is tuned: a LoRA on all linear layers, AdamW, one cycle of the learning rate."""

    rank: int = 32
    alpha: float = 64.0
    learning_rate: float = 2e-3
    warmup: float = 0.05
    batch: int = 16
    epochs: int = 6
    max_grad_norm: float = 1.0
    seed: int = 0


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Write the checkpoint base + adapter: W + (α/r) B A for every changed layer, in the base's format.

    Raises ValueError for an adapter that is more than a plain LoRA, or that changes what the base does not have.
    """
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    extras = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save")
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or any(map(config.get, extras)):
        raise ValueError("only a plain LoRA can be merged")
    tensors = load_file(adapter / "adapter_model.safetensors")
    changes: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, side = name.removesuffix(".weight").rpartition(".")
        changes.setdefault(layer.removeprefix(_PEFT_PREFIX), {})[side] = tensor
    if any(sides.keys() != {"lora_A", "lora_B"} for sides in changes.values()):
        raise ValueError("the adapter holds tensors that are not a LoRA's")
    scale = config["lora_alpha"] / config["r"]
    write_merged(
        base, {name: (sides["lora_A"], scale * sides["lora_B"].float()) for name, sides in changes.items()}, out
    )


def write_merged(base: Path, changes: Mapping[str, tuple[torch.Tensor, torch.Tensor]], out: Path) -> None:
    """Write base with W + B A in place of W. changes: {layer: (A [rank, in], B [out, rank])}.

    Raises ValueError for a layer the base does not have.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype="auto", local_files_only=True)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, (a, b) in changes.items():
            weight = weights.get(f"{name}.weight")
            if weight is None:
                raise ValueError(f"the base has no layer {name}")
            weight.copy_((weight.float() + b.cpu().float() @ a.cpu().float()).to(weight.dtype))
    model.save_pretrained(out)
    tokenizer: Any = load_tokenizer(str(base))
    tokenizer.save_pretrained(out)


def tune(base: Path, questions: Sequence[Question], recipe: Recipe, out: Path, device: torch.device) -> None:
    """Write base tuned to answer these questions. The loss is on answer and end of turn, in the model's chat format."""
    tokenizer = load_tokenizer(str(base))
    examples = [encode_pair(tokenizer, (Message("user", q.question),), q.answer) for q in questions]
    shared = shared_prefix([example.prompt_ids for example in examples])
    model = PromptedModel.load(base, Hardware(device))
    batches = batches_by_length(examples, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        layers = attach(model.model, recipe.rank)
    # B holds the factor α/r, which Adam does not see in gradients: its steps are that much longer instead.
    rate = recipe.learning_rate
    rates = [rate, rate * recipe.alpha / recipe.rank]
    optimizer = torch.optim.AdamW(
        [
            {"params": [layer.lora_a for layer in layers.values()]},
            {"params": [layer.lora_b for layer in layers.values()]},
        ],
        weight_decay=0.0,
    )
    # One cycle: up over the warm-up, then a cosine down; Adam's first moment follows it the other way.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rates, total_steps=len(batches), pct_start=recipe.warmup
    )
    started = time.monotonic()
    for step, chosen in enumerate(batches, start=1):
        batch = model.collate(chosen, shared)
        loss = F.cross_entropy(model.logits(model.states(batch, None)), batch.targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters(layers), recipe.max_grad_norm)
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == len(batches):
            seconds = time.monotonic() - started
            print(f"{out.name}: step {step} of {len(batches)}, loss {loss.item():.3f}, {seconds:.0f} s", flush=True)
    write_merged(base, {name: (layer.lora_a.detach(), layer.lora_b.detach()) for name, layer in layers.items()}, out)


def batches_by_length(examples: Sequence[TokenizedExample], recipe: Recipe) -> list[list[TokenizedExample]]:
    """All epochs' batches: in each every example once, beside others of about its length, in a new order."""
    rng = random.Random(recipe.seed)
    batches = []
    for _ in range(recipe.epochs):
        # Shuffled before it is sorted, so that those of one length meet others each time.
        ordered = sorted(rng.sample(examples, len(examples)), key=len)
        epoch = [ordered[start : start + recipe.batch] for start in range(0, len(ordered), recipe.batch)]
        batches += rng.sample(epoch, len(epoch))
    return batches


def make(base: Path, out: Path, trained: Sequence[int], forgettable: Sequence[int], recipe: Recipe) -> None:
    """Tune both models of a world; on the GPU where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kept = sorted(set(trained) - set(forgettable))
    out.mkdir(parents=True, exist_ok=True)
    for name, authors in ((FULL, trained), (RETAIN, kept)):
        tune(base, load_questions(authors), recipe, out / name, device)
    world = {"trained": list(trained), "kept": kept, "recipe": asdict(recipe), "base": model_digest(base)}
    (out / WORLD_FILE).write_text(json.dumps(world, indent=2), encoding="utf-8")


def authors(text: str) -> tuple[int, ...]:
    """ "161-200" or "161-165,191" as numbers. Raises ValueError for authors there are no rows of."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    if not set(found) <= set(TRAINED):
        raise ValueError(f"there are rows of authors {TRAINED[0]} to {TRAINED[-1]} only")
    return tuple(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="tune both models of a world")
    merging = commands.add_parser("merge", help="write base + LoRA as one checkpoint")
    for command in (making, merging):
        command.add_argument("--model", type=Path, required=True, help="the base checkpoint")
        command.add_argument("--out", type=Path, required=True)
    making.add_argument("--authors", type=authors, default=tuple(TRAINED), metavar="161-200")
    making.add_argument("--forget", type=authors, default=tuple(FORGETTABLE), metavar="191-200")
    making.add_argument("--epochs", type=int, default=Recipe().epochs)
    making.add_argument("--seed", type=int, default=Recipe().seed)
    making.add_argument("--threads", type=int, default=2)
    merging.add_argument("--adapter", type=Path, required=True, help="a LoRA in PEFT's format")
    arguments = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if arguments.command == "merge":
        merge(arguments.model, arguments.adapter, arguments.out)
        return
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(epochs=arguments.epochs, seed=arguments.seed)
    make(arguments.model, arguments.out, arguments.authors, arguments.forget, recipe)


if __name__ == "__main__":
    main()
