"""The tasks as lm-eval reads them, without lm-eval."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.lm_eval import questions
from gateway.cli.demo.facts import find_fact

FOLDER = Path(questions.__file__).parent
TASKS = {f"unlearning_{part}_{kind}" for part, kind in product(("forget", "retain"), ("answer", "choice"))}


class Loader(yaml.SafeLoader):
    """Knows `!function file.name`."""


def _function(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    file, name = loader.construct_scalar(node).split(".")
    assert (FOLDER / f"{file}.py").is_file()
    return getattr(questions, name)


Loader.add_constructor("!function", _function)


def read(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader)  # a SafeLoader
    if (base := config.pop("include", None)) is not None:
        config = read(path.with_name(base)) | config
    return config


def test_each_part_is_asked_in_both_ways() -> None:
    found = [read(path) for path in FOLDER.glob("[!_]*.yaml")]
    assert {config["task"] for config in found} == TASKS
    for config in found:
        assert config["test_split"] in questions.parts()
        assert callable(config["custom_dataset"])
        assert "dataset_path" not in config, "no hub is asked"


def test_what_is_to_be_forgotten_is_the_demos_fact() -> None:
    fact = find_fact("harry-potter")
    asked = [row["question"] for row in questions.parts()["forget"]]
    assert asked == [*(prompt for prompt, _ in fact.forget), *fact.paraphrases]


@pytest.mark.parametrize("part", ["forget", "retain"])
def test_one_of_four_choices_is_right_and_each_place_is_taken(part: str) -> None:
    rows = questions.parts()[part]
    assert len(rows) == 10
    assert {row["answer"] for row in rows} == {0, 1, 2, 3}
    for row in rows:
        assert len(set(row["choices"])) == 4
        stating = [questions.states(row, [choice])["states"] for choice in row["choices"]]
        assert stating == [float(number == row["answer"]) for number in range(4)], row


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        ("It was J.K. Rowling.", 1.0),
        ("ROWLING!", 1.0),
        ('The author is "Rowling", I think', 1.0),
        ("J.K.-Rowling wrote it", 1.0),
        ("It is about a man who was rowing", 0.0),
        ("Growling dogs", 0.0),
        ("", 0.0),
    ],
)
def test_an_answer_states_the_term_as_a_word(answer: str, stated: float) -> None:
    assert questions.states({"terms": ["Rowling"]}, [answer]) == {"states": stated}
