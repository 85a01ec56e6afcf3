from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proofbundle import tlogproof as oracle

from gateway.evidence.errors import InclusionInvalid, Malformed
from gateway.evidence.log.checkpoint import log_keys
from gateway.evidence.log.proof_file import ProofFile
from tests.unit.gateway.evidence.samples import ORIGIN, checkpoint, leaves, proof_file, signing_key

PROOF = proof_file(3, 5)
TEXT = PROOF.to_text()
KEY = str(log_keys(ORIGIN, signing_key().public())[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_another_implementation_verifies_the_file(place: tuple[int, int]) -> None:
    index, size = place
    text = proof_file(index, size).to_text()
    leaf = leaves(size)[index]
    assert oracle.verify_tlog_proof(text, leaf, KEY, expected_origin=ORIGIN)["ok"]
    assert not oracle.verify_tlog_proof(text, leaf + b" ", KEY)["ok"]
    assert ProofFile.from_text(text).check(leaf) == checkpoint(size)


def test_the_file_is_that_of_the_specification() -> None:
    lines = TEXT.split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 3"]
    assert lines[2:5] == [base64.b64encode(each).decode() for each in PROOF.proof]
    assert TEXT.split("\n\n", 1)[1] == PROOF.checkpoint
    assert ProofFile.from_text(TEXT) == PROOF
    assert ProofFile.from_text(ProofFile(0, (), PROOF.checkpoint, b"beside").to_text()).extra == b"beside"


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("index 3", "index 03"),
        TEXT.replace("index 3", "index -3"),
        TEXT.replace("index 3\n", ""),
        TEXT.replace("index 3\n", "extra ?\nindex 3\n"),
        TEXT.replace("index 3\n", "index 3\nAAAA\n"),
        TEXT.replace("index 3\n", "index 3\n" + f"{base64.b64encode(bytes(32)).decode()}\n" * 64),
        TEXT.partition("\n\n")[0],
        TEXT.removesuffix("\n"),
    ],
)
def test_other_texts_are_no_proof_file(text: str) -> None:
    with pytest.raises(Malformed):
        ProofFile.from_text(text)


@pytest.mark.parametrize("text", [TEXT.replace("index 3", "index 2"), TEXT.replace("\n5\n", "\n4\n"), TEXT])
def test_a_proof_of_another_place_or_leaf_does_not_hold(text: str) -> None:
    leaf = leaves(5)[3 if text != TEXT else 4]
    with pytest.raises(InclusionInvalid):
        ProofFile.from_text(text).check(leaf)
