"""Prints, as JSON, the routes of the installed vLLM and what their bodies may hold. A process of its own runs it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from openai.types.responses import ResponseInputItemParam, Tool
from vllm.entrypoints.anthropic.protocol import AnthropicContentBlock, AnthropicMessage, AnthropicTool
from vllm.entrypoints.generate.base.protocol import StreamOptions
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.renderers import chat_utils
from vllm.sampling_params import RepetitionDetectionParams, StructuredOutputsParams
from vllm.utils.argparse_utils import FlexibleArgumentParser

UNION_TYPE = type(int | str)


def members(annotation: Any) -> Iterator[Any]:
    """The types of a union, however it is nested."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from members(get_args(annotation)[0])
    elif origin in (Union, UNION_TYPE, list):
        for each in get_args(annotation):
            yield from members(each)
    else:
        yield annotation


def names(model: Any) -> set[str]:
    """The fields of a pydantic model, a dataclass or a typed dictionary, as JSON names them."""
    if dataclasses.is_dataclass(model):
        return {field.name for field in dataclasses.fields(model)}
    if hasattr(model, "model_fields"):
        return {field.alias or name for name, field in model.model_fields.items()}
    return set(model.__annotations__)


def kinds(union: Any) -> set[str]:
    """What `type` may be, over the members of a union."""
    return {kind for each in members(union) for kind in literals(_type(each))}


def _type(model: Any) -> Any:
    if hasattr(model, "model_fields"):
        return model.model_fields["type"].annotation
    return get_type_hints(model)["type"]


def literals(annotation: Any) -> Iterator[str]:
    """The strings of every literal in an annotation."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for each in get_args(annotation):
        yield from literals(each)


def bodies(route: Any) -> set[str]:
    """The fields of a route's body, over all models that it takes."""
    params = route.dependant.body_params if hasattr(route, "dependant") else []
    return {name for param in params for model in members(param.field_info.annotation) for name in names(model)}


def main() -> None:
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(["--model", "none", "--enable-offline-docs"])
    routes = build_app(args, ("generate",), None).routes
    found = {
        "bodies": {route.path: sorted(bodies(route)) for route in routes},
        "nested": {
            "parts": sorted(chat_utils.MM_PARSER_MAP),
            "chat messages": sorted(names(chat_utils.CustomChatCompletionMessageParam)),
            "structured_outputs": sorted(names(StructuredOutputsParams)),
            "stream_options": sorted(names(StreamOptions)),
            "repetition_detection": sorted(names(RepetitionDetectionParams)),
            "input items": sorted(kinds(ResponseInputItemParam)),
            "tools": sorted(kinds(Tool)),
            "blocks": sorted(kinds(AnthropicContentBlock)),
            "messages": sorted(names(AnthropicMessage)),
            "messages tools": sorted(names(AnthropicTool)),
        },
    }
    print("API", json.dumps(found))  # noqa: T201  # vLLM prints too


if __name__ == "__main__":
    main()
