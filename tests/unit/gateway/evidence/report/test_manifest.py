from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.artifact.spec import PairSpec
from gateway.evidence.report.manifest import (
    ServedManifest,
    of_request,
    scope_digest,
    served_manifest,
    source_digest,
    tokenizer_digest,
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "vocab.json").write_text('{"a": 1}')
    return tmp_path


def made(checkpoint: Path, **changes: Any) -> ServedManifest:
    parts: dict[str, Any] = {
        "checkpoint": checkpoint,
        "model": "tiny",
        "model_digest": "d" * 64,
        "chat_template": "{{ messages }}",
        "engine": "vllm 0.32.0",
        "pair": PairSpec(2),
        "flags": {"dtype": "bfloat16"},
    }
    return served_manifest(**parts | changes)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model_digest": "e" * 64}, "model"),
        ({"chat_template": None}, "chat_template"),
        ({"engine": "vllm 0.33.0"}, "engine"),
        ({"pair": None}, "pair"),
        ({"pair": PairSpec(0, model_digest="f" * 64)}, "pair"),
        ({"pair": PairSpec(2, own_reference=True)}, "pair"),
        ({"flags": {"dtype": "float32"}}, "flags"),
    ],
)
def test_each_part_has_a_digest_of_its_own(checkpoint: Path, change: dict[str, Any], name: str) -> None:
    before, after = made(checkpoint).digests, made(checkpoint, **change).digests
    assert {each for each in before if before[each] != after[each]} == {name}
    assert before.keys() == after.keys() == {
        "model", "tokenizer", "chat_template", "engine", "gateway", "source", "flags", "pair",
    }  # fmt: skip


def test_where_a_model_lies_is_no_part_of_it(checkpoint: Path) -> None:
    one, other = (PairSpec(0, model_digest="f" * 64, model=place) for place in ("/here", "/there"))
    assert made(checkpoint, pair=one).digests == made(checkpoint, pair=other).digests


@pytest.mark.parametrize("file", ["vocab.json", "merges.txt", "tokenizer.model"])
def test_every_file_that_makes_tokens_counts_and_no_other(checkpoint: Path, file: str) -> None:
    before = tokenizer_digest(checkpoint)
    (checkpoint / "README.md").write_text("Read me.")
    assert tokenizer_digest(checkpoint) == before
    (checkpoint / file).write_text("changed")
    assert tokenizer_digest(checkpoint) != before


def test_a_request_adds_its_adapter_and_its_scope(checkpoint: Path) -> None:
    served = made(checkpoint)
    assert of_request(served.digests, "a" * 64, None) == {**served.digests, "adapter": "sha256:" + "a" * 64}
    assert of_request(served.digests, "a" * 64, scope_digest(b"index"))["scope"] == scope_digest(b"index")
    assert scope_digest(b"index") != scope_digest(b"other")


def test_it_comes_back_from_json_as_it_was(checkpoint: Path) -> None:
    assert ServedManifest.from_dict(made(checkpoint).to_dict()) == made(checkpoint)
    assert made(checkpoint).served.model == "tiny"


def test_our_own_sources_have_a_digest() -> None:
    assert source_digest().startswith("sha256:")
