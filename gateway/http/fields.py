"""Which fields of a request are served, for each route that takes text. Whatever is not named here is refused.

Every field of vLLM's request models is judged, and a test fails where a new vLLM brings one. Served is what becomes
part of the token prompt, or parameters that `UnlearningEngine.generate` checks: the plan covers both. Refused is what
reaches the engine beside them, reads what it keeps, or has no use in a service of text.
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.http.shapes import Kinds, Object, OneOf, Shape, because, fields

_TEXT = "only text is served"
_ENGINE = "it reaches into the engine, past the adapters"
_RENDER = "it belongs to routes that are not served"
_STORED = "nothing of an answer is stored; send the whole conversation"
_HOSTED = "the service runs no tools of its own"
_BOOL = OneOf((True, False), "only true and false are")

#: Kinds of content that are no text. vLLM also knows them by a key of this name, whatever the type says.
_MEDIA = because(
    _TEXT,
    (
        "image_url", "input_image", "image_pil", "image_embeds", "audio_url", "input_audio", "audio_embeds",
        "video_url", "video_embeds", "prompt_embeds", "input_file", "file", "image",
    ),
)  # fmt: skip
_MARKS = frozenset({"annotations", "cache_control", "citations", "id", "logprobs", "phase", "status"})
_SAID = Object(fields("type", "text"), _MEDIA, _MARKS)
PARTS = Kinds(
    {
        **dict.fromkeys(("text", "input_text", "output_text"), _SAID),
        "refusal": Object(fields("type", "refusal"), _MEDIA, _MARKS),
        "thinking": Object(fields("type", "thinking", "closed"), _MEDIA, _MARKS),
        "tool_reference": Object(fields("type", "name"), _MEDIA, _MARKS),
    },
    _MEDIA,
)
CHAT_MESSAGE = Object(
    fields(
        "role", "name", "refusal", "reasoning", "reasoning_content", "tool_calls", "tool_call_id", "tools",
        content=PARTS,
    ),
    {"audio": _TEXT, "function_call": "use tool_calls", "task": "it switches a model to another task"},
    _MARKS,
)  # fmt: skip
STRUCTURED_OUTPUTS = Object(
    fields(
        "json", "regex", "choice", "grammar", "json_object", "structural_tag", "disable_any_whitespace",
        "disable_additional_properties", "whitespace_pattern",
    ),
    because("the engine decides it", ("_backend", "_backend_was_auto")),
)  # fmt: skip
STREAM_OPTIONS = Object(fields("include_usage", "continuous_usage_stats"), left_out=frozenset({"include_obfuscation"}))
REPETITION_DETECTION = Object(fields("max_pattern_size", "min_pattern_size", "min_count"))
_RESPONSE_FORMAT = Object(fields("type", "json_schema", "format", "structures", "triggers"))
#: A template's other variables could change what is made of the messages.
_TEMPLATE_SWITCHES = Object(
    dict.fromkeys(("enable_thinking", "thinking", "preserve_thinking", "clear_thinking"), _BOOL)
)

#: What clients of OpenAI's own service send, and what has no meaning for one that keeps nothing.
_LEFT_OUT = frozenset(
    {"metadata", "prediction", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier",
     "store", "verbosity"}
)  # fmt: skip
_EVERYWHERE = {
    **because(_ENGINE, ("vllm_xargs", "kv_transfer_params", "ec_transfer_params")),
    **because(_TEXT, ("mm_processor_kwargs", "media_io_kwargs")),
    **because(_RENDER, ("return_mm_kwargs", "return_token_offsets")),
    "watermarking": "answers carry no watermark",
    "priority": "callers are served as they come",
    "chat_template": "the model's own is used",
}
#: Says "tensors" by default, which is without effect outside the render routes.
_MM_PAYLOAD = OneOf(("tensors",), _RENDER)

_SAMPLING = fields(
    "model", "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "seed", "stop", "stop_token_ids", "ignore_eos", "skip_special_tokens", "include_stop_str_in_output", "logit_bias",
    "stream", "user", "cache_salt", "request_id", "session_id",
    structured_outputs=STRUCTURED_OUTPUTS,
    mm_payload=_MM_PAYLOAD,
)  # fmt: skip
_GENERATION: dict[str, Shape | None] = {
    **_SAMPLING,
    **fields(
        "n", "max_tokens", "logprobs", "echo", "use_beam_search", "length_penalty", "min_tokens", "bad_words",
        "spaces_between_special_tokens", "truncate_prompt_tokens", "truncation_side", "prompt_logprobs",
        "logprob_token_ids", "allowed_token_ids", "add_special_tokens", "return_tokens_as_token_ids",
        "return_token_ids", "thinking_token_budget", "stream_interval",
        stream_options=STREAM_OPTIONS,
        response_format=_RESPONSE_FORMAT,
        repetition_detection=REPETITION_DETECTION,
    ),
}  # fmt: skip
_GENERATION_REFUSED = {**_EVERYWHERE, "routed_experts_prompt_start": "it reads the state of virtual tokens"}
_CHAT_TOOL = Object(fields("type", "function", "defer_loading"), left_out=frozenset({"cache_control"}))

CHAT = Object(
    {
        **_GENERATION,
        **fields(
            "max_completion_tokens", "top_logprobs", "tool_choice", "parallel_tool_calls", "reasoning_effort",
            "include_reasoning", "add_generation_prompt", "continue_final_message", "documents", "return_prompt_text",
            messages=CHAT_MESSAGE,
            tools=_CHAT_TOOL,
            modalities=OneOf(("text",), _TEXT),
            chat_template_kwargs=_TEMPLATE_SWITCHES,
        ),
    },
    {
        **_GENERATION_REFUSED,
        **because("use tools and tool_choice", ("functions", "function_call")),
        "audio": _TEXT,
        "web_search_options": _HOSTED,
    },
    _LEFT_OUT,
)  # fmt: skip

COMPLETIONS = Object(
    {**_GENERATION, **fields("prompt", best_of=OneOf((1,), "use n"))},
    {**_GENERATION_REFUSED, "prompt_embeds": _TEXT, "suffix": "the model does not fill in"},
    _LEFT_OUT,
)

_ITEM_MARKS = frozenset({"async", "caller", "phase"})
_HOSTED_CALLS = because(
    _HOSTED,
    (
        "file_search_call", "computer_call", "computer_call_output", "web_search_call", "tool_search_call",
        "tool_search_output", "additional_tools", "image_generation_call", "code_interpreter_call", "local_shell_call",
        "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output",
        "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call", "program", "program_output",
    ),
)  # fmt: skip
INPUT_ITEMS = Kinds(
    {
        "message": Object(fields("type", "id", "role", "status", content=PARTS), left_out=_ITEM_MARKS),
        "function_call": Object(
            fields("type", "id", "call_id", "name", "namespace", "arguments", "status"), left_out=_ITEM_MARKS
        ),
        "custom_tool_call": Object(
            fields("type", "id", "call_id", "name", "namespace", "input", "status"), left_out=_ITEM_MARKS
        ),
        **dict.fromkeys(
            ("function_call_output", "custom_tool_call_output"),
            Object(fields("type", "id", "call_id", "name", "namespace", "status", output=PARTS), left_out=_ITEM_MARKS),
        ),
        "reasoning": Object(
            fields("type", "id", "summary", "content", "status"), {"encrypted_content": "it cannot be read"}
        ),
    },
    {
        **_HOSTED_CALLS,
        **because(_STORED, ("item_reference", "compaction", "compaction_trigger")),
        "configuration_update": "settings are fields of the request",
    },
    untyped=Object(fields("role", "status", content=PARTS), left_out=_ITEM_MARKS),
)
_OWN_TOOLS = {
    "function": Object(fields("type", "name", "description", "parameters", "strict", "defer_loading")),
    "custom": Object(fields("type", "name", "description", "format", "defer_loading")),
}
TOOLS = Kinds(
    {**_OWN_TOOLS, "namespace": Object(fields("type", "name", "description", tools=Kinds(_OWN_TOOLS, {})))},
    because(
        _HOSTED,
        (
            "file_search", "computer", "computer_use_preview", "web_search", "web_search_2025_08_26",
            "web_search_preview", "web_search_preview_2025_03_11", "mcp", "code_interpreter", "image_generation",
            "local_shell", "shell", "tool_search", "apply_patch", "programmatic_tool_calling",
        ),
    ),
)  # fmt: skip
RESPONSES = Object(
    {
        **_SAMPLING,
        **fields(
            "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "reasoning",
            "include_reasoning", "service_tier", "store", "tool_choice", "top_logprobs",
            "prompt_cache_key",
            input=INPUT_ITEMS,
            text=Object(fields("format", "verbosity")),
            tools=TOOLS,
            stream_options=STREAM_OPTIONS,
            truncation=OneOf(("auto", "disabled"), "there is no other kind"),
            include=OneOf(("message.output_text.logprobs", "reasoning.encrypted_content"), _HOSTED),
            chat_template_kwargs=_TEMPLATE_SWITCHES,
        ),
    },
    {
        **_EVERYWHERE,
        **because(_STORED, ("background", "previous_response_id", "conversation", "prompt")),
        "previous_input_messages": "send the conversation as input",
        "enable_response_messages": "it shows the prompt as the engine has it",
    },
    frozenset({"prompt_cache_retention", "safety_identifier"}),
)  # fmt: skip

_RESULT = Kinds(
    {"text": _SAID, "tool_reference": Object(fields("type", "name", "tool_name"), left_out=_MARKS)},
    because(_TEXT, ("image", "document", "search_result")),
)
BLOCKS = Kinds(
    {
        "text": _SAID,
        "tool_use": Object(fields("type", "id", "name", "input"), left_out=_MARKS | {"caller"}),
        "tool_result": Object(fields("type", "tool_use_id", "is_error", content=_RESULT), left_out=_MARKS),
        "tool_reference": Object(fields("type", "name", "tool_name"), left_out=_MARKS),
        "thinking": Object(fields("type", "thinking", "signature"), left_out=_MARKS),
        "redacted_thinking": Object(fields("type", "data"), left_out=_MARKS),
        **dict.fromkeys(("tool_addition", "tool_removal"), Object(fields("type", "tool"), left_out=_MARKS)),
    },
    because(_TEXT, ("image", "document", "search_result")),
)
MESSAGE = Object(fields("role", content=BLOCKS), left_out=_MARKS)
MESSAGES_TOOL = Object(
    fields("name", "description", "input_schema", "strict", "defer_loading", type=OneOf(("custom",), _HOSTED)),
    left_out=frozenset({"cache_control", "eager_input_streaming", "input_examples"}),
)
MESSAGES = Object(
    fields(
        "model", "max_tokens", "metadata", "thinking", "stop_sequences", "stream", "temperature", "tool_choice",
        "top_k", "top_p", "cache_salt",
        messages=MESSAGE,
        system=BLOCKS,
        output_config=Object(fields("effort", "format")),
        tools=MESSAGES_TOOL,
        mm_payload=_MM_PAYLOAD,
        chat_template_kwargs=_TEMPLATE_SWITCHES,
    ),
    {**_EVERYWHERE, **because(_HOSTED, ("mcp_servers", "container"))},
    frozenset({"context_management", "inference_geo", "service_tier"}),
)  # fmt: skip

TOKENIZE = Object(
    fields(
        "model", "prompt", "add_special_tokens", "add_generation_prompt", "continue_final_message",
        "return_token_strs",
        messages=CHAT_MESSAGE,
        tools=_CHAT_TOOL,
        chat_template_kwargs=_TEMPLATE_SWITCHES,
    ),
    _EVERYWHERE,
)  # fmt: skip

#: By route. A test holds this to the routes that take a body of text.
BODIES = MappingProxyType(
    {
        "/v1/chat/completions": CHAT,
        "/v1/completions": COMPLETIONS,
        "/v1/responses": RESPONSES,
        "/v1/messages": MESSAGES,
        "/tokenize": TOKENIZE,
    }
)
