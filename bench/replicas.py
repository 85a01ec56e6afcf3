"""Two services on one Redis, with each of them and Redis taken away in turn while both are asked without a pause.

    python -m bench.replicas [--without-redis 60]

One request applies to every prompt and one to prompts that are about it. An answer is `right` if the log-probability of
its first token is what the same service gave while all was well and every adapter applied, and `wrong` if it is nearer
to what it gave without one of them. The status is 1 if there was a wrong answer, or if anything that was acknowledged
is not there in the end.
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
ROWS, TOKENS = 8, 2
STALENESS_S = 40.0
#: Changes of the policy that are timed from one replica to the other.
CHANGES = 21
RIGHT, WRONG = "right", "wrong"
_CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer. at: seconds, when it had come. outcome: right, wrong, an error's code, or that nobody was there."""

    at: float
    outcome: str


@dataclass
class Asking:
    """Asks a service without a pause. known: its figure for each prompt with every adapter. without: those that each
    prompt has where one that applies to it is missing, or all are."""

    service: Service
    known: tuple[float, ...]
    without: tuple[tuple[float, ...], ...]
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
        figure = _figure(response)
        apart = abs(figure - self.known[number])
        return RIGHT if all(apart < abs(figure - other) for other in self.without[number]) else WRONG

    @property
    def margin(self) -> float:
        """How far right and wrong are apart at least, in nats."""
        return min(abs(one - other) for one, others in zip(self.known, self.without, strict=True) for other in others)

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
            plain = _figures(services)
            always = _put(first, 0)
            _until(partial(_is_in_force, second, always, PROMPTS[0], wanted=True), 10)
            only_always = _figures(services)
            first.post(f"/forget/{always}/deactivate", {}).raise_for_status()
            matched = _put(first, 1, [ITEM])
            _until(partial(_is_in_force, second, matched, PROMPTS[1], wanted=True), 10)
            only_matched = _figures(services)
            _time_changes(first, second, always)
            known = _figures(services)
            asking = [
                Asking(service, figures, ((bare[0],), (bare[1], one[1], other[1])))
                for service, figures, bare, one, other in zip(
                    services, known, plain, only_always, only_matched, strict=True
                )
            ]
            acknowledged = [always, matched]
            print(f"right and wrong answers are {min(each.margin for each in asking):.2f} nats apart, or more")
            with _asked(asking):
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


def _put(service: Service, seed: int, items: Sequence[Example] = ()) -> str:
    """A request that is active from now on, of random rows."""
    rows = torch.randn(ROWS, service.hidden_size, generator=torch.Generator().manual_seed(seed)).bfloat16()
    request_id = service.put_matched(rows, items) if items else service.put_request(rows)
    service.post(f"/forget/{request_id}/activate", {}).raise_for_status()
    return request_id


def _figures(services: Sequence[Service]) -> list[tuple[float, ...]]:
    return [_says(service) for service in services]


def _register(service: Service) -> str:
    """A request that nobody trains; one that was acknowledged must be there in the end."""
    body = {"forget": [{"prompt": "Who baked this bread?", "completion": "Arno did."}], "activation": "manual"}
    response = service.post("/forget", body)
    response.raise_for_status()
    return str(response.json()["id"])


def _body(service: Service, prompt: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": service.model, "messages": messages, "max_tokens": TOKENS, "temperature": 0, "logprobs": True}


def _figure(response: httpx.Response) -> float:
    return float(response.json()["choices"][0]["logprobs"]["content"][0]["logprob"])


def _says(service: Service) -> tuple[float, ...]:
    return tuple(_figure(service.post(_CHAT, _body(service, prompt)).raise_for_status()) for prompt in PROMPTS)


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
        wanted = number % 2 == 0
        step = "activate" if wanted else "deactivate"
        first.post(f"/forget/{request_id}/{step}", {}).raise_for_status()
        assert _is_in_force(first, request_id, PROMPTS[0], wanted=wanted), "at once where it was made"
        taken.append(_until(partial(_is_in_force, second, request_id, PROMPTS[0], wanted=wanted), 10))
    print(f"a change on the other replica: {statistics.median(taken):.2f} s, at most {max(taken):.2f} s, of {CHANGES}")


@contextmanager
def _asked(asking: Sequence[Asking]) -> Iterator[None]:
    threads = [threading.Thread(target=each.run) for each in asking]
    for thread in threads:
        thread.start()
    try:
        yield
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
