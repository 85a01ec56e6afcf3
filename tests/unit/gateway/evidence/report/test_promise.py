"""What is logged before an evaluation, and what of it a report is held against."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from adapters.evaluation.levels import Level
from gateway.evidence.canonical import canonical, digest
from gateway.evidence.report.promise import DirectCounts, PolicyNamed, Promise, Terms
from gateway.evidence.report.report import Decoding
from gateway.evidence.report.tiers import Tier
from tests.unit.gateway.evidence.bundles import promise
from tests.unit.gateway.evidence.report import samples

#: As the first version of the log wrote it.
LOGGED = (
    b'{"decoding":{"at_once":[12,48],"max_tokens":64,"samples":16,"temperatures":[0,0.7]},'
    b'"direct":{"controls":20,"forget":9,"neighbours":28},"families":{"alias":0,"given":9},'
    b'"gates":{"max_family_leak":0.05,"max_leak":0,"min_kept":0.6,"min_neighbours":0.25,"min_recall":0.9},'
    b'"level":"suppresses","manifest":"sha256:%(hex)b","policy":{"digest":"%(policy)b",'
    b'"id":"urn:unlearning-gateway:policy:v1"},"probe_set":"sha256:%(hex)b","request":"req_1",'
    b'"schema":"urn:unlearning-gateway:pre-registration:v1","seeds":{"probes":0},"tier":"standard"}'
) % {b"hex": b"ab" * 32, b"policy": samples.POLICY.digest.encode()}


def test_it_is_logged_as_it_always_was_byte_for_byte() -> None:
    made = Promise(
        request="req_1",
        level=Level.SUPPRESSES,
        tier=Tier.STANDARD,
        seeds={"probes": 0},
        decoding=Decoding(temperatures=(0.0, 0.7), max_tokens=64, samples=16, at_once=(12, 48)),
        families={"given": 9, "alias": 0},
        direct=DirectCounts(forget=9, controls=20, neighbours=28),
        gates=samples.POLICY.gates,
        policy=PolicyNamed.of(samples.POLICY),
        manifest="sha256:" + "ab" * 32,
        probe_set="sha256:" + "ab" * 32,
    )
    assert canonical(made.to_body()) == LOGGED
    assert Promise.model_validate_json(LOGGED) == made


def test_nothing_unknown_is_promised() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Promise.model_validate_json(LOGGED.replace(b'"direct"', b'"more":1,"direct"'))


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ({}, []),
        ({"schema": "another", "direct": {"forget": 1}, "later": True}, []),
        ({"tier": "smoke"}, ["tier"]),
        ({"families": {"given": 12}}, ["families"]),
        ({"gates": None, "seeds": {}}, ["seeds", "gates"]),
        ({"probe_set": digest("easier")}, ["probe_set"]),
    ],
)
def test_a_report_keeps_to_what_was_logged(said: dict[str, Any], missing: list[str]) -> None:
    made = samples.report()
    assert Terms.of(made).missing_from(promise(made) | said) == missing


def test_what_was_not_logged_at_all_was_not_promised() -> None:
    assert set(Terms.of(samples.report()).missing_from({})) == set(Terms.model_fields)
