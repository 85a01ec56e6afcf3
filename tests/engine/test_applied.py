"""What a worker says it applied comes back with each answer, and an answer without its adapters never does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import PairSpec
from gateway.engine.residency.lora_folder import write_lora_folder
from tests.engine import disloyal_worker
from tests.engine.pairs import first_layers, random_lora, spec
from tests.engine.service import Service
from tests.engine.test_offsets import LAYERS
from tests.engine.test_parity import trained_like_rows
from tests.unit.gateway.engine.samples import offset_artifact

COMPLETIONS = "/v1/completions"
SPEC = spec(PairSpec(LAYERS))
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def rows(reference: Any) -> torch.Tensor:
    return trained_like_rows(reference[0], reference[1], 6)


@pytest.fixture(scope="module")
def offset(reference: Any) -> dict[str, torch.Tensor]:
    return random_lora(first_layers(reference[0], LAYERS), "offset", SPEC.rank, seed=5, scale=0.05)


@pytest.fixture
def switch(service: Service) -> Iterator[Path]:
    path = service.settings.data_dir / disloyal_worker.SWITCH
    yield path
    path.unlink(missing_ok=True)


def digest_of(service: Service, request_id: str) -> str:
    digest: str = service.get(f"/forget/{request_id}").json()["digest"]
    return digest


def ask(service: Service, plan: str | None = None, path: str = COMPLETIONS, **fields: Any) -> httpx.Response:
    body = {"model": service.model, "max_tokens": 3, "temperature": 0, **fields}
    if path == COMPLETIONS:
        body.setdefault("prompt", "The capital of France is")
    return service.post(path, body, plan)


def activate(service: Service, *requests: str) -> None:
    for request_id in requests:
        assert service.post(f"/forget/{request_id}/activate", {}).status_code == 200


def metrics(service: Service) -> dict[str, list[Any]]:
    """Samples by name."""
    families = text_string_to_metric_families(service.get("/metrics").text)
    samples: dict[str, list[Any]] = {}
    for family in families:
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return samples


def assert_refused(response: httpx.Response) -> None:
    assert response.status_code == 503, response.text
    assert response.json()["error"]["code"] == "adapters_not_applied"
    assert response.headers["retry-after"]


def test_the_worker_names_each_kind_alone_and_together(
    service: Service, rows: torch.Tensor, offset: dict[str, torch.Tensor]
) -> None:
    soft, delta = service.put_request(rows), service.put_offset(offset, SPEC)
    other = service.put_offset({name: 2 * tensor for name, tensor in offset.items()}, SPEC)
    for request_id in (soft, delta):
        answer = ask(service, f"candidate:{request_id}")
        assert answer.headers["x-unlearning-digests"] == digest_of(service, request_id)
    assert ask(service).headers["x-unlearning-digests"] == "none"
    activate(service, soft, delta, other)
    answer = ask(service)
    assert answer.headers["x-unlearning-applied"] == ",".join((soft, delta, other))
    together = [digest_of(service, each) for each in (soft, delta, other)]
    assert answer.headers["x-unlearning-digests"].split(",") == together
    service.deactivate_all()
    answer = ask(service)
    assert (answer.headers["x-unlearning-applied"], answer.headers["x-unlearning-digests"]) == ("none", "none")


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 1},
        {"n": 3, "temperature": 1.0},
        {"prompt": ["One", "Two", "Three"]},
        {"prompt": [f"{n} " + "word " * 800 for n in range(3)], "max_tokens": 1},  # several steps
        {"prompt": "word " * 40, "prompt_logprobs": 1, "max_tokens": 1},
        {"temperature": 1.0, "seed": 3, "logprobs": 2},
    ],
    ids=["one token", "several answers", "several prompts", "long", "prompt logprobs", "seeded"],
)
def test_whatever_is_asked_for(service: Service, rows: torch.Tensor, fields: dict[str, Any]) -> None:
    plan = f"candidate:{service.put_request(rows)}"
    for _ in range(2):  # the second time from the prefix cache
        answer = ask(service, plan, **fields)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-unlearning-digests"] == digest_of(service, plan.partition(":")[2])


def test_different_plans_in_one_batch(service: Service, rows: torch.Tensor, offset: dict[str, torch.Tensor]) -> None:
    requests = [service.put_request(rows), service.put_request(rows[:3]), service.put_offset(offset, SPEC)]
    wanted = {"off": "none", **{f"candidate:{each}": digest_of(service, each) for each in requests}}
    plans = list(wanted) * 3
    with ThreadPoolExecutor(len(plans)) as pool:
        answers = list(pool.map(lambda plan: ask(service, plan, max_tokens=12), plans))
    assert [answer.headers["x-unlearning-digests"] for answer in answers] == [wanted[plan] for plan in plans]


def test_rows_that_a_worker_has_lost_are_noticed_and_brought_in_again(
    service: Service, switch: Path, rows: torch.Tensor
) -> None:
    """The gateway's books say that the adapter is in, and every call has succeeded."""
    plan = f"candidate:{service.put_request(10 * rows[:2])}"
    prompt = "One two three four five six seven eight nine ten. " * 25

    def logprobs(plan: str, **fields: Any) -> list[float]:
        answer = ask(service, plan, prompt=prompt, logprobs=0, **fields)
        scores: list[float] = answer.json()["choices"][0]["logprobs"]["token_logprobs"]
        return scores

    switch.write_text("forget")
    assert_refused(ask(service, plan, prompt=prompt))
    assert_refused(ask(service, plan, max_tokens=1))
    assert_refused(ask(service, plan, n=2, temperature=1.0))
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    assert_refused(ask(service, plan, CHAT, **chat))
    assert_refused(ask(service, plan, CHAT, stream=True, **chat))
    assert ask(service, "off").status_code == 200, "nobody else is refused"
    (counted,) = metrics(service)["unlearning_not_applied_total"]
    assert counted.value >= 5
    switch.unlink()
    service.wait_until(lambda: ask(service, plan).status_code == 200, "whole again")
    assert ask(service, plan).headers["x-unlearning-digests"] == digest_of(service, plan.partition(":")[2])
    found = logprobs(plan)
    fresh = logprobs(plan, cache_salt="nothing is cached under it")
    assert found == pytest.approx(fresh, abs=1e-3), "what was cached without the rows is not used"
    assert found != pytest.approx(logprobs("off"), abs=1e-2), "the rows change the answer"


def test_a_lora_that_is_another_than_was_meant_is_noticed(
    service: Service, switch: Path, offset: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """The other is sound, and fits the engine."""
    other = tmp_path / "other"
    manifest = replace(offset_artifact().manifest, offset=SPEC)
    write_lora_folder(Artifact(manifest, {name: -tensor for name, tensor in offset.items()}), other, ["0" * 64])
    plan = f"candidate:{service.put_offset({name: 3 * tensor for name, tensor in offset.items()}, SPEC)}"
    switch.write_text(str(other))
    assert_refused(ask(service, plan))
    switch.unlink()
    service.wait_until(lambda: ask(service, plan).status_code == 200, "whole again")


def test_residency_is_what_workers_say(service: Service, rows: torch.Tensor, offset: dict[str, torch.Tensor]) -> None:
    soft, delta = service.put_request(rows[:5]), service.put_offset(offset, SPEC)
    digests = [digest_of(service, each) for each in (soft, delta)]
    activate(service, soft, delta)
    assert ask(service).status_code == 200

    def resident() -> dict[tuple[str, str], str]:
        samples = metrics(service).get("unlearning_adapter_resident", [])
        return {(each.labels["digest"], each.labels["kind"]): each.labels["pinned"] for each in samples}

    wanted = {(digests[0], "soft"): "true", (digests[1], "lora"): "true"}
    service.wait_until(lambda: wanted.items() <= resident().items(), "resident")
    loaded = {each.labels["adapter_name"]: each.labels for each in metrics(service)["vllm:lora_adapter_loaded"]}
    assert loaded[digests[1]].items() >= {"engine": "0", "pinned": "false"}.items()
    assert loaded[digests[1]]["level"] in ("gpu", "cpu")
    for request_id in (soft, delta):
        service.post(f"/forget/{request_id}/deactivate", {})
        assert httpx.delete(f"{service.url}/forget/{request_id}", headers=service.headers("off")).status_code < 300
    service.wait_until(lambda: not set(digests) & {digest for digest, _ in resident()}, "without them")
    assert ask(service).headers["x-unlearning-digests"] == "none"


def test_a_session_token_comes_back(service: Service) -> None:
    for path in ("/v1/models", "/livez"):
        answer = httpx.get(f"{service.url}{path}", headers={"x-session-token": "cG9kLTE="})
        assert answer.headers.get_list("x-session-token") in (["cG9kLTE="], [])
    answer = service.post(COMPLETIONS, {"model": service.model, "prompt": "Hi"}, **{"x-session-token": "cG9kLTE="})
    assert answer.headers.get_list("x-session-token") == ["cG9kLTE="]
