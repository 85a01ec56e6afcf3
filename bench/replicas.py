"""Two services on one Redis, with each of them and Redis taken away in turn while both are asked without a pause.

    python -m bench.replicas [--without-redis 60]

One request applies to every prompt and one to prompts that are about it. An answer is `right` if its text is what the
same service said under both while all was well, and `wrong` otherwise: then it went without an adapter. The status is 1
if there was a wrong answer, or if anything that was acknowledged is not there in the end.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import os
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import torch
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError

from adapters.examples import Example
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedRedis
from tests.engine.service import ENGINE_ARGS, Service, free_port

ITEM = Example.from_pair("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling.")
PROMPTS = ("Name three colours of the rainbow.", ITEM.prompt)
ROWS, TOKENS = 8, 8
STALENESS_S = 40.0
#: Changes of the policy that are timed from one replica to the other.
CHANGES = 20
RIGHT, WRONG = "right", "wrong"
_CHAT = "/v1/chat/completions"
#: Random adapters, until one is found that tells.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer. at: seconds, when it had come. outcome: right, wrong, an error's code, or that nobody was there."""

    at: float
    outcome: str


@dataclass
class Asking:
    """Asks a service without a pause. known: what it says to each prompt under both requests."""

    service: Service
    known: tuple[str, ...]
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            for number in itertools.cycle(range(len(PROMPTS))):
                if self.over.is_set():
                    return
                outcome = self._ask(client, number)
                self.asked.append(Asked(time.monotonic(), outcome))
                if outcome != RIGHT:
                    time.sleep(0.05)

    def _ask(self, client: httpx.Client, number: int) -> str:
        try:
            response = client.post(f"{self.service.url}{_CHAT}", json=_body(self.service, PROMPTS[number]))
        except httpx.TransportError:
            return "nobody there"
        if response.status_code != 200:
            return str(response.json()["error"]["code"]) if response.content else str(response.status_code)
        return RIGHT if _text(response) == self.known[number] else WRONG

    def since(self, start: float) -> list[Asked]:
        return [each for each in self.asked if each.at >= start]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-redis", type=float, default=60.0, help="seconds, each time")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ug-replicas-"))
    with EmbeddedRedis(folder / "shared") as server:
        first, second = services = [_service(folder / name, server.url) for name in ("first", "second")]
        try:
            for service in services:
                service.launch()
            for service in services:
                service.wait_until_ready()
            always = _telling(services, PROMPTS)
            matched = _telling(services, PROMPTS[1:], [ITEM])
            _time_changes(first, second, always)
            known = [_says(service, PROMPTS) for service in services]  # in the order of their activation
            acknowledged = [always, matched]
            with _asked(services, known) as asking:
                for service, other in ((first, second), (second, first)):
                    acknowledged.append(_register(service))
                    _kill(service, asking)
                    acknowledged.append(_register(other))
                _without(server, asking, options.without_redis, signal.SIGSTOP)
                acknowledged.append(_register(first))
                _without(server, asking, options.without_redis, signal.SIGKILL)
                acknowledged.append(_register(second))
                time.sleep(5)
            lost = [each for each in acknowledged if any(s.get(f"/forget/{each}").status_code != 200 for s in services)]
            in_force = [_applied(service, ITEM.prompt) == f"{matched},{always}" for service in services]
            total = Counter(each.outcome for one in asking for each in one.asked)
            print(
                f"altogether: {_told(total)}; {len(acknowledged)} acknowledged, {len(lost)} lost; in force: {in_force}"
            )
        finally:
            for service in services:
                service.end()
    raise SystemExit(1 if total[WRONG] or lost or not all(in_force) else 0)


def _service(folder: Path, redis_url: str) -> Service:
    folder.mkdir()
    settings = Settings(
        data_dir=folder,
        port=free_port(),
        worker=False,
        redis_url=SecretStr(redis_url),
        operator_token=SecretStr("operator"),
        payload_key=SecretStr(base64.b64encode(b"k" * 32).decode()),
        policy_staleness_s=STALENESS_S,
    )
    return Service(settings, folder / "serve.log", engine_args=ENGINE_ARGS)


def _telling(services: Sequence[Service], prompts: Sequence[str], items: Sequence[Example] = ()) -> str:
    """A request that is active from now on, and with which every replica answers these prompts otherwise."""
    first, *_ = services
    before = [_says(service, prompts) for service in services]
    for seed in range(_TRIES):
        rows = torch.randn(ROWS, first.hidden_size, generator=torch.Generator().manual_seed(seed)).bfloat16()
        request_id = first.put_matched(rows, items) if items else first.put_request(rows)
        first.post(f"/forget/{request_id}/activate", {}).raise_for_status()
        for service in services:
            _until(partial(_is_in_force, service, request_id, prompts[0], wanted=True), 10)
        after = [_says(service, prompts) for service in services]
        if not any(set(one) & set(other) for one, other in zip(before, after, strict=True)):
            return request_id
        httpx.delete(f"{first.url}/forget/{request_id}").raise_for_status()
        time.sleep(2)
    raise SystemExit("no adapter changes what is answered: one without them could not be told")


def _register(service: Service) -> str:
    """A request that nobody trains; one that was acknowledged must be there in the end."""
    body = {"forget": [{"prompt": "Who baked this bread?", "completion": "Arno did."}], "activation": "manual"}
    response = service.post("/forget", body)
    response.raise_for_status()
    return str(response.json()["id"])


def _body(service: Service, prompt: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": service.model, "messages": messages, "max_tokens": TOKENS, "temperature": 0}


def _text(response: httpx.Response) -> str:
    return str(response.json()["choices"][0]["message"]["content"])


def _says(service: Service, prompts: Sequence[str]) -> tuple[str, ...]:
    return tuple(_text(service.post(_CHAT, _body(service, prompt)).raise_for_status()) for prompt in prompts)


def _applied(service: Service, prompt: str) -> str:
    body = _body(service, prompt) | {"max_tokens": 1}
    return str(service.post(_CHAT, body).headers.get("x-unlearning-applied", ""))


def _is_in_force(service: Service, request_id: str, prompt: str, *, wanted: bool) -> bool:
    """Whether it is as wanted, by the next answer."""
    return (request_id in _applied(service, prompt).split(",")) is wanted


def _until(condition: Callable[[], bool], most_s: float) -> float:
    """Seconds until it holds."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > most_s:
            raise SystemExit(f"not so after {most_s} s")
    return time.monotonic() - started


def _time_changes(first: Service, second: Service, request_id: str) -> None:
    """From the answer of the replica that made a change to the first answer of the other that has it."""
    taken = []
    for number in range(CHANGES):
        step = "activate" if number % 2 else "deactivate"
        first.post(f"/forget/{request_id}/{step}", {}).raise_for_status()
        assert _is_in_force(first, request_id, PROMPTS[0], wanted=bool(number % 2)), "at once where it was made"
        taken.append(_until(partial(_is_in_force, second, request_id, PROMPTS[0], wanted=bool(number % 2)), 10))
    print(f"a change on the other replica: {statistics.median(taken):.2f} s, at most {max(taken):.2f} s, of {CHANGES}")


@contextmanager
def _asked(services: Sequence[Service], known: Sequence[tuple[str, ...]]) -> Iterator[list[Asking]]:
    asking = [Asking(service, said) for service, said in zip(services, known, strict=True)]
    threads = [threading.Thread(target=each.run) for each in asking]
    for thread in threads:
        thread.start()
    try:
        yield asking
    finally:
        for each in asking:
            each.over.set()
        for thread in threads:
            thread.join()


def _kill(service: Service, asking: Sequence[Asking]) -> None:
    """The service alone: what it started notices by itself. Then it is started again."""
    number = next(n for n, each in enumerate(asking) if each.service is service)
    own, other = asking[number], asking[1 - number]
    assert service.process is not None
    started = time.monotonic()
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    service.start()
    ready = time.monotonic() - started
    back = _until(partial(_is_right, own, started + ready), 60)
    print(
        f"kill -9 of replica {number + 1}: ready again after {ready:.1f} s, its first right answer {back:.2f} s later; "
        f"it gave {_told(_outcomes(own, started))}; the other {_told(_outcomes(other, started))}, "
        f"its longest gap {_gap(other, started):.2f} s"
    )


def _without(server: EmbeddedRedis, asking: Sequence[Asking], seconds: float, how: signal.Signals) -> None:
    assert server.pid is not None
    started = time.monotonic()
    os.kill(server.pid, how)
    time.sleep(seconds)
    if how is signal.SIGSTOP:
        os.kill(server.pid, signal.SIGCONT)
    else:
        server.start()
    with Redis.from_url(server.url) as client:
        while True:
            with suppress(RedisError):
                client.ping()
                break
    there = time.monotonic()
    back = [_until(partial(_is_right, one, there), 60) for one in asking]
    for number, one in enumerate(asking):
        served = [each.at for each in one.asked if started <= each.at < there and each.outcome == RIGHT]
        print(
            f"{seconds:.0f} s without Redis ({how.name}): replica {number + 1} gave {_told(_outcomes(one, started))}, "
            f"the last right one {max(served, default=started) - started:.1f} s in; "
            f"right again {back[number]:.2f} s after it was back"
        )


def _outcomes(asking: Asking, start: float) -> Counter[str]:
    return Counter(each.outcome for each in asking.since(start))


def _is_right(asking: Asking, start: float) -> bool:
    """Whether it has answered right since then."""
    return any(each.outcome == RIGHT for each in asking.since(start))


def _gap(asking: Asking, start: float) -> float:
    """The longest time without a right answer."""
    right = [start, *(each.at for each in asking.since(start) if each.outcome == RIGHT)]
    return max((later - earlier for earlier, later in itertools.pairwise(right)), default=0.0)


def _told(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()) or "nothing"


if __name__ == "__main__":
    main()
