"""What the engine's processes are started in: the environment, compilation, the network."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.artifact.spec import PairSpec
from gateway.checkpoints.digests import CheckpointDigests
from gateway.engine.boot import (
    keep_to_loopback,
    keeps_target_compiled,
    named_pair,
    on_one_host,
    record_applied,
    set_environment,
)
from gateway.engine.layout import Layout
from gateway.engine.planning import InvalidEngineArguments


def test_the_pair_as_adapters_name_it(tmp_path: Path) -> None:
    digests = CheckpointDigests(tmp_path)
    for pair in (None, PairSpec(3, own_reference=True)):
        assert named_pair(pair, digests) == pair


@pytest.mark.parametrize("said", [["a runner of tomorrow"], [None, "a runner of tomorrow"]])
async def test_workers_that_cannot_say_what_they_apply_are_not_served_with(said: list[str | None]) -> None:
    async def workers(method: str) -> list[str | None]:
        assert method == "record_applied"
        return said

    with pytest.raises(InvalidEngineArguments, match="a runner of tomorrow"):
        await record_applied(SimpleNamespace(collective_rpc=workers))
    said[:] = [None] * len(said)
    await record_applied(SimpleNamespace(collective_rpc=workers))


@pytest.mark.parametrize("local", [True, False])
def test_the_hub_is_left_alone_when_every_model_is_on_disk(monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    monkeypatch.setattr("os.environ", {})
    set_environment(local)
    assert os.environ.get("HF_HUB_OFFLINE") == ("1" if local else None)


@pytest.mark.parametrize("asked", ["1", "true", "TRUE"])
def test_no_answer_is_logged_whatever_the_environment_asks_for(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    from vllm import envs

    monkeypatch.setattr("os.environ", {"VLLM_DEBUG_LOG_API_SERVER_RESPONSE": asked})
    set_environment(local_model=True)
    assert envs.environment_variables["VLLM_DEBUG_LOG_API_SERVER_RESPONSE"]() is False


@pytest.mark.parametrize(("target_lora", "compiled"), [(False, True), (True, False)])
def test_a_target_that_takes_loras_is_not_compiled_on_cpu(target_lora: bool, compiled: bool) -> None:
    layout = Layout(("A",), 10, 4, PairSpec(1), target_lora)
    assert keeps_target_compiled(layout) is compiled


def test_without_a_pair_there_is_nothing_to_undo() -> None:
    assert not keeps_target_compiled(Layout(("A",), 10, 4))


@pytest.mark.parametrize(
    ("spread", "one_host"),
    [
        ({}, True),
        ({"distributed_executor_backend": "mp", "data_parallel_size": 2, "data_parallel_size_local": 2}, True),
        ({"nnodes": 2}, False),
        ({"data_parallel_size": 2}, False),
        ({"distributed_executor_backend": "ray"}, False),
        ({"distributed_executor_backend": "external_launcher"}, False),
    ],
)
def test_where_the_engines_processes_are(spread: dict[str, Any], one_host: bool) -> None:
    alone = {"nnodes": 1, "data_parallel_size": 1, "data_parallel_size_local": 1, "distributed_executor_backend": "uni"}
    assert on_one_host(SimpleNamespace(**alone | spread)) is one_host


def test_the_operator_may_name_the_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth1")
    keep_to_loopback()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth1"


#: Joins a group as vLLM's worker does, and prints where it listens.
_JOIN = """
import json, sys, psutil, torch.distributed as dist
from gateway.engine.boot import keep_to_loopback

keep_to_loopback()
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", world_size=1, rank=0)
sockets = psutil.Process().net_connections("inet")
print(json.dumps([s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]))
dist.destroy_process_group()
"""


def test_a_group_of_the_engine_listens_on_loopback(tmp_path: Path) -> None:
    joined = subprocess.run(
        [sys.executable, "-c", _JOIN, str(tmp_path / "rendezvous")],
        env={name: value for name, value in os.environ.items() if name != "GLOO_SOCKET_IFNAME"},
        capture_output=True,
        text=True,
        check=True,
    )
    listening = json.loads(joined.stdout)
    assert listening
    assert all(ipaddress.ip_address(address).is_loopback for address in listening)
