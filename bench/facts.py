"""Facts of the demo, each learnt once and asked twice: with its adapter alone, and with several active together.

    unlearn serve                  in another terminal
    python -m bench.facts --fact harry-potter --fact penicillin --together 2 [--config JSON] [--json FILE]

With `--subject NAME` the request names that subject and nothing else, and what the model knows of it is forgotten; the
facts are the questions to ask. In the end the first `--together` facts are active at once; of several counts
(`--together 2 3`) each is asked in turn. Counts are of what the model held before, as `unlearn demo` counts them. The
requests are retired afterwards, unless `--keep` leaves them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.cli.context import CommandContext
from gateway.cli.demo.facts import Fact, find_fact
from gateway.cli.demo.report import share
from gateway.cli.demo.story import BAD, Kind, Outcome, Row, ask_all, questions
from gateway.cli.following import follow
from gateway.client.client import PLAN_OFF, UnlearnClient, candidate_plan
from gateway.client.errors import ServiceRefused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fact", action="append", required=True)
    parser.add_argument("--together", type=int, nargs="+", default=[], help="facts active at once; several counts")
    parser.add_argument("--keep", action="store_true", help="leave the requests as they are in the end")
    parser.add_argument("--method", default="delta")
    parser.add_argument("--config", type=json.loads, default={})
    parser.add_argument("--subject", help="forget what the model knows of it, in place of the facts' own prompts")
    parser.add_argument("--json", type=Path, help="write every question with its answers there")
    options = parser.parse_args()
    facts = [find_fact(name) for name in options.fact]
    with CommandContext().client() as client:
        bodies = [body(fact, options.subject, options.method, options.config) for fact in facts]
        outcomes = measure(client, facts, bodies, together=options.together, keep=options.keep)
    if options.json:
        found = {when: [outcome.to_dict() for outcome in those] for when, those in outcomes.items()}
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def measure(
    client: UnlearnClient,
    facts: Sequence[Fact],
    bodies: Sequence[dict[str, Any]],
    *,
    together: Sequence[int] = (),
    keep: bool = False,
) -> dict[str, list[Outcome]]:
    """{"alone": …, "2 together": …}; prints a line a fact as it comes.

    bodies: each fact's request. together: how many of the facts, from the first, are active at once. keep: the requests
    stay; otherwise all are retired, also when this is interrupted.
    """
    before = {fact: ask_all(client, _prompts(fact), plan=PLAN_OFF) for fact in facts}
    outcomes: dict[str, list[Outcome]] = {"alone": []}
    records: dict[Fact, dict[str, Any]] = {}
    registered: list[str] = []
    try:
        for fact, wanted in zip(facts, bodies, strict=True):
            request_id = client.register({**wanted, "activation": "manual"})["id"]
            registered.append(request_id)
            records[fact] = _learnt(client, request_id)
            if records[fact]["state"] != "ready":
                print(f"alone: {fact.id}: {records[fact]['state']} {records[fact]['error']}", flush=True)
                outcomes["alone"].append(Outcome(fact, records[fact], ()))
                continue
            after = ask_all(client, _prompts(fact), plan=candidate_plan(request_id))
            outcomes["alone"].append(_outcome("alone", fact, records[fact], before[fact], after))
        active: set[Fact] = set()
        for count in sorted(set(together)):
            chosen = [fact for fact in facts[:count] if records[fact]["state"] == "ready"]
            try:
                for fact in chosen:
                    if fact not in active:
                        client.activate(records[fact]["id"])
            except ServiceRefused as refused:
                print(f"{len(chosen)} together: {refused}", flush=True)
                break
            active.update(chosen)
            when = f"{len(chosen)} together"
            outcomes[when] = []
            for fact in chosen:
                after = ask_all(client, _prompts(fact), plan=None)
                outcomes[when].append(_outcome(when, fact, records[fact], before[fact], after))
    finally:
        for request_id in [] if keep else registered:
            client.retire(request_id)
    return outcomes


def body(fact: Fact, subject: str | None, method: str, config: dict[str, Any]) -> dict[str, Any]:
    """A fact's request, or that of a subject and nothing else."""
    whole = fact.body(method, config)
    if subject is None:
        return whole
    del whole["forget"]
    return whole | {"subject": subject}


def _learnt(client: UnlearnClient, request_id: str) -> dict[str, Any]:
    """The record once it stays as it is; a draft of what the model knows is trained first, as it is."""
    for _ in follow(client, request_id):
        pass
    record = client.show(request_id)
    if record["state"] != "drafted":
        return record
    print(f"drafted: {record['forget_count']} items", flush=True)
    client.train(request_id)
    return _learnt(client, request_id)


def _prompts(fact: Fact) -> list[str]:
    return [question.prompt for question in questions(fact)]


def _outcome(when: str, fact: Fact, record: dict[str, Any], before: Sequence[str], after: Sequence[str]) -> Outcome:
    rows = tuple(Row(*parts) for parts in zip(questions(fact), before, after, strict=True))
    outcome = Outcome(fact, record, rows)
    seconds = record["timings"].get("training_s", 0.0)
    counts = [
        f"{name} {share(outcome, kinds)}"
        for name, kinds in (
            ("forget prompts", (Kind.FORGET,)),
            ("paraphrases", (Kind.PARAPHRASE,)),
            ("controls", (Kind.NEIGHBOUR, Kind.OTHER)),
        )
    ]
    print(f"{when}: {fact.id}: {', '.join(counts)}, training {seconds:.0f} s", flush=True)
    for row in rows:
        if row.verdict in BAD:
            print(f"    {row.verdict}: {row.question.prompt} {row.after[:90]!r}", flush=True)
    return outcome


if __name__ == "__main__":
    main()
