"""The OpenAPI document: what is served, where vLLM's own models and errors say more or other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from gateway.http.fields import BODIES
from gateway.http.shapes import Kinds, Object, OneOf, Shape

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}
_REF = "#/components/schemas/"
_ERRORS = {
    "description": "What is wrong, in OpenAI's shape.",
    "content": {"application/json": {"schema": {"$ref": f"{_REF}GatewayError"}}},
}


def describe(app: FastAPI) -> None:
    """Have the app's document name the fields that are served, and one shape of errors for every route."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _corrected(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["GatewayError"] = _ERROR
    pruning = _Pruning(schemas)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = {code: answer for code, answer in operation["responses"].items() if code < "400"}
            operation["responses"] = {**answers, "default": _ERRORS}
            if path in BODIES and "requestBody" in operation:
                for content in operation["requestBody"]["content"].values():
                    pruning.prune(content["schema"], BODIES[path])
    return document


class _Pruning:
    """Takes out of schemas, in place, what their shapes do not serve.

    A schema that several places refer to is pruned for each: what one of them refuses is not shown at the others.
    """

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas
        self._done: set[tuple[int, int]] = set()

    def prune(self, schema: dict[str, Any], shape: Shape) -> None:
        schema = self._resolved(schema)
        if (id(schema), id(shape)) in self._done:
            return
        self._done.add((id(schema), id(shape)))
        for union in ("anyOf", "oneOf"):
            if union in schema:
                schema[union] = [each for each in schema[union] if self._is_served(each, shape)]
                schema.pop("discriminator", None)
        for each in _parts(schema):
            self.prune(each, shape)
        if isinstance(shape, OneOf) and "enum" in schema:
            schema["enum"] = [value for value in schema["enum"] if value in shape.values]
        if "properties" not in schema:
            return
        if isinstance(shape, Object):
            self._prune_fields(schema, shape)
        elif isinstance(shape, Kinds):
            kinds = [kind for kind in self._kinds(schema) if kind in shape.served]
            fitting = [shape.served[kind] for kind in kinds] or [shape.untyped or Object({})]
            self._prune_fields(schema, Object({name: each for one in fitting for name, each in one.served.items()}))
            if len(kinds) > 1:
                schema["properties"]["type"]["enum"] = kinds

    def _prune_fields(self, schema: dict[str, Any], shape: Object) -> None:
        schema["properties"] = {name: each for name, each in schema["properties"].items() if name in shape.served}
        schema["additionalProperties"] = False
        for name, each in schema["properties"].items():
            if (inner := shape.served[name]) is not None:
                self.prune(each, inner)

    def _is_served(self, schema: dict[str, Any], shape: Shape) -> bool:
        resolved = self._resolved(schema)
        if isinstance(shape, Object):
            return set(resolved.get("required", ())) <= set(shape.served)
        if not isinstance(shape, Kinds) or "properties" not in resolved:
            return True
        kinds = set(self._kinds(resolved))
        return bool(kinds & shape.served.keys()) if kinds else shape.untyped is not None

    def _kinds(self, schema: dict[str, Any]) -> Iterator[str]:
        kind = self._resolved(schema.get("properties", {}).get("type", {}))
        for each in kind.get("anyOf", (kind,)):  # it may be null
            yield from (each["const"],) if "const" in each else each.get("enum", ())

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].removeprefix(_REF)]
        return schema


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The members of a union, and the elements of an array."""
    for union in ("anyOf", "oneOf"):
        yield from schema.get(union, ())
    if isinstance(schema.get("items"), dict):
        yield schema["items"]
