"""Takes the virtual tokens out of what goes back, and accounts for them in what goes in."""

from __future__ import annotations

from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams


def shift_sampling_params(params: SamplingParams, count: int) -> SamplingParams:
    """Offsets into the prompt move by the `count` virtual tokens in front of it."""
    if count == 0 or not (params.prompt_logprob_start or params.routed_experts_prompt_start):
        return params
    shifted = params.clone()
    if shifted.prompt_logprob_start:
        shifted.prompt_logprob_start += count
    if shifted.routed_experts_prompt_start:
        shifted.routed_experts_prompt_start += count
    return shifted


def trim_output(output: RequestOutput, count: int) -> RequestOutput:
    """Remove the first `count` prompt tokens from ids, prompt logprobs and cache counts of `output`, in place.

    The first real token keeps no logprob, as the first token of a prompt never has one in this API.
    """
    if count == 0:
        return output
    if output.prompt_token_ids is not None:
        output.prompt_token_ids = output.prompt_token_ids[count:]
    if output.prompt_logprobs is not None and len(output.prompt_logprobs) > count:
        output.prompt_logprobs = [None, *output.prompt_logprobs[count + 1 :]]
    if output.num_cached_tokens is not None:
        output.num_cached_tokens = max(0, output.num_cached_tokens - count)
    if output.num_cache_creation_tokens is not None:
        output.num_cache_creation_tokens = max(0, output.num_cache_creation_tokens - count)
    return output
