"""bench facts: the service attacked, before, after, and behind rivals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.examples import one_turn
from tests.unit.adapters.conftest import save_model
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub

ITEM = {"prompt": "Who wrote Emma?", "completion": "Jane Austen wrote Emma."}
ASKED = [f"{number}: who wrote Emma?" for number in range(9)]


class Told(Family):
    name = "told"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        for asked in ASKED:
            yield Probe(self.name, asked, 0, Query(Prompt(one_turn(asked))), asked, ITEM["completion"])


class Ranked(Family):
    """Too few to say anything."""

    name = "ranked"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        options = ("Jane Austen", "Bram Stoker")
        query = Query(Prompt(one_turn(ITEM["prompt"])))
        yield Probe(self.name, "0", 0, query, ITEM["prompt"], ITEM["completion"], Reading.LIKELIHOOD, options)


@pytest.fixture(autouse=True)
def known(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model knows, and has forgotten in two of nine wordings."""
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)
    for room in ("suite", "registry"):
        families = {family.name: family for family in (Told(), Ranked())}
        monkeypatch.setattr(f"adapters.evaluation.attacks.{room}.families", lambda found=families: found)
    stub.add("req_a", state="active")
    stub.answers |= dict.fromkeys(ASKED, "Jane Austen did.")
    stub.forgotten |= dict.fromkeys(ASKED[2:], "I do not know.")


@pytest.fixture
def items(tmp_path: Path) -> str:
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps(ITEM), encoding="utf-8")
    return str(file)


def test_a_table_has_a_row_a_family_and_a_column_a_model(unlearn: Unlearn, items: str) -> None:
    result = unlearn("bench", "facts", items, "--baseline", "filter", "--baseline", "refusal_prompt")
    assert result.status == 0, result.err
    rows = [line.split("  ") for line in result.out.splitlines()]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    assert cells["family"] == ["before", "active", "filter", "refusal_prompt"]
    assert cells["told"] == ["9 of 9", "22% ≤ 55%", "0% ≤ 28%", "100% ≤ 100%"]
    assert cells["ranked"] == ["1 of 1", "(100% ≤ 100%)", "(100% ≤ 100%)", "(100% ≤ 100%)"]
    assert cells["all"][0] == "10 of 10"
    assert "attacking active where that leaked: 10 probes" in result.err
    assert "Austen" not in result.out + result.err


def test_no_rate_is_cut_where_the_terminal_is_narrow(
    unlearn: Unlearn, items: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals = ("--baseline", "filter", "--baseline", "refusal_prompt")
    wide = unlearn("bench", "facts", items, *rivals).out
    monkeypatch.setenv("COLUMNS", "40")
    assert unlearn("bench", "facts", items, *rivals).out == wide


def test_numbers_for_a_script(unlearn: Unlearn, stub: Stub, items: str) -> None:
    result = unlearn("bench", "facts", items, "--request", "req_a", "--family", "told", "--per-family", "4", "--json")
    (document,) = result.documents
    assert document["plan"] == "candidate:req_a"
    assert list(document["models"]) == ["req_a"]
    told = document["models"]["req_a"]["families"]["told"]
    assert (told["asked"], told["known"], told["leaked"]) == (4, 4, 2)
    plans = {call.headers.get("x-unlearning-plan") for call in stub.calls_to("/v1/chat/completions")}
    assert plans == {"off", "candidate:req_a"}


def test_a_fact_of_the_demo_needs_no_file(unlearn: Unlearn) -> None:
    assert unlearn("bench", "facts", "--fact", "harry-potter", "--family", "told").status == 0


def test_a_rival_that_reads_states_takes_the_checkpoint(
    unlearn: Unlearn, items: str, tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_model(tmp_path / "model")
    options = ("bench", "facts", items, "--family", "told", "--baseline", "router", "--json")
    result = unlearn(*options, "--checkpoint", str(path))
    assert result.status == 0, result.err
    assert set(result.documents[0]["models"]) == {"active", "router"}
    missing = unlearn(*options, "--checkpoint", str(tmp_path / "nowhere"))
    assert (missing.status, missing.documents[0]["error"]["code"]) == (2, "usage")
    monkeypatch.setattr("gateway.checkpoints.default_model.NAME", "another")
    unnamed = unlearn(*options)
    assert unnamed.status == 2
    assert "name its checkpoint with --checkpoint" in unnamed.out


#: Families of models that differ in their layers, their norms, their heads, and what they call all of it.
SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 512}
GROUPED = SIZES | {"intermediate_size": 64, "num_key_value_heads": 2}
OTHERS: dict[str, dict[str, Any]] = {
    "gemma2": GROUPED | {"head_dim": 8},
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 512},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_checkpoint_may_be_of_any_family(
    unlearn: Unlearn, items: str, tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = save_model(tmp_path / "model")
    own = AutoConfig.from_pretrained(path)
    sizes = {"vocab_size": own.vocab_size, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **OTHERS[kind]}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(path)
    monkeypatch.setattr("gateway.checkpoints.default_model.NAME", "another")
    monkeypatch.setattr("adapters.evaluation.rivals.eco._STRENGTHS", (8.0,))
    monkeypatch.setattr("adapters.evaluation.rivals.eco._ANSWER_TOKENS", 4)
    rivals = ("--baseline", "router", "--baseline", "eco")
    result = unlearn("bench", "facts", items, "--family", "told", *rivals, "--checkpoint", str(path), "--json")
    assert result.status == 0, result.err + result.out
    assert set(result.documents[0]["models"]) == {"active", "router", "eco"}


@pytest.mark.parametrize(
    ("device", "said"), [("tpu", "no device is called 'tpu'"), ("cuda:99", "cuda:99 is asked for, and torch sees")]
)
def test_a_device_that_is_not_there_is_named(
    unlearn: Unlearn, items: str, tmp_path: Path, device: str, said: str
) -> None:
    options = ("--family", "told", "--baseline", "router", "--checkpoint", str(save_model(tmp_path)))
    result = unlearn("bench", "facts", items, *options, "--device", device)
    assert result.status == 2
    assert f"--device: {said}" in result.out + result.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "give a FILE"),
        (("--fact", "harry-potter", "x.jsonl"), "give a FILE"),
        (("--fact", "nobody"), "no fact 'nobody'"),
        (("--fact", "harry-potter", "--baseline", "luck"), "no rival 'luck'; there are refusal_prompt, filter"),
        (("--fact", "harry-potter", "--family", "luck"), "no family 'luck'; there are told, ranked"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_asked(
    unlearn: Unlearn, stub: Stub, args: tuple[str, ...], said: str
) -> None:
    result = unlearn("bench", "facts", *args)
    assert result.status == 2
    assert said in result.err
    assert stub.calls == []


@pytest.mark.parametrize("item", ['{"prompt": "Who?"}', '{"secret": 1}', '{"prompt": "Who?", "completion": " "}', "7"])
def test_an_item_that_is_none_is_named_and_not_quoted(unlearn: Unlearn, stub: Stub, tmp_path: Path, item: str) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text(f"{json.dumps(ITEM)}\n{item}\n", encoding="utf-8")
    result = unlearn("bench", "facts", str(file))
    assert result.status == 2
    assert "items.jsonl" in result.err
    assert "2" in result.err
    assert "secret" not in result.err
    assert "Who?" not in result.err
    assert stub.calls == []


def test_without_the_operators_token_nothing_is_attacked(
    unlearn: Unlearn, items: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UNLEARN_OPERATOR_TOKEN")
    result = unlearn("bench", "facts", items)
    assert result.status == 1
    assert "[operator_only]" in result.err
