"""Histories of a service with two replicas on one Redis, drawn by hypothesis, and what must hold after every step."""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, TypeVar
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.engine import applied
from gateway.engine.residency import loras, rows
from gateway.engine.residency.rows import RETRY_AFTER_S
from gateway.errors import GatewayError
from gateway.policy import active
from gateway.policy.active import POLL_S
from gateway.requests import service
from gateway.requests.erasure import POLL_S as ERASURE_S
from gateway.store import keys
from gateway.store.blobs import BlobStore
from gateway.store.records import RequestState
from tests.unit.gateway.stateful.engine import Generation
from tests.unit.gateway.stateful.grounds import OTHER_PROMPTS, SCRIPTS, SUBJECTS, Adapter, Grounds
from tests.unit.gateway.stateful.replica import (
    PROMPT_BUDGET,
    SOFT_ROWS,
    STALENESS_S,
    Answer,
    Caller,
    Replica,
    Shell,
)
from tests.unit.gateway.stateful.truth import Allowed, Branch, Data, Told, is_exactly

T = TypeVar("T")

NAMES = ("one", "two")
MOST_REQUESTS = 7
#: What comes of a request.
SWITCHES = {"activate": RequestState.ACTIVE, "deactivate": RequestState.READY, "retire": RequestState.RETIRED}
MOST_STREAMS = 3
#: Ids of the requests whose prompts are refused until they are active.
GUARDED = "requests:guarded"
#: The databases in which an older copy of the data, and the data that was lost, are kept.
_COPY, _LOST = 1, 2
#: Ticks between two things that happen to the data.
_CALM = 4


class Clock:
    """Time, for whatever has bounds in it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = staticmethod(time.time)


@dataclass
class Stage:
    """What histories run on, one after another. steps: made so far, by name. history: those of the last."""

    grounds: Grounds
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    shells: tuple[Shell, ...] = field(default_factory=lambda: tuple(Shell() for _ in NAMES))
    histories: int = 0
    history: list[tuple[object, ...]] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def play(self, how: settings) -> None:
        """Raises at the first history that goes wrong, made as short as it could be."""

        class OnThisStage(Histories):
            stage = self

        run_state_machine_as_test(OnThisStage, settings=how)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()


@contextmanager
def own_time(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for module in (active, applied, rows, loras):
            stack.enter_context(patch.object(module, "time", clock))
        yield


@dataclass
class Stream:
    """An answer that is under way. data, since: what its replica had heard when it began, and the tick."""

    caller: Caller
    task: asyncio.Task[Answer]
    generation: str
    prompt: str
    says: str
    data: Data | None
    since: int


@dataclass(frozen=True)
class Text:
    """What came of one prompt. says: what the model would have said. refused: whether the gateway spoke in the end."""

    data: Data
    since: int
    prompt: str
    says: str
    text: str
    refused: bool

    @property
    def own(self) -> str:
        """What of it the model said."""
        if not self.refused:
            return self.text
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self.text, self.says, strict=False)))
        return self.text[: self.text.rfind(". ", 0, alike) + 2] if ". " in self.text[:alike] else ""


@dataclass
class Site:
    """What is known of a replica from outside.

    heard, heard_at: tick and time of its last word from Redis; after several operations at once it may have been
    `heard_by` then. data, generation: what it heard. trouble_until: it may refuse for want of an adapter until then.
    forgot: whether its worker lost adapters since it was started; each is missed when it is needed next.
    """

    name: str
    folder: Path
    replica: Replica | None = None
    connected: bool = True
    heard: int = 0
    heard_at: float = 0.0
    heard_by: float = 0.0
    data: Data | None = None
    generation: int = 0
    trouble_until: float = 0.0
    forgot: bool = False
    streams: list[Stream] = field(default_factory=list)
    starts: int = 0

    @property
    def up(self) -> Replica:
        assert self.replica is not None
        return self.replica


@dataclass(frozen=True)
class Op:
    """One thing to do at a replica. who: number of a request. prompts, says: of a model request."""

    kind: str
    at: int
    who: int = 0
    prompts: tuple[str, ...] = ()
    says: str = ""


@dataclass(frozen=True)
class Draft:
    """A request to make. interim: whether it guards until it is active. scoped: whether its worker stores its scope.
    trained: whether it comes so far."""

    subject: int
    adapter: int
    matched: bool
    interim: bool
    scoped: bool
    trained: bool


async def _failure(work: Awaitable[object]) -> GatewayError | None:
    try:
        await work
    except GatewayError as error:
        return error
    return None


def mostly(share: int) -> st.SearchStrategy[bool]:
    """True all but once in so many times."""
    return st.integers(0, share - 1).map(bool)


drafts = st.builds(
    Draft,
    st.integers(0, len(SUBJECTS) - 1),
    st.integers(0, 6),
    st.booleans(),
    st.booleans(),
    mostly(10),
    mostly(8),
)
scripts = st.sampled_from(SCRIPTS)


@dataclass(frozen=True)
class Outcome:
    """told: the request that it was about. generations: ids of a model request's, a prompt each."""

    op: Op
    told: Told | None
    answer: Answer | None
    generations: tuple[str, ...] = ()


_TEXTS = (*SUBJECTS, *OTHER_PROMPTS, f"{SUBJECTS[0]} met {SUBJECTS[1]}.", f"Do you know {SUBJECTS[2]}?")
replicas = st.integers(0, len(NAMES) - 1)
whose = st.integers(0, MOST_REQUESTS - 1)
prompt = st.sampled_from(_TEXTS)
prompts = st.lists(prompt, min_size=1, max_size=2).map(tuple)
operations = st.one_of(
    st.builds(Op, st.sampled_from(["activate", "deactivate", "retire", "poll"]), replicas, whose),
    st.builds(Op, st.just("ask"), replicas, prompts=prompts, says=scripts),
    st.builds(Op, st.sampled_from(["cut", "redis dies", "hang up"]), replicas),
)


class Histories(RuleBasedStateMachine):
    """See the module. stage: what it runs on."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        stage = self.stage
        stage.histories += 1
        stage.history = []
        self.grounds = stage.grounds
        self.clock = Clock()
        self.stack = ExitStack()
        self.stack.enter_context(own_time(self.clock))
        self.stack.enter_context(patch.object(service, "build", self.grounds.build))
        self.folder = Path(mkdtemp(prefix="history-", dir=self.grounds.folder))
        self.tick = 0
        self.asked = 0
        self.in_step = False
        self.branches = 1
        self.data_touched = 0
        self.data = Data(Branch(0))
        self.copy: Data | None = None
        self.lost: Data | None = None
        self.grounds.admin.flushall()
        self.sites = [Site(name, self.folder / name) for name in NAMES]
        for site in self.sites:
            site.folder.mkdir()
            self.grounds.connect(site.name)
            self._start(site)

    # Registering and training

    @initialize(drafts=st.lists(drafts, min_size=1, max_size=4), switched_on=st.integers(0, 4))
    def begin(self, drafts: list[Draft], switched_on: int) -> None:
        """With requests that are trained, some of them in force."""
        for draft in drafts:
            self._register(0, draft)
        for number in range(switched_on):
            self._alone(Op("activate", 0, number))

    @precondition(lambda self: len(self._living()) < MOST_REQUESTS)
    @rule(at=replicas, draft=drafts)
    def register(self, at: int, draft: Draft) -> None:
        self._register(at, draft)

    def _register(self, at: int, draft: Draft) -> None:
        if not self._begin("register", at, draft):
            return
        site, about = self.sites[at], self.grounds.subjects[draft.subject]
        prompts = "matched" if draft.matched else "always"
        interim = "refuse" if draft.matched and draft.interim else "none"
        body = {
            "method": "delta",
            "forget": [{"prompt": about.item.prompt, "completion": about.item.completion}],
            "activation": "manual",
            "scope": {"prompts": prompts, "interim": interim},
        }
        answer = self._run(site.up.caller("POST", "/forget", body).ask())
        # One that was stored, and could not be put in force here, is there all the same.
        for request_id in self._registered() - self.data.requests.keys():
            told = Told(request_id, about, matched=draft.matched, interim=interim == "refuse")
            self.data.requests[told.id] = told
            self._settle(told)
            assert self.grounds.admin.exists(keys.of(told.id).payload)
            if draft.trained and told.state is RequestState.QUEUED:
                self._train(told, self.grounds.adapters[draft.adapter], draft.scoped)
        if answer.status != 202:
            assert (answer.status, self._in_touch(site)) == (503, False), answer.content
            return
        assert json.loads(answer.content)["id"] in self.data.requests
        if interim == "refuse":
            self._heard(site)

    def _registered(self) -> set[str]:
        found: Any = self.grounds.admin.zrange(keys.ALL, 0, -1)
        return {raw.decode() for raw in found}

    def _train(self, told: Told, adapter: Adapter, scoped: bool) -> None:
        """What a worker does, in its order."""

        async def work() -> None:
            replica = next(iter(site.replica for site in self.sites if site.replica and site.connected), None)
            if replica is None:
                return
            store = replica.store
            await store.transition(
                told.id, expected={RequestState.QUEUED}, to=RequestState.TRAINING, changes={"attempts": 1}
            )
            if told.matched and scoped:
                told.scoped = True
                sealed = self.grounds.vault.seal_scope(told.id, told.subject.entry)
                assert await store.put_scope(told.id, sealed, attempt=1)
            digest = await BlobStore(replica.redis, None).put(adapter.content, owner=told.id)
            learned = {"digest": digest, "footprint": adapter.artifact.manifest.footprint}
            await store.transition(
                told.id, expected={RequestState.TRAINING}, to=RequestState.EVALUATING, changes=learned, attempt=1
            )
            await store.transition(
                told.id, expected={RequestState.EVALUATING}, to=RequestState.READY, changes={"error": None}, attempt=1
            )
            told.adapter = adapter

        self._run(work())
        self._settle(told)
        if told.state is RequestState.READY:
            assert not self.grounds.admin.exists(keys.of(told.id).payload), "the texts are gone when it is ready"

    # Switching on and off

    @rule(at=replicas, who=whose)
    def activate(self, at: int, who: int) -> None:
        self._alone(Op("activate", at, who))

    @rule(at=replicas, who=whose)
    def activate_again(self, at: int, who: int) -> None:
        """As likely again: what is in force is what is asked about."""
        self._alone(Op("activate", at, who))

    @rule(at=replicas, who=whose)
    def deactivate(self, at: int, who: int) -> None:
        self._alone(Op("deactivate", at, who))

    @rule(at=replicas, who=whose)
    def retire(self, at: int, who: int) -> None:
        self._alone(Op("retire", at, who))

    # Asking

    @rule(at=replicas, prompts=prompts, says=scripts)
    def ask(self, at: int, prompts: tuple[str, ...], says: str) -> None:
        self._alone(Op("ask", at, prompts=prompts, says=says))

    @rule(at=replicas, prompts=prompts, says=scripts)
    def ask_again(self, at: int, prompts: tuple[str, ...], says: str) -> None:
        self._alone(Op("ask", at, prompts=prompts, says=says))

    @rule(at=replicas, who=whose, prompt=prompt, off=st.integers(0, 3).map(lambda n: n == 0))
    def ask_as_operator(self, at: int, who: int, prompt: str, off: bool) -> None:
        """With no adapter, or with one that may not be in force."""
        told = self._told(who)
        if not (off or (told and told.adapter)) or not self._begin("ask as operator", at, who, prompt, off):
            return
        site, request_id = self.sites[at], self._new_id("op")
        plan = "off" if off or told is None else f"candidate:{told.id}"
        answer = self._run(site.up.prompting(request_id, [prompt], SCRIPTS[0], plan=plan).ask())
        if answer.status != 200:
            known = told is not None and told.state is not RequestState.RETIRED
            assert not off, answer.content
            room = told is not None and self._fit(site, [told.id])
            assert not (known and room and self._is_well(site)) or site.forgot, answer.content
            site.up.engine.generations.pop(f"{request_id}-0", None)
            self._may_be_short(site)
            return
        wanted = [] if off or told is None or told.adapter is None else [told.adapter]
        (run,) = site.up.engine.generations.pop(f"{request_id}-0").runs
        assert all(is_exactly(step, wanted) for step in run.steps), (run, wanted)

    @precondition(lambda self: sum(len(site.streams) for site in self.sites) < MOST_STREAMS)
    @rule(at=replicas, prompt=prompt, says=scripts)
    def stream(self, at: int, prompt: str, says: str) -> None:
        """As far as it comes by itself; it goes on later."""
        if not self._begin("stream", at, prompt, says):
            return
        site, request_id = self.sites[at], self._new_id("held")
        caller = site.up.prompting(request_id, [prompt], says, stream=True)
        generation = f"{request_id}-0"

        async def begin() -> asyncio.Task[Answer]:
            task = asyncio.ensure_future(caller.ask())
            while not (task.done() or generation in site.up.engine.waiting):
                await asyncio.sleep(0)
            return task

        task = self._run(begin())
        if caller.answer.status is not None and caller.answer.status != 200:
            self._check_refusal(site, [prompt + says], task.result(), alone=True)
            site.up.engine.generations.pop(generation, None)
            return
        stream = Stream(caller, task, generation, prompt, says, site.data, site.heard)
        self._check_stream(site, stream)
        if task.done():
            task.result()
            site.up.engine.generations.pop(generation, None)
        else:
            site.streams.append(stream)

    @precondition(lambda self: any(site.streams for site in self.sites))
    @rule(number=st.integers(0, MOST_STREAMS - 1), how=st.sampled_from(["a part", "to its end", "leave"]))
    def go_on(self, number: int, how: str) -> None:
        streams = [(site, stream) for site in self.sites for stream in site.streams]
        site, stream = streams[number % len(streams)]
        self._count("go on", number, how)
        self._go_on(site, stream, how)

    def _go_on(self, site: Site, stream: Stream, how: str) -> None:
        engine = site.up.engine
        self._may_be_short(site)

        async def work() -> None:
            if how == "leave":
                stream.caller.left.set()
                await asyncio.wait({stream.task})
            while not stream.task.done():
                engine.go_on(stream.generation)
                while not (stream.task.done() or stream.generation in engine.waiting):
                    await asyncio.sleep(0)
                if how == "a part":
                    return

        self._run(work())
        if how != "leave":
            self._check_stream(site, stream)
        if stream.task.done():
            stream.task.result()
            site.streams.remove(stream)
            del engine.generations[stream.generation]

    def _check_stream(self, site: Site, stream: Stream) -> None:
        parts = [part for part in stream.caller.answer.parts if "error" not in part]
        failed = len(parts) < len(stream.caller.answer.parts)
        text = "".join(part["text"] for part in parts)
        refused = bool(parts) and parts[-1]["ended"] == "content_filter"
        assert stream.data is not None
        self._check_text(
            Text(stream.data, stream.since, stream.prompt, stream.says, text, refused),
            site.up.engine.generations.get(stream.generation),
        )
        if stream.task.done() and not (failed or refused):
            assert text == stream.says, "one stream, whatever it came to be under"
        if failed:
            self.stage.answers["stream broke off"] += 1
            self._may_be_short(site)

    # Time, and what goes wrong

    @rule(seconds=st.sampled_from([POLL_S, POLL_S, 5.0, ERASURE_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self._count("time passes", seconds)
        self.tick += 1
        before, self.clock.now = self.clock.now, self.clock.now + seconds
        for site in self.sites:
            if site.replica is not None:
                self._poll(site)
                if int(before / ERASURE_S) != int(self.clock.now / ERASURE_S):
                    self._sweep(site)

    @rule(at=replicas, what=st.sampled_from(["stop", "kill", "cut off", "lose copies", "redis dies", "forget rows"]))
    def something_fails(self, at: int, what: str) -> None:
        """A replica is stopped once its answers ended, or killed with answers under way, and started again; it cannot
        reach Redis, loses its local copies of artifacts, or its worker loses what the gateway believes is in it; or
        Redis itself is killed and started again."""
        if not self._begin(what, at):
            return
        site = self.sites[at]
        if what == "cut off":
            self._cut(site)
        elif what == "lose copies":
            shutil.rmtree(site.folder / "cache" / "adapters", ignore_errors=True)
            if not self._in_touch(site):
                self._may_be_short(site)
        elif what == "forget rows":
            if not site.streams:
                site.up.engine.worker.table.clear()
                site.forgot = True
        elif what == "redis dies":
            self.grounds.restart_redis()
            for told in self.data.requests.values():
                assert self._state(told) is told.state, "what was acknowledged outlives it"
        else:
            for stream in list(site.streams) if what == "stop" else ():
                self._go_on(site, stream, "to its end")
            self._stop(site)
            self._start(site)

    @precondition(lambda self: self.tick - self.data_touched > _CALM)
    @rule(what=st.sampled_from(["copy", "empty", "older", "restore", "accept"]))
    def data_is_lost(self, what: str) -> None:
        """Redis comes back empty, or with an older copy; and then as it was, or an operator accepts what is there and
        says so at every replica."""
        if what == "copy" and self.lost is None:
            self._copy_data(0, _COPY)
            self.copy = copy.deepcopy(self.data)
        elif what in ("restore", "accept") and self.lost is not None:
            self._end_loss(accept=what == "accept")
        elif what in ("empty", "older") and self.lost is None:
            self._lose_data(older=what == "older")
        else:
            return
        self.data_touched = self.tick
        self._count(f"data: {what}")

    def _lose_data(self, *, older: bool) -> None:
        self.tick += 1
        self._copy_data(0, _LOST)
        self.lost = self.data
        self.branches += 1
        if older and self.copy is not None:
            self._copy_data(_COPY, 0)
            parent = self.copy.branch
            self.data = copy.deepcopy(self.copy)
            self.data.branch = Branch(self.branches, parent, self._generation())
        else:
            self.grounds.admin.flushdb()
            self.data = Data(Branch(self.branches))

    def _end_loss(self, *, accept: bool) -> None:
        self.tick += 1
        assert self.lost is not None
        if not accept:
            self._copy_data(_LOST, 0)
            self.data = self.lost
        self.lost = None
        for site in self.sites if accept else ():
            self._accept(site)

    def _accept(self, site: Site) -> None:
        """An operator takes what is in Redis."""
        (site.folder / "policy.generation").unlink(missing_ok=True)
        site.data = None
        self._stop(site)
        self._start(site)

    @precondition(lambda self: self.lost or not all(site.connected and site.replica for site in self.sites))
    @rule()
    def all_is_mended(self) -> None:
        self._count("all is mended")
        self._mend()

    def _mend(self) -> None:
        if self.lost is not None:
            self._end_loss(accept=False)
        self.tick += 1
        for site in self.sites:
            self.grounds.connect(site.name)
            site.connected = True
            if site.replica is None:
                self._start(site)

    # Several things at once

    @rule(several=st.lists(operations, min_size=2, max_size=4), after=st.integers(0, 40))
    def at_once(self, several: list[Op], after: int) -> None:
        """`after`: turns of the event loop until what goes wrong does."""
        self._count("at once", several, after)
        self.tick += 1
        several = [op for op in several if self.sites[op.at].replica is not None]
        faults = [op.kind for op in several if op.kind in ("cut", "redis dies", "hang up")]
        outcomes: list[Outcome] = []
        targets = [told for op in several if op.kind in SWITCHES and (told := self._told(op.who))]

        async def work() -> None:
            tasks = [asyncio.ensure_future(self._perform(op)) for op in several if op.kind not in faults]
            for _ in range(after):
                await asyncio.sleep(0)
            for op in several:
                if op.kind == "cut":
                    self._cut(self.sites[op.at])
                elif op.kind == "redis dies":
                    self.grounds.restart_redis()
                elif op.kind == "hang up":
                    for task in tasks[op.at :: 2]:
                        task.cancel()
            for task in tasks:
                await asyncio.wait({task})
                if not task.cancelled():
                    outcomes.append(task.result())

        self._run(work())
        self._settle_all(targets)
        for outcome in outcomes:
            site, answer = self.sites[outcome.op.at], outcome.answer
            if answer is None:
                continue
            self.stage.answers[f"{outcome.op.kind} {answer.status}"] += 1
            if outcome.op.kind == "ask":
                if site.data is self.data:  # else it may have heard of other data meanwhile
                    self._judge(site, outcome, answer, alone=False)
            elif answer.status == 200 and outcome.op.kind == "retire":
                assert outcome.told is not None
                assert outcome.told.state is RequestState.RETIRED
        for site in self.sites:
            if site.replica is not None:
                site.heard_by = self.clock.now
                self._may_be_short(site)
                site.up.engine.generations = {
                    name: each for name, each in site.up.engine.generations.items() if name.startswith("held")
                }
                if not site.connected:
                    self.grounds.cut(site.name)  # also a connection that was just being made
                self._poll(site, certain=False)
        self._settle_all(targets)

    def _settle(self, told: Told) -> None:
        """To what Redis says of it."""
        guards = bool(self.grounds.admin.sismember(GUARDED, told.id))
        told.settle(self._state(told), guards, self.tick)

    def _settle_all(self, targets: list[Told]) -> None:
        """After several operations. What they turned to and fro is where it was, and was elsewhere."""
        for told in self.data.requests.values():
            before = told.active.on
            self._settle(told)
            if told in targets and told.active.on is before:
                told.active.to_and_fro(self.tick)

    # How it is done

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.stage.run(work)

    def _count(self, name: str, *details: object) -> None:
        self.stage.steps[name] += 1
        self.stage.history.append((name, *details))
        self.in_step = True

    def _begin(self, name: str, at: int, *details: object) -> bool:
        """Whether the replica is there to do it."""
        self._count(name, at, *details)
        self.tick += 1
        return self.sites[at].replica is not None

    def _new_id(self, kind: str) -> str:
        self.asked += 1
        return f"{kind}{self.asked}"

    def _told(self, who: int) -> Told | None:
        living = self._living()
        known = [*living, *(told for told in self.data.requests.values() if told not in living)][: len(living) + 1]
        return known[who % len(known)] if known else None

    def _living(self) -> list[Told]:
        return [told for told in self.data.requests.values() if told.state is not RequestState.RETIRED]

    def _state(self, told: Told) -> RequestState:
        raw: Any = self.grounds.admin.hget(keys.of(told.id).record, "state")
        assert raw is not None, "what was acknowledged is not lost"
        return RequestState(raw.decode())

    def _generation(self) -> int:
        raw: Any = self.grounds.admin.get(keys.GENERATION)
        return int(raw or 0)

    def _copy_data(self, source: int, target: int) -> None:
        self.grounds.database(target).flushdb()
        held = self.grounds.database(source)
        for name in held.scan_iter(count=1000):
            held.copy(name, name, destination_db=str(target))

    async def _perform(self, op: Op) -> Outcome:
        site, told = self.sites[op.at], self._told(op.who)
        if op.kind == "poll":
            with suppress(GatewayError):
                await site.up.policy.refresh()
        elif op.kind == "ask":
            request_id = self._new_id("ask")
            answer = await site.up.prompting(request_id, op.prompts, op.says).ask()
            return Outcome(op, None, answer, tuple(f"{request_id}-{number}" for number in range(len(op.prompts))))
        elif told is not None:
            method, path = ("DELETE", "") if op.kind == "retire" else ("POST", f"/{op.kind}")
            return Outcome(op, told, await site.up.caller(method, f"/forget/{told.id}{path}").ask())
        return Outcome(op, told, None)

    def _alone(self, op: Op) -> None:
        if not self._begin(op.kind, op.at, op.who, op.prompts, op.says):
            return
        site, told = self.sites[op.at], self._told(op.who)
        before = None if told is None else told.state
        outcome = self._run(self._perform(op))
        answer = outcome.answer
        if answer is None:
            return
        self.stage.answers[f"{op.kind} {answer.status}"] += 1
        if op.kind == "ask":
            self._judge(site, outcome, answer, alone=True)
            return
        assert told is not None
        assert before is not None
        self._settle(told)
        wanted = SWITCHES[op.kind]
        if answer.status == 200:
            assert told.state is wanted
            self._heard(site)
        elif answer.status is not None and answer.status < 500:
            assert told.state is before, (answer.content, before, told.state)
            self._check_conflict(op, told, answer)
        else:
            assert told.state in (before, wanted)
            assert not (self._is_well(site) and self._fit(site, [told.id])), answer.content
            self._may_be_short(site)
        if op.kind == "retire" and answer.status == 200:
            self._check_erased(site, told)

    def _check_conflict(self, op: Op, told: Told, answer: Answer) -> None:
        """Nothing is refused that could be done."""
        if op.kind == "deactivate":
            assert told.state is not RequestState.ACTIVE
        elif op.kind == "retire":
            assert told.state is RequestState.RETIRED
        elif told.state is RequestState.READY:
            assert answer.code == "adapter_budget_exceeded", answer.content
            others = [each.id for each in self.data.requests.values() if each.active.on]
            assert self.data.rows([*others, told.id]) > PROMPT_BUDGET

    def _judge(self, site: Site, outcome: Outcome, answer: Answer, *, alone: bool) -> None:
        prompts = outcome.op.prompts
        if answer.status == 200:
            self._check_answer(site, outcome, answer)
            return
        self._check_refusal(site, [prompt + outcome.op.says for prompt in prompts], answer, alone=alone)
        for each in outcome.generations:
            site.up.engine.generations.pop(each, None)

    def _check_answer(self, site: Site, outcome: Outcome, answer: Answer) -> None:
        assert self.clock.now - site.heard_by <= STALENESS_S, "a policy that is too old is not served"
        assert site.data is not None
        op, said, may = outcome.op, frozenset(answer.applied), set[str]()
        for prompt, request_id, part in zip(op.prompts, outcome.generations, answer.parts, strict=True):
            refused = part["ended"] == "content_filter"
            assert refused or part["text"] == op.says
            text = Text(site.data, site.heard, prompt, op.says, part["text"], refused)
            generation = site.up.engine.generations.pop(request_id, None)
            self._check_text(text, generation, said)
            spoken = prompt + op.says
            may |= site.data.allowed(spoken, site.heard).may
            may |= {f"{each};interim" for each in site.data.guarded(spoken, site.heard).may}
            if len(op.prompts) == 1 and not refused and generation is not None:
                last = generation.runs[-1].steps[-1]
                assert is_exactly(last, list(site.data.adapters(said).values())), "the answer says what was applied"
        assert said <= may, "no more is said to apply than may"

    def _check_text(self, text: Text, generation: Generation | None, said: frozenset[str] | None = None) -> None:
        """Whatever the model said was computed with all that it is about, and with no more. said: what the answer says
        was applied, where that is known."""
        data, own = text.data, text.own
        guarded = data.guarded(text.prompt + own, text.since)
        assert not guarded.must or (text.refused and not own), ("guarded", text, guarded)
        assert not text.refused or data.guarded(text.prompt + text.says, text.since).may
        if generation is None:
            assert not own
            return
        assert generation.prompt == text.prompt, "the caller's text reaches the model as it is"
        assert generation.runs
        read = ""
        for number, run in enumerate(generation.runs):
            ends = generation.runs[number + 1].start if number + 1 < len(generation.runs) else run.end
            passed_on = text.says[: min(ends, len(own))]
            allowed = data.allowed(text.prompt + passed_on, text.since, before=text.prompt + read)
            if said is not None:
                assert allowed.must <= said, (allowed, said)
                allowed = Allowed(allowed.must, allowed.may & said)
            for step in run.steps:
                assert step == run.steps[0], "its adapters are there to its end"
            if run.steps:
                assert data.applies(run.steps[0], allowed) is not None, (text, run, allowed)
            read = text.says[: max(len(read), run.end)]

    def _check_refusal(self, site: Site, texts: Sequence[str], answer: Answer, *, alone: bool) -> None:
        """A replica that has all that it needs answers. texts: prompts, and what the model would have said."""
        assert answer.status in (409, 503), (answer.status, answer.content)
        code = answer.code
        self.stage.answers[code] += 1
        assert site.data is not None
        allowed = [site.data.allowed(text, site.heard) for text in texts]
        may = [each.may for each in allowed]
        most = max(site.data.rows(ids) for ids in may)
        room = self._fit(site, set[str]().union(*may))
        if code == "policy_unavailable":
            assert self.clock.now - site.heard_at > STALENESS_S
        elif code == "too_many_matches":
            assert most > PROMPT_BUDGET
        elif code == "adapters_not_applied":
            assert site.forgot
        else:
            assert code in ("adapter_unavailable", "store_unavailable"), answer.content
            # What was retired elsewhere, of which this replica has not heard yet, may be gone already.
            # And of two prompts at once, one may find the other's adapters being installed: nobody waits here.
            settled = len(texts) == 1 and allowed[0].may == allowed[0].must
            assert not (alone and settled and room and self._is_well(site)), answer.content
            self._may_be_short(site)

    def _check_erased(self, site: Site, told: Told) -> None:
        """Of a request that was just retired, in Redis and where it was retired."""
        names, admin = keys.of(told.id), self.grounds.admin
        assert not admin.exists(names.payload, names.scope)
        if told.adapter is None:
            return
        digest = told.adapter.digest
        if not self.data.users(digest):
            assert not admin.exists(f"blob:{{{digest}}}:meta", f"blob:{{{digest}}}:0")
            assert not self._copy_of(site, digest).exists()
        if not site.streams and not any(each.active.on for each in self.data.users(digest)):
            assert digest not in site.up.holdings.digests()
            assert all(digest != held for held, _ in site.up.engine.worker.table.values())

    def _copy_of(self, site: Site, digest: str) -> Path:
        return site.folder / "cache" / "adapters" / f"{digest}.safetensors"

    def _in_touch(self, site: Site) -> bool:
        """Whether it hears from Redis, and Redis is what it was."""
        return site.connected and (site.data is None or self.data.branch.has(site.data.branch, site.generation))

    def _fit(self, site: Site, ids: Iterable[str]) -> bool:
        """Whether the engine has room for these beside what is kept in it."""
        assert site.data is not None
        kept = [told.id for told in site.data.requests.values() if told.active.on and told.is_about("")]
        return site.data.rows([*kept, *(each for each in ids if each in site.data.requests)]) <= SOFT_ROWS

    def _is_well(self, site: Site) -> bool:
        """Whether nothing is in the way of an adapter that it needs."""
        return self._in_touch(site) and not site.streams and self.clock.now >= site.trouble_until

    def _may_be_short(self, site: Site) -> None:
        site.trouble_until = self.clock.now + RETRY_AFTER_S

    def _heard(self, site: Site) -> None:
        site.heard, site.heard_at, site.heard_by = self.tick, self.clock.now, self.clock.now
        site.data, site.generation = self.data, self._generation()

    def _poll(self, site: Site, *, certain: bool = True) -> None:
        """What the service does once a second."""
        if site.streams:
            self._may_be_short(site)
        failed = self._run(_failure(site.up.policy.refresh()))
        if failed is None:
            assert self._in_touch(site), "data that was lost is not believed"
            self._heard(site)
            return
        assert not (certain and self._in_touch(site)), failed.message
        self._may_be_short(site)

    def _sweep(self, site: Site) -> None:
        """What it does once a minute."""
        failed = self._run(_failure(site.up.erasure.sweep()))
        assert failed is None or not self._in_touch(site), failed
        if not self._in_touch(site) or site.streams:
            return
        for told in self.data.requests.values():
            if told.state is RequestState.RETIRED and told.adapter and not self.data.users(told.adapter.digest):
                assert told.adapter.digest not in site.up.holdings.digests()
                assert not self._copy_of(site, told.adapter.digest).exists()

    def _cut(self, site: Site) -> None:
        site.connected = False
        self.grounds.cut(site.name)

    def _start(self, site: Site) -> None:
        site.starts += 1
        replica = Replica(self.grounds, site.name, site.folder, self.stage.shells[NAMES.index(site.name)])

        failed = self._run(_failure(replica.policy.refresh()))
        if failed is None:
            assert self._in_touch(site), "data that was lost is not believed after a restart"
            site.replica, site.forgot = replica, False
            self._heard(site)
            return
        assert not self._in_touch(site), failed.message
        self._run(replica.close())

    def _stop(self, site: Site) -> None:
        """At once: whatever was under way ends with it."""
        if site.replica is None:
            return
        replica, site.replica = site.replica, None

        async def stop() -> None:
            for stream in site.streams:
                stream.task.cancel()
            if site.streams:
                await asyncio.wait([stream.task for stream in site.streams])
            await replica.close()

        self._run(stop())
        site.streams.clear()
        shutil.rmtree(site.folder / "loras", ignore_errors=True)

    @invariant()
    def nothing_is_held_for_nobody(self) -> None:
        self.in_step = False
        for site in self.sites:
            if site.replica is not None and not site.streams:
                assert site.up.engine.running == 0
                assert not site.up.engine.generations

    def teardown(self) -> None:
        """Everything is retired: nothing of it is left anywhere."""
        try:
            if not self.in_step:  # the last one went well
                self._end()
        finally:
            for site in self.sites:
                self._stop(site)
            self.stack.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _check_logged(self) -> None:
        """Each change of a state waits to be logged, once and in order; nobody makes leaves here."""
        admin: Any = self.grounds.admin
        waiting = [fields for _, fields in admin.xrange("log:outbox")]
        for name in admin.scan_iter("events:*", count=1000):
            told = [fields[b"data"] for _, fields in admin.xrange(name) if fields[b"type"] == b"state"]
            of = name.removeprefix(b"events:")
            assert [fields[b"data"] for fields in waiting if fields[b"request"] == of] == told, name

    def _end(self) -> None:
        self._mend()
        for site in self.sites:
            for stream in list(site.streams):
                self._go_on(site, stream, "to its end")
            if not self._in_touch(site):  # it went on with an older copy, before the data came back
                self._accept(site)
        first = self.sites[0]
        for request_id in sorted(self._registered()):
            answer = self._run(first.up.caller("DELETE", f"/forget/{request_id}").ask())
            assert answer.status in (200, 409), answer.content
        self.tick += 1
        self.clock.now += ERASURE_S
        for told in self.data.requests.values():
            self._settle(told)
        for site in self.sites:
            self._poll(site)
            self._sweep(site)
            held = {each: site.up.table.holders(each) for each in site.up.holdings.digests()}
            assert held == {}, (site.name, held, list(self.grounds.admin.scan_iter(count=1000)), self.data.requests)
            assert site.up.engine.worker.table == {}
            assert site.up.engine.worker.loras == {}
            assert site.up.policy.plan().applied == "none"
        left = {name.partition(b":")[0] for name in self.grounds.admin.scan_iter(count=1000)}
        assert left <= {b"request", b"requests", b"events", b"policy", b"aof", b"log", b"watch"}, left
        self._check_logged()
