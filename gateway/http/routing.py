"""The route class of the gateway's own routes, and what is said where there is no route."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from gateway.errors import GatewayError, InvalidRequest, MethodNotAllowed, NotFound, Unprocessable
from gateway.requests.items import KINDS

_SHOWN = 5
#: Of a path of the caller's, as an error quotes it.
_QUOTED = 60


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

        return validated


def route_error(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI say of a request that gets to no route, in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _response(NotFound(f"there is no {request.url.path[:_QUOTED]}"))
    if error.status_code == 405:
        return _response(MethodNotAllowed(f"the route does not take {request.method}"), error.headers)
    return _response(InvalidRequest("the body cannot be read as JSON"))


def _response(error: GatewayError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    again = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    return JSONResponse(error.body(), error.status, {**(headers or {}), **again})


def _unprocessable(error: RequestValidationError) -> Unprocessable:
    problems = [(_place(e["loc"]), str(e["msg"])) for e in error.errors()]
    message = "; ".join(f"{field}: {problem}" for field, problem in problems[:_SHOWN])
    return Unprocessable(message, param=problems[0][0])


def _place(location: Sequence[int | str]) -> str:
    """`forget.0.messages.2.content`: fields of ours and positions, for keys of the caller's are in no error's place."""
    return ".".join(str(part) for part in location[1:] if part not in KINDS) or "body"
