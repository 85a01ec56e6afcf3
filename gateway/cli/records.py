"""How a request is shown: a line of a table, or everything there is to know about it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from gateway.access.api_key import GLOBAL_TENANT
from gateway.store.records import Otherwise, Prompts

_STYLES = {
    "active": "green",
    "ready": "cyan",
    "drafted": "yellow",
    "failed": "red",
    "rejected": "red",
    "retired": "dim",
}
_VERDICTS = {
    "nothing_known": "nothing of it was known before",
    "inconclusive": "too few attacks brought it out before to tell",
}
#: The phase of progress reports about rounds of attacks (`adapters.training.red_team`, which imports torch).
ATTACKING = "attacking"
Record = Mapping[str, Any]


def table(records: Iterable[Record]) -> Table:
    """Requests, one a row."""
    columns = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "state", "method", "subject", "items", "rows", "age"):
        columns.add_column(name, no_wrap=name in ("id", "state"))
    for record in records:
        columns.add_row(
            record["id"],
            styled_state(record["state"]),
            record["method"],
            _plain(record.get("subject")),
            str(record["forget_count"]),
            str(record["footprint"]["rows"] or ""),
            duration(time.time() - record["created_at"]),
        )
    return columns


def card(record: Record) -> Table:
    """One request, field by field."""
    fields = Table(box=None, show_header=False, pad_edge=False)
    fields.add_column(style="bold")
    fields.add_column(overflow="fold")
    for name, value in _fields(record):
        if value:
            fields.add_row(name, value if name == "state" else _plain(value))
    return fields


def _fields(record: Record) -> Iterable[tuple[str, str]]:
    yield "id", record["id"]
    yield "state", styled_state(record["state"])
    yield "subject", record.get("subject") or ""
    yield "tenant", "" if record["tenant"] == GLOBAL_TENANT else record["tenant"]
    yield "method", record["method"]
    yield "config", ", ".join(f"{key}={value}" for key, value in (record.get("config") or {}).items())
    yield "model", record.get("model") or ""
    to_forget = record["forget_count"] or "what the model knows"  # of the subject: it has not been asked yet
    yield "items", f"{to_forget} to forget, {record['retain_count'] or 'a made set'} to retain"
    yield "given", "; ".join(_given(name, each) for name, each in (record.get("intake") or {}).items() if each["items"])
    yield "level", record.get("level") or ""
    yield "effort", record.get("effort") or ""
    yield "estimate", estimate_line(record)
    yield "language", record.get("language") or ""
    yield "activation", record.get("activation") or ""
    yield "scope", _scope(record.get("scope") or {})
    yield "interim", _guard(record)
    yield "progress", progress_line(record["progress"]) if record.get("progress") else ""
    yield "evidence", evidence_line(record["evidence"]) if record.get("evidence") else ""
    yield "attacks", attacks_line((record.get("evidence") or {}).get("attacks") or {})
    yield "report", report_line(record["report"]) if record.get("report") else ""
    yield "not judged", ", ".join((record.get("evidence") or {}).get("inconclusive") or ()).replace("_", " ")
    yield "interference", "\n".join(note["message"] for note in record.get("interference") or ())
    yield "error", error_line(record["error"]) if record.get("error") else ""
    yield "adapter", _adapter(record)
    yield "attempts", str(record.get("attempts") or "")
    yield "timings", ", ".join(f"{_phase(k)} {duration(v)}" for k, v in (record.get("timings") or {}).items())
    yield "phases", phases_line(record.get("phases") or {})


def phases_line(phases: Mapping[str, Mapping[str, float]]) -> str:
    """`data 9s (rewording 4s, retain 5s), states 6s`; parts are named where a phase has several."""
    said = []
    for phase, parts in phases.items():
        line = f"{phase} {duration(sum(parts.values()))}"
        if len(parts) > 1:
            line += f" ({', '.join(f'{part} {duration(seconds)}' for part, seconds in parts.items())})"
        said.append(line)
    return ", ".join(said)


def progress_line(progress: Record) -> str:
    """`training 12/90, loss 1.234, 40s left`; of rounds of attacks, `red team 64/120, round 1: 5 of 64 leak`."""
    phase, step, steps = progress.get("phase", ""), progress.get("step", 0), progress.get("steps", 0)
    metrics = progress.get("metrics") or {}
    if phase == ATTACKING and not steps:
        return "red team, left out: the model does not fit the device"
    parts = [f"{phase_name(phase)} {step}/{steps}"]
    if phase == ATTACKING:
        parts.append(f"round {metrics['round']:.0f}: {metrics['leaks']:.0f} of {step} leak")
    if progress.get("loss") is not None:
        parts.append(f"loss {progress['loss']:.3f}")
    if progress.get("eta_s") is not None:
        parts.append(f"{duration(progress['eta_s'])} left")
    return ", ".join(parts)


def phase_name(phase: str) -> str:
    """What a phase of a progress report is called in words."""
    return "red team" if phase == ATTACKING else phase


def evidence_line(evidence: Record) -> str:
    """The rates, in words."""
    forget, controls = evidence.get("forget", {}), evidence.get("controls", {})
    pooled, beside = evidence.get("pooled") or {}, evidence.get("neighbours") or {}
    parts = []
    if forget.get("n"):
        before, after = forget["leak_rate_before"], forget["leak_rate_after"]
        parts.append(f"{forget['n']} forget prompts leaked {before:.0%} of the time before, {after:.0%} after")
    if pooled.get("known"):
        parts.append(f"{pooled['leaked']} of {pooled['known']} attacks that brought it out before still do")
    if controls.get("n"):
        parts.append(f"{controls['kept_rate']:.0%} of {controls['n']} control answers kept")
    if beside.get("n"):
        parts.append(f"{beside['kept']} of {beside['n']} neighbours kept")
    if scope := evidence.get("scope"):
        parts.append(f"its scope catches {scope['caught']} of {scope['n']} prompts that bring it out{_missed(scope)}")
    met = evidence.get("interference") or {}
    if met.get("n"):
        parts.append(f"{met['lost']} of {met['n']} probes leak beside the requests it meets and not alone")
    if evidence.get("interim"):
        parts.append("measured without the filter that refuses its prompts until it is active")
    if evidence.get("verdict") in _VERDICTS:
        parts.append(_VERDICTS[evidence["verdict"]])
    return "; ".join(parts)


def _missed(scope: Record) -> str:
    if scope["applies"]:
        return ""
    rejected = scope.get("otherwise") == Otherwise.REJECT
    return ", too few, so that " + ("it is rejected" if rejected else "it applies to every prompt")


def report_line(report: Record) -> str:
    """`PASS, tier standard, valid until 2027-02-25T08:00:00Z`, and what has changed since."""
    since = f"; stale: {', '.join(report['stale'])}" if report["stale"] else ""
    return f"{report['verdict']}, tier {report['tier']}, valid until {report['valid_until']}{since}"


def attacks_line(attacks: Mapping[str, Record]) -> str:
    """`prefill 8 of 12, choice 3 of 9`: of the attacks that worked before, those that still do."""
    return ", ".join(
        f"{family.replace('_', ' ')} {numbers['leaked']} of {numbers['known']}"
        for family, numbers in attacks.items()
        if numbers["known"]
    )


def estimate_line(record: Record) -> str:
    """`about 2m10s, 1m05s of it evaluation, as requests like it took here`; empty where nobody had measured any."""
    whole, evaluation = record.get("estimate_s"), record.get("estimate_evaluation_s")
    if whole is None and evaluation is None:
        return ""
    whose = "as requests like it took here" if record["estimate_from"] == "this service" else "measured on two cores"
    if whole is None:
        return f"evaluation about {duration(evaluation or 0)}, {whose}"
    part = "" if evaluation is None else f", {duration(evaluation)} of it evaluation"
    return f"about {duration(whole)}{part}, {whose}"


def outcome_line(record: Record) -> str:
    """Where a request is, in words."""
    return f"{record['id']} is {record['state']}"


def losses(record: Record) -> list[str]:
    """What is said of it and the requests it meets, where together they do less than alone."""
    return [note["message"] for note in record.get("interference") or () if note["lost"]]


def error_line(error: Record) -> str:
    retryable = " (can be tried again)" if error.get("retryable") else ""
    return f"{error.get('message', 'no reason given')} [{error.get('code', 'unknown')}]{retryable}"


def duration(seconds: float) -> str:
    """`40s`, `3m20s`, `2h05m`, `3d`."""
    left = max(0, round(seconds))
    if left < 60:
        return f"{left}s"
    if left < 3600:
        return f"{left // 60}m{left % 60:02d}s"
    if left < 86_400:
        return f"{left // 3600}h{left % 3600 // 60:02d}m"
    return f"{left // 86_400}d"


def styled_state(state: str) -> str:
    style = _STYLES.get(state)
    return f"[{style}]{state}[/{style}]" if style else state


def _given(name: str, intake: Record) -> str:
    """`forget: 9 items, repeats: 2, ignored: messages.name`."""
    parts = [f"{name}: {intake['items']} items"]
    if intake["repeats"]:
        parts.append(f"repeats: {intake['repeats']}")
    if intake["ignored"]:
        parts.append(f"ignored: {', '.join(intake['ignored'])}")
    return ", ".join(parts)


def _scope(scope: Record) -> str:
    """`matched, otherwise reject`; empty where it applies to every prompt."""
    return f"matched, otherwise {scope['otherwise']}" if scope.get("prompts") == Prompts.MATCHED else ""


def _guard(record: Record) -> str:
    """What becomes of prompts that are about it before it is active; empty where nothing does."""
    if not record.get("guarded"):
        return ""
    left = "until it is retired" if record["state"] in ("failed", "rejected") else "until it is active or retired"
    return f"in force: prompts that are about it are refused {left}"


def _adapter(record: Record) -> str:
    if not record.get("digest"):
        return ""
    size = f", {record['artifact_bytes'] / 1024:.0f} KiB" if record.get("artifact_bytes") else ""
    return f"{record['footprint']['rows']} virtual tokens{size}, sha256 {record['digest'][:16]}…"


def _phase(name: str) -> str:
    return name.removesuffix("_s")


def _plain(text: str | None) -> str:
    """Text of a caller's, its square brackets kept from being read as markup."""
    return (text or "").replace("[", r"\[")
