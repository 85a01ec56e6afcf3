"""Methods and objectives of other packages: a real one, installed into a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters import plugins
from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import PairSpec
from adapters.errors import InvalidConfig, InvalidPlugin
from adapters.objectives.registry import make_objective, objectives
from adapters.registry import get_method, methods, parse_config
from adapters.task import TrainingTask
from tests.unit.adapters.conftest import FORGET, dataset_of

OBJECTIVE = """
from dataclasses import dataclass
from typing import ClassVar

from adapters.objectives.npo import Npo

@dataclass(frozen=True, slots=True)
class Mine(Npo):
    name: ClassVar[str] = "{name}"
"""
BRINGING = """
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import setting
from adapters.data.forget.lessons import Lesson
from adapters.examples import Example
from adapters.objectives.base import REFUSAL, ObjectiveLoss, RetainingObjective

learnt = []

@dataclass(frozen=True)
class Mine(RetainingObjective):
    name: ClassVar[str] = "{name}"

    reply: str = setting("No idea.", "what is answered in place of the fact")

    @property
    def views(self):
        return self.needed(REFUSAL)

    def loss(self, views):
        learnt.append(views[REFUSAL].targets.tolist())
        return ObjectiveLoss(views[REFUSAL].cross_entropy(), self.retained(views))

    def examples(self, context):
        return [
            Lesson(Example.from_pair(f"In a word: {{item.prompt}}", item.completion), self.reply)
            for item in context.forget
        ]
"""
METHOD = """
from adapters.methods.lora.method import Lora

class Mine(Lora):
    name = "{name}"
"""

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package with this entry_points.txt and this module, others_plugin, on the path."""

    def put(entry_points: str, module: str) -> None:
        information = tmp_path / "others-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(entry_points)
        (tmp_path / "others_plugin.py").write_text(module)
        monkeypatch.syspath_prepend(tmp_path)

    plugins.plugins.cache_clear()
    yield put
    plugins.plugins.cache_clear()
    sys.modules.pop("others_plugin", None)


def test_an_objective_of_another_package_is_one_like_ours(install: Install) -> None:
    install(f"[{plugins.OBJECTIVES}]\nmine = others_plugin:Mine\n", OBJECTIVE.format(name="mine"))
    assert list(objectives())[-1] == "mine"
    made = make_objective("mine", {"beta": 0.5})
    assert (type(made).__module__, made.name) == ("others_plugin", "mine")
    config = parse_config("delta", {"objective": "mine", "objective_settings": {"beta": 0.5}})
    assert config.objective == "mine"
    with pytest.raises(InvalidConfig, match="mine has no setting named 'gamma'"):
        parse_config("lora", {"objective": "mine", "objective_settings": {"gamma": 1}})


def test_an_objective_of_another_package_brings_its_own_data(
    install: Install, make_task: Callable[..., TrainingTask], tokenizer: Any
) -> None:
    install(f"[{plugins.OBJECTIVES}]\nmine = others_plugin:Mine\n", BRINGING.format(name="mine"))
    objective = make_objective("mine", {"reply": "Hm?"})
    settings = {"objective": "mine", "objective_settings": {"reply": "Hm?"}, "max_steps": 3, "kl_limit": 100.0}
    task = replace(make_task(), config=parse_config("delta", {**settings, "rewording_lists": 0}), pair=PairSpec(1))
    dataset = dataset_of(task, objective=objective)

    def text(ids: Sequence[int]) -> str:
        return "".join(tokenizer.convert_ids_to_tokens(ids))

    assert ["In a word: " in text(example.original.prompt_ids) for example in dataset.forget] == [True] * len(FORGET)
    losses: list[float] = []
    artifact = get_method("delta").train(
        replace(task, report=lambda said: losses.append(said.loss) if said.loss is not None else None)
    )
    assert losses[-1] < losses[0]
    assert artifact.manifest.config["objective"] == "mine"
    assert Artifact.from_bytes(artifact.to_bytes()).digest == artifact.digest
    for targets in sys.modules["others_plugin"].learnt:
        assert set(text(targets).split(tokenizer.eos_token)) == {"Hm?", ""}


def test_a_method_of_another_package_is_one_like_ours(install: Install) -> None:
    install(f"[{plugins.METHODS}]\nmine = others_plugin:Mine\n", METHOD.format(name="mine"))
    assert list(methods())[-1] == "mine"
    assert get_method("mine").footprint(parse_config("mine", {"rank": 3})).target_rank == 3


@pytest.mark.parametrize(
    ("entry", "module", "reason"),
    [
        ("mine = others_plugin:Mine", "import not_there", r"'mine' of package others cannot be loaded: No module"),
        ("mine = others_plugin:Mine", "", r"'mine' of package others cannot be loaded: .*Mine"),
        ("mine = others_plugin:Mine", "Mine = 3", r"'mine' of package others names no class"),
        (
            "mine = others_plugin:Mine",
            "class Mine:\n    name = 'mine'",
            r"'mine' of package others lacks config_type, ",
        ),
        ("mine = others_plugin:Mine", METHOD.format(name="other"), r"is a class named 'other'; both must be the same"),
        ("delta = others_plugin:Mine", METHOD.format(name="delta"), r"^others_plugin.Mine is named 'delta', which"),
    ],
)
def test_one_that_cannot_be_used_is_named(install: Install, entry: str, module: str, reason: str) -> None:
    install(f"[{plugins.METHODS}]\n{entry}\n", module)
    with pytest.raises(InvalidPlugin, match=reason):
        methods()
