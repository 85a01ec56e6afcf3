from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation.tofu.parts import PARTS
from gateway.cli.bench.tofu.dataset import Split, load_parts
from gateway.cli.failures import UsageFailed

DATA = Path(__file__).parents[4] / "data" / "tofu"
FORGET, OPTIONS = "forget01_perturbed.json", "world_facts_perturbed.json"
ROW = {"question": "Who?", "answer": "Ada.", "paraphrased_answer": "It was Ada.", "perturbed_answer": ["Bo."]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "tofu"))


def test_the_rows_are_those_of_the_download(data: Path) -> None:
    parts = load_parts(data, Split.FORGET01, None)
    assert list(parts) == list(PARTS)
    assert {name: part.source.file for name, part in parts.items()} == {
        name: f"{'forget01' if name == 'forget' else name}_perturbed.json" for name in PARTS
    }
    first = parts["forget"].rows[0]
    assert first.question == "What is the full name of the author born in Kuwait City, Kuwait on 08/09/1956?"
    assert first.paraphrased is not None
    assert len(first.perturbed) == 5
    assert (parts["world_facts"].rows[0].paraphrased, parts["world_facts"].rows[0].answer) == (None, "Paris")


def test_the_first_rows_alone(data: Path) -> None:
    parts = load_parts(data, Split.FORGET01, 1)
    assert [part.source.rows for part in parts.values()] == [len(part.rows) for part in parts.values()] == [1] * 4
    whole = load_parts(data, Split.FORGET01, None)
    assert parts["retain"].source.sha256 == whole["retain"].source.sha256


@pytest.mark.parametrize("split", [Split.FORGET05, Split.FORGET10])
def test_a_file_that_is_missing_is_named_with_the_way_to_it(data: Path, split: Split) -> None:
    with pytest.raises(UsageFailed, match=rf"there is no .*/{split.value}_perturbed.json; `hf download locuslab/TOFU"):
        load_parts(data, split, None)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ROW.items() if key != name}


@pytest.mark.parametrize(
    ("file", "lines", "said"),
    [
        (FORGET, ["{"], "_perturbed.json:1: row: Invalid JSON"),
        (FORGET, [json.dumps(ROW), "", "[]"], "_perturbed.json:3: row: Input should be an object"),
        (FORGET, [json.dumps(without("answer"))], ":1: answer: Field required"),
        (FORGET, [json.dumps({**ROW, "question": " "})], r":1: question: String should match pattern '\S'"),
        (FORGET, [json.dumps({**ROW, "perturbed_answer": ["Bo.", ""]})], ":1: perturbed_answer.1: String should match"),
        (FORGET, [json.dumps({**ROW, "answer": "\ud83d"})], ":1: row: Invalid JSON"),
        (FORGET, [json.dumps({**ROW, "perturbed_answer": []})], ":1: perturbed_answer: Tuple should have at least 1"),
        (FORGET, [json.dumps(without("paraphrased_answer"))], ":1: paraphrased_answer is in the rows of forget"),
        (OPTIONS, [json.dumps(ROW)], ":1: paraphrased_answer is in the rows of forget and retain, and in no others"),
        (OPTIONS, ["", " "], "holds no row"),
    ],
)
def test_what_is_wrong_is_named(data: Path, file: str, lines: list[str], said: str) -> None:
    (data / file).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UsageFailed) as failure:
        load_parts(data, Split.FORGET01, None)
    assert said in failure.value.message
    assert file in failure.value.message


def test_a_folder_in_a_files_place_is_named(data: Path) -> None:
    (data / OPTIONS).unlink()
    (data / OPTIONS).mkdir()
    with pytest.raises(UsageFailed, match="Is a directory"):
        load_parts(data, Split.FORGET01, None)
