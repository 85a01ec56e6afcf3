"""`chat`: one prompt to the running service."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from gateway.cli.context import CommandContext
from gateway.cli.failures import UsageFailed
from gateway.client.client import PLAN_OFF, candidate_plan


def chat(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to say; - reads it from standard input.")],
    before: Annotated[
        bool,
        typer.Option("--before", help="Ask the model as it was, with all adapters off. Takes the operator's token."),
    ] = False,
    candidate: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Ask with this request's adapter alone. Takes the operator's token."),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    system: Annotated[str | None, typer.Option(help="The system message, instead of the model's default.")] = None,
    model: Annotated[str | None, typer.Option(help="Instead of the model served.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token each time.")] = 0.0,
) -> None:
    """Ask the model something."""
    context: CommandContext = ctx.obj
    if before and candidate:
        raise UsageFailed("--before and --candidate exclude each other")
    plan = PLAN_OFF if before else candidate_plan(candidate) if candidate else None
    text = sys.stdin.read() if prompt == "-" else prompt
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    with context.client() as client:
        sampling: dict[str, Any] = {"temperature": temperature}
        if max_tokens is not None:
            sampling["max_tokens"] = max_tokens
        if not stream:
            answer = client.post("/chat/completions", {"messages": messages, **sampling}, model=model, plan=plan)
            if context.as_json:
                context.emit(answer)
            else:
                context.say(client.text_of(answer))
            return
        for chunk in client.chat_stream(messages, model=model, plan=plan, **sampling):
            if context.as_json:
                context.emit(chunk)
            else:
                sys.stdout.write(_delta(chunk))
                sys.stdout.flush()
    if not context.as_json:
        context.say()


def _delta(chunk: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", ()))
