"""Certificates of the requests of one service: issued once a report, and put together for whoever asks.

A certificate is issued when a report is there and its request is ready. It may be killed at any point and begin anew:
what is kept of a report's certificate first stays, and the log has it once.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pydantic import ValidationError

from gateway.errors import NotFound
from gateway.evidence.canonical import canonical, digest, digest_of
from gateway.evidence.certificate.bundle import Bundle
from gateway.evidence.certificate.statement import PAYLOAD_TYPE, Issue, certificate, summary
from gateway.evidence.errors import EvidenceKeyNotCurrent
from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.report import Report
from gateway.evidence.signing.dsse import sign
from gateway.evidence.signing.keys import SigningKey
from gateway.evidence.verification.envelopes import STATEMENTS
from gateway.requests.evidence_log import EvidenceLog
from gateway.store.certificates import CertificateStore, Envelopes
from gateway.store.records import RequestRecord, RequestState

logger = logging.getLogger(__name__)
audit = logging.getLogger("gateway.audit")


#: A request that is in one of these gets its certificate; one that it has, it keeps.
CERTIFIED = frozenset({RequestState.READY, RequestState.ACTIVE})


class Reports(Protocol):
    """`gateway.store.reports.ReportStore`."""

    async def latest(self, request_id: str) -> bytes:
        """The newest. Raises `NotFound`, `StoreUnavailable`."""
        ...

    async def all(self, request_id: str) -> Sequence[bytes]:
        """Its reports, the oldest first. Raises `StoreUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest report of a request, and its digest, which takes long to compute from the report."""

    digest: str
    report: Report


class Certifier:
    """Issues certificates, and gives out the files.

    keys: gives those that this host holds, of which the log's current one signs.
    """

    def __init__(
        self,
        reports: Reports,
        certificates: CertificateStore,
        log: EvidenceLog,
        keys: Callable[[], Sequence[SigningKey]],
    ) -> None:
        self._reports = reports
        self._certificates = certificates
        self._log = log
        self._keys = keys

    async def certify(self, record: RequestRecord) -> Newest | None:
        """Issue the certificate of a request's newest report, where it has none. Returns that report.

        None where there is nothing to certify: the request is not ready, has no report, or the log does not have it
        yet. Raises `StoreUnavailable`, `LogRefused`.
        """
        if record.state not in CERTIFIED or (newest := await self._newest(record.id)) is None:
            return None
        envelopes = await self._certificates.get(record.id, newest.digest)
        index = await self._log.index_of(record.id, {"report": newest.digest})
        if index is None:  # where it was redacted, nothing of it is logged again
            return None if envelopes is None else newest
        if envelopes is None:
            origin, key = await self._signer()
            issue = Issue(datetime.now(UTC), origin, index, await self._superseded(record.id))
            envelopes = await self._certificates.put(record.id, newest.digest, _signed(newest.report, issue, key))
            audit.info("certificate issued request=%s report=%s", record.id, newest.digest[:19])
        await self._log.append_once(Entry("certificate", certificate_leaf(newest.digest, envelopes)), request=record.id)
        return newest

    async def bundle(self, record: RequestRecord) -> Bundle:
        """The certificate file of a request's newest report.

        Raises `NotFound` where there is none (yet), `Redacted` where the log does not say any more what is in it.
        """
        newest = await self.certify(record) or await self._newest(record.id)
        envelopes = None if newest is None else await self._certificates.get(record.id, newest.digest)
        if newest is None or envelopes is None:
            raise NotFound("there is no certificate: it is issued once a report is made and the request is ready")
        report = newest.report
        promised = {"probe_set": report.evaluation.probe_set.commitment, "manifest": digest(report.manifest)}
        logged = certificate_leaf(newest.digest, envelopes)
        shown = await self._log.shown(record.id, promised, {"report": newest.digest}, logged, also={"state": "active"})
        return Bundle(
            envelopes=envelopes,
            report=json.loads(report.to_json()),
            openings=tuple(opening.to_dict() for opening, _ in shown),
            proofs=tuple(proof for _, proof in shown),
        )

    async def _newest(self, request_id: str) -> Newest | None:
        """None without one, and where another version made it, by rules that are not known here."""
        try:
            data = await self._reports.latest(request_id)
            return Newest(digest_of(data), Report.from_json(data))
        except NotFound:
            return None
        except ValidationError:
            logger.warning("report of another version, not certified request=%s", request_id)
            return None

    async def _superseded(self, request_id: str) -> str | None:
        """Digest of the report that the newest certificate so far is about."""
        certified = await self._certificates.reports(request_id)
        earlier = [digest_of(data) for data in await self._reports.all(request_id)]
        return next((each for each in reversed(earlier) if each in certified), None)

    async def _signer(self) -> tuple[str, SigningKey]:
        """The log's name, and the key that it is signed with. Raises `EvidenceKeyNotCurrent`."""
        known = await self._log.keys()
        key = next((key for key in self._keys() if key.public() == known.current), None)
        if key is None or known.origin is None:
            raise EvidenceKeyNotCurrent("this host does not hold the key that the log is signed with")
        return known.origin, key


def _signed(report: Report, issue: Issue, key: SigningKey) -> Envelopes:
    statements = (certificate(report, issue), summary(report, issue))
    return tuple(sign(canonical(each), PAYLOAD_TYPE, key) for each in statements)


def certificate_leaf(report: str, envelopes: Envelopes) -> dict[str, str]:
    """What the log has of a certificate: which bytes were signed, of the report of which digest."""
    signed = [digest_of(base64.b64decode(each["payload"])) for each in envelopes]
    return {**dict(zip(STATEMENTS, signed, strict=True)), "of": report}
