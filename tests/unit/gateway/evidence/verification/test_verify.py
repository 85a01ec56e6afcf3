"""Each way to change a certificate file, or to make a false one, has a finding of its own name."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.evidence.canonical import canonical, digest
from gateway.evidence.certificate.statement import Issue, certificate, summary
from gateway.evidence.errors import Malformed
from gateway.evidence.log.leaf import Entry, Leaf
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.report.judging import judge
from gateway.evidence.report.policy import Gates, Policy, Verdict
from gateway.evidence.report.report import Judged, PreRegistration
from gateway.evidence.signing.dsse import sign
from gateway.evidence.signing.rotation import KeySet, KeyState, KnownKey
from gateway.evidence.verification.algorithms import ALGORITHMS, ED25519, ML_DSA_44
from gateway.evidence.verification.exhibit import CLOCK_SKEW, Rules
from gateway.evidence.verification.finding import Fault
from gateway.evidence.verification.validity import applied
from gateway.evidence.verification.verify import CHECKS, Verification, verify
from tests.unit.gateway.evidence.bundles import MADE, NOW, ORIGIN, MemoryLog, Service, key, promise
from tests.unit.gateway.evidence.report import samples

RULES = Rules(at=NOW, algorithms=frozenset(ALGORITHMS))
File = dict[str, Any]


@pytest.fixture(scope="module")
def made() -> File:
    """As the service gives it. Not to be changed."""
    return Service().file()


def checked(file: File, keys: KeySet | None = None, rules: Rules = RULES) -> Verification:
    return verify(json.dumps(file).encode(), keys or Service().keys, rules)


def faults(verification: Verification) -> set[Fault]:
    return {finding.fault for finding in verification.findings}


def test_a_file_as_the_service_gives_it_is_sound(made: File) -> None:
    verification = checked(made)
    assert verification.findings == ()
    assert verification.sound
    assert verification.report is not None
    assert verification.report.verdict is Verdict.PASS
    assert set(CHECKS) <= set(verification.reached)
    assert set(verification.to_dict()["checks"].values()) == {"passed"}


# What a stranger may do to a file between the service and its reader.


def _leaked(file: File) -> None:
    file["report"]["evaluation"]["forget"]["after"]["leaked"] = 1


def _better_verdict(file: File) -> None:
    file["report"]["verdict"] = "INCONCLUSIVE"


def _longer(file: File) -> None:
    file["report"]["valid_until"] = "2099-01-01T00:00:00Z"


def _unknown_field(file: File) -> None:
    file["report"]["approved_by"] = "nobody"


def _no_summary(file: File) -> None:
    del file["envelopes"][1]


def _twice_the_summary(file: File) -> None:
    file["envelopes"].append(file["envelopes"][1])


def _no_lattice_signature(file: File) -> None:
    del file["envelopes"][0]["signatures"][1]


def _no_signature(file: File) -> None:
    file["envelopes"][0]["signatures"] = []


def _other_payload(file: File) -> None:
    statement = json.loads(base64.b64decode(file["envelopes"][0]["payload"]))
    statement["predicate"]["verdict"] = "INCONCLUSIVE"
    file["envelopes"][0]["payload"] = base64.b64encode(canonical(statement)).decode()


def _swapped_signatures(file: File) -> None:
    one, other = (envelope["signatures"] for envelope in file["envelopes"])
    one[1]["sig"], other[1]["sig"] = other[1]["sig"], one[1]["sig"]


def _no_payload(file: File) -> None:
    file["envelopes"][1]["payload"] = "bm90IGpzb24="


def _other_body(file: File) -> None:
    file["openings"][0]["body"]["tier"] = "full"


def _other_salt(file: File) -> None:
    file["openings"][1]["salt_b64"] = base64.b64encode(b"s" * 32).decode()


def _short_salt(file: File) -> None:
    file["openings"][1]["salt_b64"] = "c2FsdA=="


def _no_pre_registration(file: File) -> None:
    del file["openings"][0], file["proofs"][0]


def _no_report_opening(file: File) -> None:
    del file["openings"][1]


def _no_report_proof(file: File) -> None:
    del file["proofs"][1]


def _no_certificate_leaf(file: File) -> None:
    del file["openings"][3], file["proofs"][3]


def _no_form(file: File) -> None:
    file["proofs"][1] = "c2sp.org/tlog-proof@v2\nindex 1\n"


def _hash(file: File) -> None:
    proof = ProofFile.from_text(file["proofs"][1])
    file["proofs"][1] = replace(proof, proof=(b"h" * 32, *proof.proof[1:])).to_text()


def _another_place(file: File) -> None:
    proof = ProofFile.from_text(file["proofs"][2])
    file["proofs"][2] = replace(proof, index=0).to_text()


def _earlier_leaf(file: File) -> None:
    """The pre-registration, as if it had been logged a day before."""
    proof = ProofFile.from_text(file["proofs"][0])
    leaf = Leaf.from_bytes(proof.extra or b"")
    file["proofs"][0] = replace(proof, extra=replace(leaf, at="2025-11-26T00:00:00.000Z").to_bytes()).to_text()


def _larger_tree(file: File) -> None:
    file["proofs"][0] = file["proofs"][0].replace(f"{ORIGIN}\n4\n", f"{ORIGIN}\n5\n")


def _unsigned_checkpoint(file: File) -> None:
    head, _, lines = file["proofs"][0].rpartition("\n\n")
    file["proofs"][0] = f"{head}\n\n{lines.splitlines()[0]}\n"


def _other_log(file: File) -> None:
    log = MemoryLog(key(), origin="somebody/else")
    for _ in range(4):
        log.add(Entry("state", {}))
    file["proofs"][0] = log.proof(0)


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (_leaked, Fault.REPORT_ALTERED),
        (_better_verdict, Fault.REPORT_ALTERED),
        (_longer, Fault.REPORT_ALTERED),
        (_unknown_field, Fault.REPORT_MALFORMED),
        (_no_summary, Fault.ENVELOPE_MISSING),
        (_twice_the_summary, Fault.STATEMENT_MALFORMED),
        (_no_lattice_signature, Fault.SIGNATURE_MISSING),
        (_no_signature, Fault.KEY_UNKNOWN),
        (_other_payload, Fault.SIGNATURE_INVALID),
        (_swapped_signatures, Fault.SIGNATURE_INVALID),
        (_no_payload, Fault.ENVELOPE_MISSING),
        (_other_body, Fault.OPENING_ALTERED),
        (_other_salt, Fault.OPENING_ALTERED),
        (_short_salt, Fault.OPENING_ALTERED),
        (_no_pre_registration, Fault.PRE_REGISTRATION_MISSING),
        (_no_report_opening, Fault.OPENING_MISSING),
        (_no_report_proof, Fault.PROOF_MISSING),
        (_no_certificate_leaf, Fault.CERTIFICATE_UNLOGGED),
        (_no_form, Fault.PROOF_MALFORMED),
        (_hash, Fault.INCLUSION_INVALID),
        (_another_place, Fault.INCLUSION_INVALID),
        (_earlier_leaf, Fault.INCLUSION_INVALID),
        (_larger_tree, Fault.INCLUSION_INVALID),
        (_unsigned_checkpoint, Fault.CHECKPOINT_UNSIGNED),
        (_other_log, Fault.LOG_FOREIGN),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else value.__name__.strip("_"),
)
def test_what_is_done_to_a_file_is_named(made: File, tamper: Callable[[File], None], fault: Fault) -> None:
    file = copy.deepcopy(made)
    tamper(file)
    verification = checked(file)
    assert fault in faults(verification)
    assert not verification.sound
    assert all(finding.message for finding in verification.findings)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"mediaType": "text/plain"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"{" + b" " * 2**24 + b"}",
    ],
    ids=["empty", "cut", "list", "null", "other", "binary", "deep", "large"],
)
def test_a_file_that_is_none_is_named(data: bytes) -> None:
    verification = verify(data, Service().keys, RULES)
    assert faults(verification) == {Fault.FILE_UNREADABLE}
    assert verification.report is None


# What a service may do that holds the key, and does not keep to the rules.


def _promised_otherwise(**changes: Any) -> File:
    service, made = Service(), samples.report()
    body = promise(made) | changes
    index = service.log.add(Entry("pre-registration", body), made.request.id)
    return service.file(made.model_copy(update={"pre_registration": PreRegistration(index=index, digest=digest(body))}))


def _another_promise_than_named() -> File:
    service = Service()
    report = service.report()
    other = PreRegistration(index=report.pre_registration.index, digest=digest("another"))
    return service.file(report.model_copy(update={"pre_registration": other}))


def _promised_late() -> File:
    service, made = Service(), samples.report()
    body = promise(made)
    late = made.model_copy(update={"pre_registration": PreRegistration(index=3, digest=digest(body))})
    logged = service.log.add(Entry("report", {"report": late.digest}))
    issue = Issue(MADE, ORIGIN, logged)
    service.log.add(Entry("state", {"state": "active"}))
    service.log.add(Entry("state", {"state": "ready"}))
    service.log.add(Entry("pre-registration", body))
    return service.bundled(late, [certificate(late, issue), summary(late, issue)])


def _promised_after_it_was_made() -> File:
    log = MemoryLog(key(), at=MADE + timedelta(hours=1))
    service = Service(log=log)
    service.issued_at = MADE + timedelta(hours=1)
    return service.file()


def _never_promised() -> File:
    return Service().file(samples.report(pre_registration=PreRegistration(index=40, digest=digest("none"))))


def _verdict_against_numbers() -> File:
    service = Service()
    return service.file(service.report(verdict=Verdict.INCONCLUSIVE))


def _bound_that_is_none() -> File:
    service = Service()
    report = service.report()
    after = report.evaluation.forget.after.model_copy(update={"upper": 0.01})
    forget = report.evaluation.forget.model_copy(update={"after": after})
    return service.file(
        report.model_copy(update={"evaluation": report.evaluation.model_copy(update={"forget": forget})})
    )


def _rules_of_its_own() -> File:
    service = Service()
    lenient = Policy(gates=samples.POLICY.gates, rules=samples.POLICY.rules[:1])
    return service.file(service.report(policy=Judged.by(lenient)))


def _policy_by_another_digest() -> File:
    service = Service()
    judged = Judged.by(samples.POLICY).model_copy(update={"digest": digest("another")})
    return service.file(service.report().model_copy(update={"policy": judged}))


def _signed_statements(change: Callable[[File, File], None]) -> File:
    service = Service()
    report = service.report()
    issue = Issue(MADE, ORIGIN, service.log.add(Entry("report", {"report": report.digest})))
    statements = [certificate(report, issue), summary(report, issue)]
    change(*statements)
    return service.bundled(report, statements)


def _certified_better() -> File:
    return _signed_statements(lambda one, _: one["predicate"].update(verdict="INCONCLUSIVE"))


def _certified_another_model() -> File:
    return _signed_statements(lambda one, _: one["subject"][0].update(digest={"sha256": "0" * 64}))


def _certified_another_report() -> File:
    def change(one: File, _: File) -> None:
        next(each for each in one["subject"] if each["name"] == "report")["digest"] = {"sha256": "0" * 64}

    return _signed_statements(change)


def _summary_says_more() -> File:
    return _signed_statements(lambda _, two: two["predicate"]["properties"].append("UNLEARNING_GATEWAY_ERASED"))


def _summary_without_policies() -> File:
    return _signed_statements(lambda _, two: two["predicate"]["verifier"].pop("policies"))


def _summary_of_another_policy() -> File:
    return _signed_statements(lambda _, two: two["predicate"]["verifier"].update(policies=[]))


def _summary_at_another_time() -> File:
    return _signed_statements(lambda _, two: two["predicate"].update(timeCreated="2025-11-27T09:00:00Z"))


def _no_statement() -> File:
    return _signed_statements(lambda one, _: one.update(_type="https://in-toto.io/Statement/v0.1"))


def _no_time() -> File:
    return _signed_statements(lambda one, _: one["predicate"].pop("issuedAt"))


def _no_log() -> File:
    return _signed_statements(lambda one, _: one["predicate"].pop("log"))


def _predicate_of_lists() -> File:
    return _signed_statements(lambda one, _: one.update(predicate=[]))


def _issued_before_made() -> File:
    service = Service()
    service.issued_at = MADE - timedelta(hours=1)
    return service.file()


def _forked() -> File:
    """The same place, in two logs of four leaves that one key has signed."""
    file = Service().file()
    other = MemoryLog(key())
    for number in range(4):
        other.add(Entry("state", {"number": number}))
    file["proofs"].append(other.proof(2))
    return file


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: _promised_otherwise(tier="smoke"), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(seeds={"templates": 1}), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(families={"given": 12}), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(policy={"id": "mild", "digest": digest("mild")}), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(gates={"max_leak": 0.1}), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(manifest=digest({})), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(probe_set=digest("easier")), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(level="refuses"), Fault.PRE_REGISTRATION_DIFFERS),
        (lambda: _promised_otherwise(request="req_another"), Fault.PRE_REGISTRATION_DIFFERS),
        (_another_promise_than_named, Fault.PRE_REGISTRATION_DIFFERS),
        (_promised_late, Fault.PRE_REGISTRATION_LATE),
        (_promised_after_it_was_made, Fault.PRE_REGISTRATION_LATE),
        (_never_promised, Fault.PRE_REGISTRATION_MISSING),
        (_verdict_against_numbers, Fault.VERDICT_UNSUPPORTED),
        (_bound_that_is_none, Fault.NUMBERS_INCONSISTENT),
        (_rules_of_its_own, Fault.POLICY_UNKNOWN),
        (_policy_by_another_digest, Fault.REPORT_MALFORMED),
        (_certified_better, Fault.CERTIFICATE_DIFFERS),
        (_certified_another_model, Fault.CERTIFICATE_DIFFERS),
        (_certified_another_report, Fault.REPORT_ALTERED),
        (_summary_says_more, Fault.SUMMARY_DIFFERS),
        (_summary_without_policies, Fault.STATEMENT_MALFORMED),
        (_summary_of_another_policy, Fault.SUMMARY_DIFFERS),
        (_summary_at_another_time, Fault.SUMMARY_DIFFERS),
        (_no_statement, Fault.STATEMENT_MALFORMED),
        (_no_time, Fault.STATEMENT_MALFORMED),
        (_no_log, Fault.LOG_FOREIGN),
        (_predicate_of_lists, Fault.CERTIFICATE_DIFFERS),
        (_issued_before_made, Fault.TIMES_DISORDERED),
        (_forked, Fault.LOG_FORKED),
    ],
)
def test_what_a_service_signed_and_should_not_have_is_named(make: Callable[[], File], fault: Fault) -> None:
    assert fault in faults(checked(make()))


# Keys, clocks, answers.


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ((KnownKey(key(0).public(), KeyState.CURRENT),), set()),
        ((KnownKey(key(1).public()), KnownKey(key(0).public(), KeyState.RETIRED, 4)), set()),
        ((KnownKey(key(1).public()), KnownKey(key(0).public(), KeyState.RETIRED, 3)), {Fault.KEY_RETIRED}),
        ((KnownKey(key(1).public()), KnownKey(key(0).public(), KeyState.REVOKED, 3)), {Fault.KEY_REVOKED}),
        ((KnownKey(key(1).public()), KnownKey(key(0).public(), KeyState.REVOKED, 9)), {Fault.KEY_REVOKED}),
        ((KnownKey(key(1).public()),), {Fault.KEY_UNKNOWN, Fault.CHECKPOINT_UNSIGNED}),
    ],
    ids=["current", "retired after", "retired before", "revoked before", "revoked after", "unknown"],
)
def test_a_key_counts_for_what_was_logged_before_its_end(
    made: File, known: tuple[KnownKey, ...], found: set[Fault]
) -> None:
    assert faults(checked(made, KeySet(ORIGIN, known))) == found


def test_a_revoked_keys_certificate_counts_where_the_next_key_signs_the_log_it_is_in(made: File) -> None:
    service = Service(log=MemoryLog(key(1)))
    keys = KeySet(ORIGIN, (KnownKey(key(1).public()), KnownKey(key(0).public(), KeyState.REVOKED, 4)))
    assert faults(checked(service.file(), keys)) == set()


def test_a_key_file_of_another_log_is_named(made: File) -> None:
    assert faults(checked(made, KeySet("another/log", Service().keys.known))) == {Fault.LOG_FOREIGN}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_algorithm_suffices_where_the_verifier_says_so(made: File, algorithm: str) -> None:
    file = copy.deepcopy(made)
    for envelope in file["envelopes"]:
        kept = envelope["signatures"][ALGORITHMS.index(algorithm)]
        envelope["signatures"] = [kept]
    assert checked(file, rules=replace(RULES, algorithms=frozenset({algorithm}))).sound
    assert faults(checked(file)) == {Fault.SIGNATURE_MISSING}
    other = ML_DSA_44 if algorithm == ED25519 else ED25519
    assert faults(checked(file, rules=replace(RULES, algorithms=frozenset({other})))) == {Fault.SIGNATURE_MISSING}


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (MADE, set()),
        (MADE - CLOCK_SKEW, set()),
        (MADE - CLOCK_SKEW - timedelta(seconds=1), {Fault.FROM_THE_FUTURE}),
        (MADE - timedelta(days=1), {Fault.FROM_THE_FUTURE}),
        (MADE + timedelta(days=90), {Fault.EXPIRED}),
        (MADE + timedelta(days=90, seconds=-1), set()),
    ],
)
def test_a_certificate_counts_for_its_time(made: File, at: Any, found: set[Fault]) -> None:
    assert faults(checked(made, rules=replace(RULES, at=at))) == found


ADAPTER, OTHER = digest("adapter"), "0" * 64


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (ADAPTER.removeprefix("sha256:"), None),
        (ADAPTER, None),
        (f"{OTHER},{ADAPTER}", None),
        (f" {ADAPTER.removeprefix('sha256:')} , {OTHER} ", None),
        (OTHER, "other adapters than this certificate's"),
        (f"{OTHER},{'1' * 64}", "other adapters than this certificate's"),
        ("none", "no adapter was applied"),
        (" none ", "no adapter was applied"),
    ],
)
def test_an_answer_is_covered_where_it_names_the_adapter(made: File, header: str, said: str | None) -> None:
    verification = checked(made, rules=replace(RULES, answer_digests=applied(header)))
    assert faults(verification) == (set() if said is None else {Fault.ANSWER_NOT_COVERED})
    assert all(str(said) in finding.message for finding in verification.findings)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "  ",
        ",",
        f"{ADAPTER},",
        f"{ADAPTER} {OTHER}",
        f"none,{ADAPTER}",
        "None",
        ADAPTER.upper(),
        OTHER.replace("0", "A"),
        ADAPTER[:20],
        f"{OTHER}0",
        f"sha512:{OTHER}",
        f"req_{OTHER[:24]}",
    ],
)
def test_what_no_answer_says_is_no_header(header: str) -> None:
    with pytest.raises(Malformed, match="64 lower-case hex digits"):
        applied(header)


def test_another_envelope_around_the_same_statement_is_no_certificate(made: File) -> None:
    file = copy.deepcopy(made)
    payload = base64.b64decode(file["envelopes"][0]["payload"])
    file["envelopes"][0] = sign(payload, "application/json", key())
    assert Fault.ENVELOPE_MISSING in faults(checked(file))


def test_gates_are_the_operators_to_set() -> None:
    gates = Gates(max_leak=0.5, max_family_leak=0.2, min_kept=0.1, min_neighbours=0.1, min_recall=0.5)
    policy, service = Policy(gates=gates), Service()
    found = samples.evaluation(policy=policy)
    judged = judge(found, samples.report().claim.level, policy)
    report = service.report(
        found=found,
        policy=Judged.by(policy),
        verdict=judged.verdict,
        reasons=judged.reasons,
        limits=judged.limits,
    )
    assert checked(service.file(report), service.keys).findings == ()


ODD: tuple[Any, ...] = (None, [], {}, "", "0", -1, 2**53 - 1, 1e308, True, [[]], {"sha256": []})


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(each, (*path, name))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_stands_in_a_file_is_found_and_raises_nothing(made: File, seed: int) -> None:
    """Signed by the service or not: odd values anywhere, in what is signed too."""
    drawn = random.Random(seed)

    def spoiled(whole: Any) -> None:
        path = drawn.choice([path for path in _places(whole) if path])
        inner = whole
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = drawn.choice([odd for odd in ODD if odd != inner[path[-1]]])

    file = copy.deepcopy(made)
    spoiled(file)
    assert not checked(file).sound, "found in the file"
    assert not checked(_signed_statements(lambda one, _: spoiled(one))).sound
