from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.errors import NotFound, Redacted
from gateway.evidence.errors import EvidenceKeyNotCurrent
from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.report import Report
from gateway.evidence.signing.rotation import KeySet
from gateway.evidence.verification.algorithms import ALGORITHMS
from gateway.evidence.verification.exhibit import Rules
from gateway.evidence.verification.verify import Verification, verify
from gateway.requests.certifier import Certifier
from gateway.requests.evidence_log import EvidenceLog
from gateway.store.records import RequestRecord, RequestState
from tests.unit.gateway.evidence.bundles import key
from tests.unit.gateway.evidence.samples import signing_key
from tests.unit.gateway.requests.evidence_samples import Evidence
from tests.unit.gateway.service.log_host import LogHost


@pytest.fixture
def evidence(redis: Redis) -> Evidence:
    return Evidence(redis)


async def checked(evidence: Evidence, record: RequestRecord) -> Verification:
    file = (await evidence.certifier.bundle(record)).to_json()
    return verify(file, await evidence.log.keys(), Rules(datetime.now(UTC), frozenset(ALGORITHMS)))


def leaves(evidence: Evidence, kind: str) -> int:
    return sum(leaf.kind == kind for leaf in evidence.log.tree)


@pytest.mark.parametrize("state", [RequestState.READY, RequestState.ACTIVE])
async def test_what_it_gives_out_is_sound(evidence: Evidence, state: RequestState) -> None:
    record = await evidence.request(state)
    verification = await checked(evidence, record)
    assert verification.findings == ()
    assert verification.report is not None
    assert verification.report.request.id == record.id


async def test_a_report_has_one_certificate_however_often_it_is_asked_for(evidence: Evidence) -> None:
    record = await evidence.request()
    files = await asyncio.gather(*(evidence.certifier.bundle(record) for _ in range(3)))
    assert len({json.dumps(file.envelopes) for file in files}) == 1
    assert (await evidence.certifier.bundle(record)).envelopes == files[0].envelopes
    assert await evidence.certificates.reports(record.id) == {record.report["digest"] if record.report else ""}


async def test_one_that_was_killed_before_the_log_goes_on(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    record = await evidence.request()
    append = evidence.log.append

    async def killed(*args: Any, **kwargs: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence.log, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        await evidence.certifier.certify(record)
    assert leaves(evidence, "certificate") == 0
    monkeypatch.setattr(evidence.log, "append", append)
    assert (await checked(evidence, record)).sound
    await evidence.certifier.certify(record)
    assert leaves(evidence, "certificate") == 1


async def test_one_that_was_killed_after_the_log_writes_nothing_twice(evidence: Evidence) -> None:
    record = await evidence.request()
    await evidence.certifier.certify(record)
    again = Certifier(evidence.reports, evidence.certificates, EvidenceLog(evidence.log), lambda: [key()])
    await again.certify(record)
    assert leaves(evidence, "certificate") == 1


async def test_another_report_has_another_certificate_which_names_the_first(evidence: Evidence) -> None:
    record = await evidence.request()
    first = await evidence.certifier.bundle(record)
    report = await evidence.report(record, limits=())
    second = await evidence.certifier.bundle(record)
    predicate = json.loads(base64.b64decode(second.envelopes[0]["payload"]))["predicate"]
    assert record.report is not None
    assert f"sha256:{predicate['supersedes']['sha256']}" == record.report["digest"]
    assert second.report["limits"] == []
    assert first.envelopes != second.envelopes
    assert await evidence.certificates.reports(record.id) == {record.report["digest"], report.digest}


@pytest.mark.parametrize(
    "state", [RequestState.EVALUATING, RequestState.REJECTED, RequestState.FAILED, RequestState.QUEUED]
)
async def test_a_request_that_is_not_ready_has_none(evidence: Evidence, state: RequestState) -> None:
    record = await evidence.request(state)
    with pytest.raises(NotFound, match="certificate"):
        await evidence.certifier.bundle(record)
    assert leaves(evidence, "certificate") == 0


async def test_a_report_that_the_log_does_not_have_yet_has_none(evidence: Evidence) -> None:
    record = await evidence.request()
    evidence.log.behind = [each for each in evidence.log.behind if "verdict" not in each[1].body]
    assert await evidence.certifier.certify(record) is None


async def test_a_report_of_another_version_has_none(evidence: Evidence) -> None:
    record = await evidence.request()
    evidence.reports.kept[record.id].append(b'{"schema": "urn:unlearning-gateway:report:v9"}')
    assert await evidence.certifier.certify(record) is None


async def test_a_retired_request_keeps_the_one_that_it_had(evidence: Evidence) -> None:
    record = await evidence.request()
    before = await evidence.certifier.bundle(record)
    record = await evidence.store.retire(record.id)
    assert (await evidence.certifier.bundle(record)).envelopes == before.envelopes


async def test_what_was_redacted_ties_no_certificate_to_the_log_and_is_not_logged_again(evidence: Evidence) -> None:
    record, other = await evidence.request(RequestState.ACTIVE), await evidence.request()
    before = (await evidence.certifier.bundle(record)).to_json()
    evidence.log.redact(record.id)
    for _ in range(2):
        with pytest.raises(Redacted, match="fetched before"):
            await evidence.certifier.bundle(record)
    assert await evidence.certifier.certify(record) is not None, "it is watched as before"
    assert leaves(evidence, "certificate") == 1
    assert (await checked(evidence, other)).sound
    assert verify(before, await evidence.log.keys(), Rules(datetime.now(UTC), frozenset(ALGORITHMS))).sound
    await evidence.report(record, days=80)
    assert (await checked(evidence, record)).sound


@pytest.mark.parametrize("gone", ["probe_set", "verdict", "certificate"])
async def test_a_file_that_would_not_be_sound_is_not_given_out(evidence: Evidence, gone: str) -> None:
    record = await evidence.request()
    await evidence.certifier.certify(record)
    evidence.log.behind = [each for each in evidence.log.behind if gone not in each[1].body]
    record = await evidence.store.retire(record.id)
    with pytest.raises(Redacted):
        await evidence.certifier.bundle(record)


async def test_a_host_whose_key_the_log_does_not_have_signs_nothing(evidence: Evidence) -> None:
    record = await evidence.request()
    other = Certifier(evidence.reports, evidence.certificates, EvidenceLog(evidence.log), lambda: [key(9)])
    with pytest.raises(EvidenceKeyNotCurrent):
        await other.certify(record)
    assert await evidence.certificates.reports(record.id) == frozenset()


async def test_a_file_shows_this_requests_leaves_alone(evidence: Evidence) -> None:
    other, record = await evidence.request(), await evidence.request(RequestState.ACTIVE)
    await evidence.log.append(Entry("state", {"request": record.id, "state": "active"}), request=record.id)
    await evidence.certifier.certify(other)
    file = await evidence.certifier.bundle(record)
    assert {opening["body"].get("request", record.id) for opening in file.openings} == {record.id}
    assert len(file.openings) == len(file.proofs) == 4


async def test_with_the_real_log_and_its_key_replaced_meanwhile(redis: Redis, tmp_path: Path) -> None:
    """The log, its sequencer and its rotation as the service has them: what was signed before counts still."""
    evidence, host = Evidence(redis), LogHost(redis, tmp_path)
    log = EvidenceLog(host.store)
    certifier = Certifier(evidence.reports, evidence.certificates, log, lambda: [signing_key(1)])
    record = await evidence.request(RequestState.ACTIVE)
    for _, opening in evidence.log.behind[:2]:
        kind = evidence.log.tree[opening.index].kind
        await host.store.put(Entry(kind, opening.body), request=record.id, token=kind)
    await host.settle()
    (report,) = (Report.from_json(data) for data in evidence.reports.kept[record.id])
    index = await log.index_of(record.id, {"probe_set": report.evaluation.probe_set.commitment})
    promised = report.pre_registration.model_copy(update={"index": index})
    report = report.model_copy(update={"pre_registration": promised})
    evidence.reports.kept[record.id] = [report.to_json()]
    await host.store.put(Entry("report", {"request": record.id, "report": report.digest}), request=record.id, token="r")
    await host.settle()
    certifying = asyncio.create_task(certifier.certify(record))
    while not certifying.done():
        await host.settle()
        await asyncio.sleep(0.01)

    after = LogHost(redis, tmp_path, 2, 1)
    await after.settle()
    rules = Rules(datetime.now(UTC), frozenset(ALGORITHMS))
    keys = KeySet.from_pem((await host.store.keys()).to_pem())
    file = (await certifier.bundle(record)).to_json()
    assert keys.current == signing_key(2).public()
    assert verify(file, keys, rules).findings == ()
    assert verify(file, keys.revoked(signing_key(1).public().ed25519_id, 0), rules).findings == ()
