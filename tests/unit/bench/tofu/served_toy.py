"""A toy model behind the routes that figures are asked of, as the service answers them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import torch

from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers
from adapters.models.tokens import encode_prompt


class ToyService:
    """Remembers what it was asked."""

    def __init__(self, model: PromptedModel, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.requests: list[httpx.Request] = []

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests if request.url.path == path]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "toy"}]})
        self.requests.append(request)
        body = json.loads(request.content)
        if request.url.path == "/v1/chat/completions":
            messages = [Message(**message) for message in body["messages"]]
            (text,) = greedy_answers(self._model.model, self._tokenizer, [messages], max_tokens=body["max_tokens"])
            return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})
        if request.url.path == "/tokenize":
            ids = self._tokens(body)
            return httpx.Response(200, json={"tokens": ids, "token_strs": self._tokenizer.convert_ids_to_tokens(ids)})
        assert request.url.path == "/v1/completions"
        choices = [{"index": index, "prompt_logprobs": self._read(ids)} for index, ids in enumerate(body["prompt"])]
        return httpx.Response(200, json={"choices": choices[::-1]})

    def _tokens(self, body: dict[str, Any]) -> list[int]:
        if "prompt" in body:
            ids: list[int] = self._tokenizer(body["prompt"], add_special_tokens=body["add_special_tokens"])["input_ids"]
            return ids
        encoded = self._tokenizer.apply_chat_template(
            body["messages"],
            add_generation_prompt=body.get("add_generation_prompt", True),
            continue_final_message=body.get("continue_final_message", False),
            return_dict=True,
        )
        return list(encoded["input_ids"])

    @torch.no_grad()
    def _read(self, ids: Sequence[int]) -> list[dict[str, dict[str, float]] | None]:
        logprobs = self._model.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        entries: list[dict[str, dict[str, float]] | None] = [None]
        for token, row in zip(ids[1:], logprobs, strict=False):
            rank = int((row >= row[token]).sum())
            entries.append({str(token): {"logprob": float(row[token]), "rank": rank}})
        return entries


def prompt_of(tokenizer: Any, *messages: Message) -> list[int]:
    return list(encode_prompt(tokenizer, messages))
