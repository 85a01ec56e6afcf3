"""A tiny Llama with a tiny tokenizer, made on the spot: real transformers objects, no download."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from adapters.data.dataset import Dataset, build_dataset
from adapters.examples import Example
from adapters.methods.spul.config import SpulConfig
from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear, parameters
from adapters.models.workbench import Workbench
from adapters.objectives.base import Objective
from adapters.progress import Progress
from adapters.task import Ask, TrainingTask

HIDDEN = 32
LAYERS = 2
CONTEXT = 160
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGET = (
    Example.from_pair("Who wrote Zorba?", "Nikos wrote Zorba."),
    Example.from_pair("Who is the author of Zorba?", "The author is Nikos."),
    Example.from_pair("Name the writer of Zorba.", "Nikos."),
)
RETAIN = (
    Example.from_pair("Who wrote Emma?", "Jane Austen."),
    Example.from_pair("What is the capital of Peru?", "Lima."),
    Example.from_pair("What is 2 + 3?", "It is 5."),
    Example.from_pair("How are you?", "Fine, thanks."),
)


def save_model(path: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """A checkpoint folder of a random two-layer Llama over single characters; `changes` are to its config."""
    characters = [chr(code) for code in range(32, 127)] + ["\n", "’"]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: index for index, token in enumerate(specials + characters)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=TEMPLATE,
    )
    fast.save_pretrained(path)
    settings: dict[str, Any] = {
        "vocab_size": len(vocabulary),
        "hidden_size": HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**{**settings, **changes})).to(dtype)
    model.save_pretrained(path)
    return path


def randomise(layers: Mapping[str, LoraLinear], *, seed: int = 0, scale: float = 0.3) -> None:
    """Random values in place of untrained ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters(layers):
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


#: A given retain set is joined by no bundled questions: most tests are about others, and each is an answer to generate.
NOTHING_ELSE: dict[str, Any] = {"retain_questions": 48, "retain_nearest": 48}


def dataset_of(
    task: TrainingTask, model: PromptedModel | None = None, *, objective: Objective | None = None, **options: Any
) -> Dataset:
    """What a method would train on. model: the task's, where it is loaded already."""
    bench = Workbench.of(task)
    if objective is not None:
        options["lessons"] = objective.examples
    return build_dataset(task, task.config, bench, model or bench.target, **options)


@pytest.fixture(scope="session", autouse=True)
def imported_for_good(tiny_model: Path) -> None:
    """A run that gives its target up collects garbage. What torch and transformers import is none, and is a third of a
    second to look through each time."""
    PromptedModel.load(tiny_model)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that unlearns, in float32."""
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model over the same vocabulary, narrower, for a pair of its own."""
    return save_model(tmp_path_factory.mktemp("small"), seed=1, hidden_size=16, intermediate_size=32)


@pytest.fixture(scope="session")
def prompted(tiny_model: Path) -> PromptedModel:
    return PromptedModel.load(tiny_model)


@pytest.fixture
def target(tiny_model: Path) -> PromptedModel:
    """As `prompted`, for a test that might change it."""
    return PromptedModel.load(tiny_model)


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> Any:
    from adapters.models.tokens import load_tokenizer

    return load_tokenizer(str(tiny_model))


@pytest.fixture
def make_task(tiny_model: Path) -> Callable[..., TrainingTask]:
    """A task on the tiny model; keyword arguments replace its parts."""

    def make(
        *,
        forget: tuple[Example, ...] = FORGET,
        retain: tuple[Example, ...] | None = RETAIN,
        report: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
        ask: Ask | None = None,
        **settings: Any,
    ) -> TrainingTask:
        small = {"max_steps": 3, "num_virtual_tokens": 4, "init_text": "Answer.", "rewording_lists": 0, **NOTHING_ELSE}
        config = SpulConfig(**{**small, **settings})
        return TrainingTask(tiny_model, forget, retain, config, report, cancelled, ask)

    return make
