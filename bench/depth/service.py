"""The same runs against a running service: a row is a request there, and is asked under its candidate plan.

Only this module of the package knows the gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from adapters.errors import AdapterError
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.rivals.registry import rivals
from adapters.evaluation.rivals.rival import Respondent
from adapters.evaluation.tofu.scoring import Heard
from adapters.examples import Message
from adapters.task import Ask
from bench.depth.cases import Case
from bench.depth.hearing import BenchModel
from bench.depth.rows import RETRAIN, Row
from bench.depth.runner import Line, Runner, Settings
from bench.tofu.questions import Question
from gateway.cli.context import CommandContext
from gateway.cli.following import follow
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient, candidate_plan

#: Questions at once.
_BATCH = 16


class RequestFailed(AdapterError):
    """The service could not train the row's request, or rejected what it trained."""


class ServiceRunner(Runner):
    """Runs of one service. It trains one request at a time, so its runs are one after another."""

    def __init__(self, settings: Settings, url: str) -> None:
        super().__init__(settings)
        self._client: UnlearnClient = CommandContext(url=url).client()

    @contextmanager
    def made(self, case: Case, row: Row) -> Iterator[tuple[BenchModel, Line]]:
        """As in this process; the request is retired in the end. Raises `RequestFailed`."""
        if row.name == RETRAIN:
            raise ValueError("a service has no retrained model")
        if row.method is None:
            plain = self._attacker(PLAN_OFF)
            if row.rival is not None:
                guard = rivals()[row.rival].around(Respondent(plain.respond, plain.score), case.forgotten)
                yield BenchModel(guard.respond, guard.score, _unheard), {"train_s": 0.0, "bytes": 0}
            else:
                yield BenchModel(plain.respond, plain.score, _unheard), {}
            return
        items = [item.to_dict() for item in case.forget]
        body = {"forget": items, "method": row.method, "config": dict(row.settings), "activation": "manual"}
        request = self._client.register(body)["id"]
        try:
            for _ in follow(self._client, request):
                pass
            record = self._client.show(request)
            if record["state"] != "ready":
                raise RequestFailed(f"the request is {record['state']}")
            attacker = self._attacker(candidate_plan(request))
            yield BenchModel(attacker.respond, attacker.score, _unheard), _made(record)
        finally:
            self._client.retire(request)

    def ask(self, case: Case) -> Ask:  # noqa: ARG002 -- a service has one model
        """The model before, greedily."""
        respond = self._attacker(PLAN_OFF).respond

        def asked(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
            queries = [Query(Prompt(tuple(messages)), max_tokens=max_tokens) for messages in conversations]
            return [text for (text,) in respond(queries)]

        return asked

    def _attacker(self, plan: str) -> Attacker:
        return Attacker(self._client, plan, _BATCH)


def _made(record: dict[str, Any]) -> Line:
    return {"train_s": round(record["timings"].get("training_s", 0.0), 1), "bytes": record["artifact_bytes"] or 0}


def _unheard(questions: Sequence[Question]) -> list[Heard]:
    raise NotImplementedError("a world's questions are asked of a service by bench.tofu.report")
