"""An OpenTelemetry collector that keeps what it is sent."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.jobs.evaluation_events import EVENT


class Collector:
    """Takes events over OTLP; `status` is what it answers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[str | None] = []
        self.status = 200

    async def take(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.headers.append(request.headers.get("authorization"))
        return Response(status_code=self.status)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/logs", self.take, methods=["POST"])])

    def names(self) -> list[str]:
        """Of the evaluations, in the order they came."""
        return [each["gen_ai.evaluation.name"] for each in self.attributes()]

    def attributes(self) -> list[dict[str, str]]:
        """Those of each event that are texts."""
        found = []
        for body in self.bodies:
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                for scope in resource.scope_logs:
                    for record in scope.log_records:
                        assert record.event_name == EVENT
                        found.append({each.key: each.value.string_value for each in record.attributes})
        return found
