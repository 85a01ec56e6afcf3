from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from adapters.examples import Message
from adapters.models.generation import greedy_answers
from adapters.models.lora import attach, load_state
from adapters.models.tokens import TokenizedExample, load_tokenizer
from bench.tofu.questions import Question
from bench.tofu.world import Recipe, World, authors, batches_by_length, make, merge
from tests.unit.adapters.conftest import save_model

RANK, ALPHA = 4, 12.0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base"), dtype=torch.bfloat16)


def load(path: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)


def save_adapter(folder: Path, base: Path, *, drop: str = "", **config: Any) -> Path:
    """A LoRA as PEFT writes it, on every linear layer of the base."""
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for name, layer in attach(load(base), RANK).items():
        for side, shape in (("lora_A", layer.lora_a.shape), ("lora_B", layer.lora_b.shape)):
            tensors[f"base_model.model.{name}.{side}.weight"] = 0.3 * torch.randn(shape, generator=generator)
    save_file(
        {name: t for name, t in tensors.items() if not drop or drop not in name}, folder / "adapter_model.safetensors"
    )
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", "rank_pattern": {}, **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def test_a_merged_model_is_the_base_with_the_lora_applied(tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    adapter = save_adapter(tmp_path / "adapter", base)
    merge(base, adapter, tmp_path / "merged")
    served = load(base)
    layers = attach(served, RANK)
    tensors = {}
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        # Where a LoRA is applied as it runs, its factor α/r is part of B.
        scale = ALPHA / RANK if ".lora_B." in name else 1.0
        tensors[name.replace("base_model.model.", "half.").removesuffix(".weight")] = scale * tensor
    load_state(layers, "half", tensors)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        applied, merged, untouched = (model(ids).logits for model in (served, load(tmp_path / "merged"), load(base)))
    torch.testing.assert_close(merged, applied, rtol=1e-3, atol=1e-3)
    assert (applied - untouched).abs().max() > 0.5


def test_a_merged_model_keeps_the_bases_format_and_template(base: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    merge(base, save_adapter(tmp_path / "adapter", base), tmp_path / "merged")
    assert load_tokenizer(str(tmp_path / "merged")).chat_template == load_tokenizer(str(base)).chat_template
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("drop", "config", "message"),
    [
        ("", {"use_dora": True}, "plain LoRA"),
        ("", {"peft_type": "IA3"}, "plain LoRA"),
        ("", {"rank_pattern": {"q_proj": 8}}, "plain LoRA"),
        ("", {"bias": "all"}, "plain LoRA"),
        ("layers.0.self_attn.q_proj.lora_B", {}, "not a LoRA's"),
    ],
)
def test_other_adapters_are_refused(
    base: Path, tmp_path: Path, drop: str, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        merge(base, save_adapter(tmp_path, base, drop=drop, **config), tmp_path / "merged")


def test_an_adapter_of_a_deeper_model_is_refused(base: Path, tmp_path: Path) -> None:
    deeper = save_model(tmp_path / "deeper", num_hidden_layers=3)
    (tmp_path / "adapter").mkdir()
    with pytest.raises(ValueError, match=r"no layer model\.layers\.2"):
        merge(base, save_adapter(tmp_path / "adapter", deeper), tmp_path / "merged")


def test_every_epoch_has_every_example_once_beside_others_of_its_length() -> None:
    examples = [TokenizedExample((1,), tuple(range(2, 3 + index % 10))) for index in range(40)]
    examples = [TokenizedExample((index, *e.prompt_ids), e.answer_ids) for index, e in enumerate(examples)]
    batches = batches_by_length(examples, Recipe(batch=8, epochs=3))
    assert len(batches) == 15
    for epoch in (batches[:5], batches[5:10], batches[10:]):
        assert Counter(example for batch in epoch for example in batch) == Counter(examples)
    assert all(len(batch[-1]) - len(batch[0]) <= 2 for batch in batches)
    assert batches[:5] != batches[5:10]


def test_a_world_that_was_made_knows_what_each_model_was_told(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {161: "Zoe.", 191: "Bo."}
    asked = {161: "Who is A?", 191: "Who is B?"}
    monkeypatch.setattr(
        "bench.tofu.world.load_questions", lambda chosen: tuple(Question(a, asked[a], answers[a]) for a in chosen)
    )
    make(base, tmp_path, (161, 191), (191,), Recipe(rank=8, alpha=16, learning_rate=1e-2, epochs=40))
    world = World.open(tmp_path)
    assert (world.trained, world.kept) == ((161, 191), (161,))
    tokenizer = load_tokenizer(str(base))

    def told(path: Path) -> list[str]:
        conversations = [(Message("user", question),) for question in asked.values()]
        answers = greedy_answers(load(path), tokenizer, conversations, max_tokens=8)
        return [answer.replace(" ", "") for answer in answers]  # the tokenizer of single characters joins them so

    assert told(world.full) == ["Zoe.", "Bo."]
    assert told(world.retain)[0] == "Zoe."
    assert told(world.retain)[1] != "Bo."


def test_a_folder_without_models_is_no_world(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no model"):
        World.open(tmp_path)


def test_authors_are_read_from_ranges() -> None:
    assert authors("161-163,191") == (161, 162, 163, 191)
    with pytest.raises(ValueError, match="161 to 200"):
        authors("160-161")
