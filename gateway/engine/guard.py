"""The answer to a prompt that is refused until the request it is about is active. The model is not asked."""

from __future__ import annotations

from typing import Any

from vllm.logprobs import Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.tokenizers import TokenizerLike

from adapters.text.phrasebook import phrasebook_for

#: As OpenAI calls it. vLLM's routes pass it on: as it is, as no reason at all in messages, as nothing in responses.
CONTENT_FILTER = "content_filter"
#: A step of a beam search asks for one token and no text. This ends the search, with nothing found.
_END_OF_SEARCH = "abort"
#: Lines at the end of a prompt that tell its language: the last turn's, and whose turn is next.
_LINES = 3


def filtered(
    prompt: dict[str, Any], params: SamplingParams, request_id: str, tokenizer: TokenizerLike, *, goes_on: bool = False
) -> RequestOutput:
    """A refusal in the prompt's language, as the engine would give it, all at once.

    prompt: of tokens. It has no more tokens than the caller allows, and each has the log-probability of what is sure.
    goes_on: whether the prompt ends with what the caller has of the answer already.
    """
    asked = prompt["prompt_token_ids"]
    searching = not params.detokenize
    text = "" if searching else _sentence(tokenizer.decode(asked, skip_special_tokens=True))
    if goes_on:
        text = f"\n\n{text}"
    ids = tokenizer.encode(text, add_special_tokens=False)
    if params.max_tokens is not None and len(ids) > params.max_tokens:
        ids = ids[: params.max_tokens]
        text = tokenizer.decode(ids)
    sure = None
    if params.logprobs is not None:
        sure = [{token: Logprob(0.0, rank=1, decoded_token=tokenizer.decode([token]))} for token in ids]
    return RequestOutput(
        request_id=request_id,
        prompt=prompt.get("prompt"),
        prompt_token_ids=list(asked),
        prompt_logprobs=None if params.prompt_logprobs is None else [None] * len(asked),
        outputs=[
            CompletionOutput(
                index=index,
                text=text,
                token_ids=list(ids),
                cumulative_logprob=None if sure is None else 0.0,
                logprobs=None if sure is None else list(sure),
                finish_reason=_END_OF_SEARCH if searching else CONTENT_FILTER,
            )
            for index in range(params.n)
        ],
        finished=True,
        num_cached_tokens=0,
    )


def _sentence(prompt: str) -> str:
    lines = [line for line in prompt.splitlines() if line.strip()]
    return phrasebook_for(lines[-_LINES:]).refusals[0]
