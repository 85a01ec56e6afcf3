"""The log of a running service: a request's life is in it, and a reader who has only HTTP checks that."""

from __future__ import annotations

from typing import Any

import torch

from gateway.evidence.log.leaf import Leaf, Opening, opened
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.log.tiles import WIDTH, split_bundle
from gateway.evidence.signing.rotation import KeySet
from tests.engine.service import Service


def leaf_at(service: Service, index: int, size: int) -> bytes:
    width = min(WIDTH, size - index // WIDTH * WIDTH)
    path = f"{index // WIDTH:03d}" + ("" if width == WIDTH else f".p/{width}")
    return split_bundle(service.get(f"/log/tile/entries/{path}").content)[index % WIDTH]


def test_activation_and_its_end_are_proven(service: Service, reference: Any) -> None:
    rows: torch.Tensor = reference[0].get_input_embeddings().weight.detach()[:4].clone()
    request_id = service.put_request(rows)
    for step in ("activate", "deactivate"):
        assert service.post(f"/forget/{request_id}/{step}", {}).status_code == 200
    answer: list[dict[str, Any]] = []

    def logged() -> bool:
        answer[:] = service.get(f"/forget/{request_id}/openings").json()["data"]
        return [each["body"]["state"] for each in answer[-2:]] == ["active", "ready"]

    service.wait_until(logged, "the log has both steps")
    keys = KeySet.from_pem(service.get("/evidence/keys").text)
    for opening in map(Opening.from_dict, answer[-2:]):
        proof = ProofFile.from_text(service.get(f"/log/proof/{opening.index}").text)
        checkpoint, _ = keys.checked_checkpoint(proof.checkpoint)
        leaf = leaf_at(service, opening.index, checkpoint.size)
        assert proof.check(leaf) == checkpoint
        assert opened(Leaf.from_bytes(leaf), opening).body["request"] == request_id
    assert "unlearning_log_size" in service.get("/metrics").text
