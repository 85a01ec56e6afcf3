"""The route class of the gateway's own routes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from gateway.errors import GatewayError, InvalidRequest, Unprocessable
from gateway.requests.items import KINDS

_SHOWN = 5


class GatewayRoute(APIRoute):
    """Errors in OpenAI's shape; those of validation name the field and the rule, never the text that broke it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def validated(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                return _response(_unprocessable(error))
            except GatewayError as error:
                return _response(error)
            except HTTPException:  # FastAPI's own, for a body that its JSON parser refuses altogether
                return _response(InvalidRequest("the body cannot be read as JSON"))

        return validated


def _response(error: GatewayError) -> JSONResponse:
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    return JSONResponse(error.body(), error.status, headers)


def _unprocessable(error: RequestValidationError) -> Unprocessable:
    problems = [(_place(e["loc"]), str(e["msg"])) for e in error.errors()]
    message = "; ".join(f"{field}: {problem}" for field, problem in problems[:_SHOWN])
    return Unprocessable(message, param=problems[0][0])


def _place(location: Sequence[int | str]) -> str:
    """`forget.0.messages.2.content`: fields of ours and positions, for keys of the caller's are in no error's place."""
    return ".".join(str(part) for part in location[1:] if part not in KINDS) or "body"
