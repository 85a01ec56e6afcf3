"""Probes answer in every phase; nothing else does before the app is there."""

from __future__ import annotations

import httpx
from starlette.responses import PlainTextResponse

from gateway.http.health import HealthApp
from gateway.service.lifecycle import Lifecycle, Phase


async def ask(app: HealthApp, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        return await client.get(path)


async def test_while_loading() -> None:
    app = HealthApp(Lifecycle())
    assert (await ask(app, "/livez")).status_code == 200
    assert (await ask(app, "/readyz")).status_code == 503
    other = await ask(app, "/v1/models")
    assert (other.status_code, other.json()["error"]["code"]) == (503, "not_ready")
    assert other.headers["retry-after"]


async def test_while_serving_and_draining() -> None:
    lifecycle = Lifecycle()
    app = HealthApp(lifecycle)
    problem: list[str] = []
    app.attach(PlainTextResponse("inner"), lambda: problem[0] if problem else None)
    lifecycle.phase = Phase.SERVING
    assert (await ask(app, "/readyz")).status_code == 200
    assert (await ask(app, "/anything")).text == "inner"
    problem.append("an active adapter is not in the engine")
    degraded = await ask(app, "/readyz")
    assert (degraded.status_code, degraded.json()["detail"]) == (503, problem[0])
    assert await lifecycle.drain(1)
    assert (await ask(app, "/readyz")).json()["status"] == "draining"
    assert (await ask(app, "/livez")).status_code == 200


async def test_drain_waits_for_requests_in_flight() -> None:
    lifecycle = Lifecycle()
    with lifecycle.request():
        assert await lifecycle.drain(0.05) is False
    assert await lifecycle.drain(0.05) is True
