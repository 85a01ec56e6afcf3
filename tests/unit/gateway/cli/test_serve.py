"""serve and worker: settings from options, the rest for vLLM, and nothing heavy before that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.models import OptionInfo
from typer.utils import get_params_from_function

from adapters.errors import InvalidPlugin
from gateway.cli import main as cli
from gateway.cli.context import CommandContext
from gateway.cli.setting_options import option_fields
from gateway.settings import Settings

Run = Callable[[list[str]], int]


class Started:
    """What `gateway.service.serve.run` was called with."""

    settings: Settings
    args: list[str]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Stands where the service would start: starting it is the engine tests' business."""
    started = Started()

    def run(settings: Settings, args: Any = None) -> int:
        started.settings, started.args = settings, args
        return 7

    for name, function in (("gateway.service.serve", "run"), ("gateway.jobs.worker", "run_worker")):
        module = ModuleType(name)
        setattr(module, function, run)
        monkeypatch.setitem(sys.modules, name, module)
    return started


def test_own_options_are_settings_and_others_go_to_vllm_in_order(started: Started) -> None:
    args = ["serve", "--port", "9001", "--max-model-len", "2048", "--soft-rows=64", "--no-worker", "--enforce-eager"]
    args += ["-tp", "2", "--hf-overrides", '{"a": 1}', "--json-thing=x"]
    assert cli.run(args, CommandContext()) == 7
    assert started.settings.port == 9001
    assert started.settings.soft_rows == 64
    assert started.settings.worker is False
    assert started.args == [
        "--max-model-len",
        "2048",
        "--enforce-eager",
        "-tp",
        "2",
        "--hf-overrides",
        '{"a": 1}',
        "--json-thing=x",
    ]


def test_options_beat_the_environment_and_the_rest_of_it_holds(
    started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNLEARN_PORT", "9002")
    monkeypatch.setenv("UNLEARN_SOFT_ROWS", "77")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    assert cli.run(["serve", "--port", "9003", "--data-dir", str(tmp_path)], CommandContext()) == 7
    assert (started.settings.port, started.settings.soft_rows) == (9003, 77)
    assert started.settings.data_dir == tmp_path
    assert started.settings.redis_url is not None


def test_the_worker_takes_settings_and_no_others(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["worker", "--job-timeout-s", "60"], CommandContext()) == 7
    assert started.settings.job_timeout_s == 60
    assert cli.run(["worker", "--max-model-len", "1"], CommandContext()) == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "name", "value", "complaint"),
    [
        (["serve", "--port", "70000"], None, "", "port"),
        (["serve"], "UNLEARN_PORT", "many", "port"),
        (["serve"], "UNLEARN_GATE_MAX_LEAK", "3", "gate_max_leak"),
        (["serve"], "UNLEARN_OFFSET_RANK", "12", "offset_rank"),
        (["serve"], "UNLEARN_OFFSET_RANK", "many", "offset_rank"),
        (["serve", "--offset-layers", "-1"], None, "", "offset_layers"),
        (["serve", "--methods", "spul,dleta"], None, "", "methods"),
        (["serve", "--methods", ","], None, "", "methods"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    started: Started,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    name: str | None,
    value: str,
    complaint: str,
) -> None:
    if name is not None:
        monkeypatch.setenv(name, value)
    assert cli.run(arguments, CommandContext()) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {complaint}: ")
    assert err.count("\n") == 1


def test_the_pair_by_option_and_by_environment(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_OFFSET_RANK", "128")
    monkeypatch.setenv("UNLEARN_OFFSET_REFERENCE", "own")
    assert cli.run(["serve", "--offset-layers", "3", "--offset-slots", "2"], CommandContext()) == 7
    settings = started.settings
    assert (settings.offset_layers, settings.offset_reference, settings.offset_slots) == (3, "own", 2)
    assert settings.offset_rank == 128
    assert cli.run(["serve", "--offset-rank", "32"], CommandContext()) == 7
    assert started.settings.offset_rank == 32


def test_the_methods_on_offer(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.run(["serve"], CommandContext()) == 7
    assert started.settings.offered == {"spul", "delta"}
    monkeypatch.setenv("UNLEARN_METHODS", "lora, spul")
    assert cli.run(["serve"], CommandContext()) == 7
    assert started.settings.methods == "spul,lora"
    assert cli.run(["serve", "--methods", "lora,delta"], CommandContext()) == 7
    assert started.settings.offered == {"lora", "delta"}


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ([], False),
        (["--offset-reference", "own"], True),
        (["--methods", "delta,lora"], True),
    ],
)
def test_a_target_whose_layers_change_is_no_reference(started: Started, options: list[str], own: bool) -> None:
    assert cli.run(["serve", *options], CommandContext()) == 7
    assert started.settings.own_reference is own


def test_every_setting_but_secrets_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", "--help"], CommandContext()) == 0
    help_text = capsys.readouterr().out
    fields = option_fields()
    assert {"model", "host", "port", "worker"} <= set(fields)
    assert not {"redis_url", "api_keys", "operator_token", "payload_key"} & set(fields)
    for name in fields:
        assert f"--{name.replace('_', '-')}" in help_text


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["demo", "--list"], ["list", "--help"]])
def test_help_loads_neither_torch_nor_vllm(arguments: list[str]) -> None:
    program = f"""
import sys
from gateway.cli import main as cli
from gateway.cli.context import CommandContext
status = cli.run({arguments!r}, CommandContext())
heavy = sorted({{"torch", "vllm", "transformers", "redis", "fastapi"}} & set(sys.modules))
sys.exit(f"loaded {{heavy}}" if heavy else status)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "module"),
    [("serve", "adapters.objectives.registry.objectives"), ("worker", "adapters.registry.methods")],
)
def test_another_packages_method_or_objective_that_cannot_be_used_stops_the_start(
    started: Started, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, module: str
) -> None:
    def broken() -> None:
        raise InvalidPlugin("entry point 'mine' of package others names no class")

    monkeypatch.setattr(module, broken)
    assert cli.run([command], CommandContext()) == 2
    assert "entry point 'mine' of package others names no class" in capsys.readouterr().err
    assert not hasattr(started, "settings")


def test_an_option_is_named_by_more_than_its_metavar() -> None:
    """typer before 0.28, which vLLM's GPU image has, writes `--URL` for a parameter `url` with that metavar."""
    functions = [*(command.callback for command in cli.app.registered_commands), cli.unlearn]
    options = [
        (parameter.name, parameter.default)
        for function in functions
        if function is not None
        for parameter in get_params_from_function(function).values()
        if isinstance(parameter.default, OptionInfo)
    ]
    assert len(options) > len(functions)
    unnamed = [name for name, info in options if not info.param_decls and (info.metavar or "").lower() == name]
    assert unnamed == []
