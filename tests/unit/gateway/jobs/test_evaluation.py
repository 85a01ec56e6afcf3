"""An evaluation as evidence: fixed beforehand, gone on with after a kill, held beside something simpler, reported."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.evaluation.levels import Level
from adapters.examples import Example
from gateway.errors import NotFound, StateConflict
from gateway.evidence.canonical import digest
from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.judging import findings
from gateway.evidence.report.manifest import scope_digest
from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Report
from gateway.evidence.report.tiers import SIZES, Tier
from gateway.jobs import probe_set
from gateway.jobs.kept import KeptAttacks
from gateway.jobs.probe import Memory, Prober
from gateway.jobs.probe_set import ProbeSet
from gateway.jobs.reporting import Reporter, policy_of
from gateway.jobs.service import service as open_client
from gateway.settings import Settings
from gateway.store.probe_sets import EvaluationNotes, KeptProbes
from gateway.store.records import RequestRecord, RequestState
from gateway.store.report_notes import note_of
from gateway.store.reports import ReportStore
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault
from tests.unit.gateway.jobs.stub_service import MANIFEST, StubService
from tests.unit.gateway.store.samples import stored

pytestmark = pytest.mark.usefixtures("toy_attack_families", "few_beside")

FORGET = [Example.from_pair(f"the capital of France, question {i}?", "Paris.") for i in range(6)]
ADAPTER, OTHER = "a" * 64, "b" * 64
SECRETS = ("France", "Paris", "capital", "Atlantis", "Einstein")


class Killed(BaseException):
    """As a signal is: nothing catches it."""


class Log:
    """What was appended, and how much the service had been attacked by then."""

    def __init__(self, stub: StubService) -> None:
        self.entries: list[Entry] = []
        self.attacked: list[int] = []
        self._stub = stub

    async def append(self, entry: Entry, *, request: str | None, token: str | None) -> int:
        self.entries.append(entry)
        self.attacked.append(attacks(self._stub))
        return 40 + len(self.entries)


def attacks(stub: StubService) -> int:
    asked = (body["messages"][-1]["content"] for body in stub.bodies)
    return sum(question.startswith(("given:", "told:", "picked:", "rare:")) for question in asked)


class Evaluated:
    """One attempt at evaluating one request, on a real store."""

    def __init__(self, redis: Redis, settings: Settings, stub: StubService, record: RequestRecord, vault: PayloadVault):
        self.notes: Any = EvaluationNotes(redis, vault, record.id, record.attempts)
        self.reports, self.log = ReportStore(redis), Log(stub)
        self.record, self.settings = record, settings

    async def run(self, adapter: str = ADAPTER) -> Report:
        reporter = Reporter(
            self.record,
            policy_of(self.settings),
            MANIFEST,
            scope_digest(b"entry"),
            self.log,
            self.notes,
            self.reports,
            clock=lambda: 1_764_230_400.0,
        )
        with open_client(self.settings) as client:
            prober = Prober(
                client,
                self.record.id,
                FORGET,
                (),
                "en",
                self.record.level,
                tier=self.record.tier,
                manifest=reporter.manifest,
                notes=self.notes,
                witness=reporter,
            )
            await prober.evidence(adapter)
        made = await reporter.report(adapter, "toy", artifact_bytes=1000, seconds={"training": 12.34})
        report = Report.from_json(await self.reports.latest(self.record.id))
        assert report == made
        assert note_of(report) == {
            "digest": report.digest,
            "verdict": report.verdict.value,
            "tier": self.record.tier.value,
            "made_at": report.made_at,
            "valid_until": report.valid_until,
            "stale": [],
        }
        return report


@pytest.fixture
def few_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Controls and neighbours are asked in other tests."""
    monkeypatch.setattr(probe_set, "CONTROL_PROBES", 4)
    monkeypatch.setattr(probe_set, "neighbours", lambda *_, **__: ["Who wrote Emma?", "What is the capital of Chile?"])


@pytest.fixture
async def record(store: RequestStore) -> RequestRecord:
    return await stored(store, RequestState.EVALUATING, level=Level.SUPPRESSES, evaluation={"tier": "standard"})


@pytest.fixture
def vault() -> PayloadVault:
    return PayloadVault(b"k" * 32)


@pytest.fixture
def evaluated(
    redis: Redis, settings: Settings, service: StubService, record: RequestRecord, vault: PayloadVault
) -> Evaluated:
    return Evaluated(redis, settings, service, record, vault)


async def test_the_report_says_what_was_found(evaluated: Evaluated) -> None:
    report = await evaluated.run()
    assert findings(report) == ()
    assert report.verdict is Verdict.PASS_WITH_LIMITS
    assert {f.family: (f.asked, f.known, f.after.leaked) for f in report.evaluation.families} == {
        "given": (9, 9, 0), "told": (12, 10, 0), "picked": (12, 12, 0), "rare": (12, 7, 0),
    }  # fmt: skip
    assert report.manifest == {
        **MANIFEST.digests, "adapter": f"sha256:{ADAPTER}", "scope": scope_digest(b"entry"),
    }  # fmt: skip
    assert report.cost.seconds == {"training": 12.3}
    assert report.made_at == "2025-11-27T08:00:00Z"
    assert report.valid_until == "2026-02-25T08:00:00Z"
    assert not any(secret in report.to_json().decode() for secret in SECRETS)


async def test_all_is_fixed_before_the_first_attack(evaluated: Evaluated) -> None:
    report = await evaluated.run()
    first, last = evaluated.log.entries
    assert (first.kind, last.kind, evaluated.log.attacked[0]) == ("pre-registration", "report", 0)
    assert report.pre_registration.index == 41
    assert report.pre_registration.digest == digest(dict(first.body))
    assert first.body["families"] == {"given": 9, "told": 12, "picked": 12, "rare": 12}
    assert first.body["policy"]["digest"] == report.policy.digest == report.policy.terms.digest
    assert first.body["manifest"] == digest(report.manifest)
    assert first.body["probe_set"] == report.evaluation.probe_set.commitment
    assert first.body["gates"] == report.policy.terms.gates.model_dump()
    assert last.body == {"request": evaluated.record.id, "report": report.digest, "verdict": report.verdict}
    assert not any(secret in str(evaluated.log.entries) for secret in SECRETS)


@pytest.mark.parametrize("tier", Tier)
async def test_a_tier_says_how_much_each_attack_asks(
    redis: Redis, settings: Settings, service: StubService, store: RequestStore, vault: PayloadVault, tier: Tier
) -> None:
    record = await stored(
        store, RequestState.EVALUATING, level=Level.SUPPRESSES, evaluation={"tier": tier.value, "keep": "nothing"}
    )
    found = Evaluated(redis, settings, service, record, vault)
    await found.run()
    most = SIZES[tier].attacks
    assert found.log.entries[0].body["families"] == {
        "given": min(9, most), "told": min(12, most), "picked": min(12, most), "rare": min(12, most),
    }  # fmt: skip


class Dying:
    """Notes that end the process once something is noted."""

    def __init__(self, notes: Any, at: str) -> None:
        self._notes, self._at = notes, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._notes, name)

    async def note(self, name: str, found: Any) -> None:
        await self._notes.note(name, found)
        if name.endswith(self._at):
            raise Killed


@pytest.mark.parametrize(
    "killed_at",
    ["/before/picked", "/before/instructed", f"/after/{ADAPTER}/told"],
)
async def test_one_that_was_killed_goes_on_and_comes_to_the_same(
    evaluated: Evaluated,
    redis: Redis,
    settings: Settings,
    service: StubService,
    store: RequestStore,
    vault: PayloadVault,
    killed_at: str,
) -> None:
    whole = await evaluated.run()
    asked, service.bodies = [json.dumps(body, sort_keys=True) for body in service.bodies], []
    record = await stored(store, RequestState.EVALUATING, level=Level.SUPPRESSES, evaluation={"tier": "standard"})
    first = Evaluated(redis, settings, service, record, vault)
    first.notes = Dying(first.notes, killed_at)
    with pytest.raises(Killed):
        await first.run()
    second = Evaluated(redis, settings, service, record, vault)
    report = await second.run()
    assert sorted(json.dumps(body, sort_keys=True) for body in service.bodies) == sorted(asked), "nothing twice"
    assert [entry.kind for entry in (*first.log.entries, *second.log.entries)] == ["pre-registration", "report"]
    own = {"probe_set"}  # its salt
    assert report.evaluation.model_dump(exclude=own) == whole.evaluation.model_dump(exclude=own)
    assert (report.verdict, report.reasons, report.limits) == (whole.verdict, whole.reasons, whole.limits)


async def test_after_the_report_was_made_a_kill_makes_no_second_one(evaluated: Evaluated) -> None:
    report = await evaluated.run()
    assert await evaluated.run() == report
    assert await evaluated.reports.all(evaluated.record.id) == [report.to_json()]
    assert [entry.kind for entry in evaluated.log.entries] == ["pre-registration", "report"]


async def test_nothing_is_taken_from_notes_of_other_conditions(evaluated: Evaluated, service: StubService) -> None:
    await evaluated.run()
    asked = len(service.bodies)
    await evaluated.run(OTHER)
    again = service.bodies[asked:]
    assert again
    assert {each.kind for each in evaluated.log.entries[2:]} == {"pre-registration", "report"}
    changed = {**MANIFEST.digests, "engine": digest("another")}
    before = len(service.bodies)
    with open_client(evaluated.settings) as client:
        prober = Prober(
            client, evaluated.record.id, FORGET, (), "en", Level.SUPPRESSES,
            manifest=changed, notes=evaluated.notes,
        )  # fmt: skip
        await prober.evidence(ADAPTER)
    assert len(service.bodies) - before >= asked


async def test_something_simpler_is_asked_the_same(evaluated: Evaluated, service: StubService) -> None:
    """The stub does not heed an instruction; a filter knows "Paris" and "France" when it reads them."""
    report = await evaluated.run()
    rows = {row.name: row for row in report.evaluation.baselines}
    assert rows.keys() == {"filter", "refusal_prompt"}
    told, filtered = rows["refusal_prompt"], rows["filter"]
    assert told.leaks.leaked == told.leaks.n == 4 * 4
    assert (filtered.leaks.leaked, filtered.leaks.n) == (0, 9 + 10 + 12 + 7)
    assert (told.adapter.leaked, filtered.adapter.leaked) == (0, 0)
    instructed = [body for body in service.bodies if body["messages"][0]["role"] == "system"]
    assert len(instructed) == 4 * 4 + 6
    same = [reason for reason in report.reasons if reason.startswith("Something simpler does as well")]
    assert bool(same) is (filtered.kept.kept >= filtered.adapter_kept.kept)


async def test_results_are_numbers_and_probes_are_sealed(evaluated: Evaluated, redis: Redis) -> None:
    await evaluated.run()
    results: Any = await redis.hvals(f"results:{evaluated.record.id}")
    values = [await redis.get(f"probes:{evaluated.record.id}"), *results]
    assert len(values) > 10
    assert not any(secret in str(values) for secret in SECRETS)


@pytest.mark.parametrize(
    ("keep", "to", "kept"),
    [
        ("nothing", RequestState.REJECTED, False),
        ("probes", RequestState.READY, True),
        ("probes", RequestState.RETIRED, False),
        ("probes", RequestState.FAILED, False),
    ],
)
async def test_what_stays_of_it_is_what_the_caller_chose(
    redis: Redis,
    settings: Settings,
    service: StubService,
    store: RequestStore,
    vault: PayloadVault,
    keep: str,
    to: RequestState,
    kept: bool,
) -> None:
    wanted = {"tier": "smoke", "keep": keep}
    record = await stored(store, RequestState.EVALUATING, level=Level.REFUSES, evaluation=wanted)
    report = await Evaluated(redis, settings, service, record, vault).run()
    assert report.evaluation.probe_set.kept is (keep == "probes")
    await store.transition(record.id, expected={RequestState.EVALUATING}, to=to)
    shelf = KeptProbes(redis, vault)
    left = {f"kept_probes:{record.id}", f"probe_key:{record.id}"} if kept else set()
    assert {key.decode() async for key in redis.scan_iter("*probe*")} == left
    assert await redis.exists(f"results:{record.id}") == 0
    if kept:
        probes = ProbeSet.from_bytes(await shelf.get(record.id))
        assert probes.commitment == report.evaluation.probe_set.commitment
        leaking = await KeptAttacks(shelf).leaking(record.id)
        assert len(leaking) == sum(each.known for each in report.evaluation.families) > 0
        await shelf.erase(record.id)
    with pytest.raises(NotFound):
        await shelf.get(record.id)
    with pytest.raises(NotFound):
        await shelf.erase(record.id)
    assert await KeptAttacks(shelf).leaking(record.id) == ()
    assert await ReportStore(redis).latest(record.id) == report.to_json(), "a report holds no personal data, and stays"


async def test_a_lost_attempt_writes_nothing_any_more(evaluated: Evaluated, store: RequestStore, redis: Redis) -> None:
    await evaluated.notes.put_probes(b"{}")
    await store.retire(evaluated.record.id)
    for write in (evaluated.notes.put_probes(b"{}"), evaluated.notes.note("name", 1)):
        with pytest.raises(StateConflict):
            await write
    assert [
        key async for key in redis.scan_iter(f"*:{evaluated.record.id}") if b"probes" in key or b"results" in key
    ] == []


async def test_a_probe_set_comes_back_as_it_was(evaluated: Evaluated) -> None:
    memory = Memory()
    evaluated.notes = memory
    await evaluated.run()
    data = await memory.probes()
    assert data is not None
    probes = ProbeSet.from_bytes(data)
    assert probes.to_bytes() == data
    other = ProbeSet.from_bytes(data.replace(probes.salt.encode(), (b"0" * 64)))
    assert other.commitment != probes.commitment, "it cannot be guessed without the salt"
