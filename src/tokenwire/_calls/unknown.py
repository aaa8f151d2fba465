"""Keywords that look like a mistake are refused; others that are in no list are sent to the model.

A misspelled parameter would reach the server, and most servers ignore unknown ones; a misspelled `api_key` would even put
the key into the body. So a keyword that is not in the lists below but is similar to one in them is refused, and the error
names the right one. So is the content of another kind of call. A server's own parameters can always be sent in `extra_body`,
whatever their names.
"""

from collections.abc import Container, Iterable, Mapping
from functools import lru_cache

from .. import _keywords
from ..exceptions import refused
from ..llms.backend import Kind
from ..types.params import (
    CallParams,
    ChatOpenAIParams,
    EmbeddingOpenAIParams,
    ImageEditOpenAIParams,
    ImageOpenAIParams,
    TextOpenAIParams,
    TypedChatOpenAIParams,
)

# Servers' parameters beyond OpenAI's, from their sources of November 2026.
_OF_SERVERS = {
    # openai 3.57, `create` of chat completions, completions, embeddings and images, those in no TypedDict of ours
    "openai": """
        complexity frame_count frame_duration_ms moderation output_compression partial_images prompt_cache_options
        prompt_cache_retention svg
    """,
    # litellm 1.110.2, `completion` and `OPENAI_CHAT_COMPLETION_PARAMS`
    "litellm": "include_server_side_tool_invocations thinking",
    # vllm/entrypoints/openai/{chat_completion,completion}/protocol.py
    "vllm": """
        add_generation_prompt add_special_tokens allowed_token_ids bad_words cache_salt chat_template chat_template_kwargs
        continue_final_message documents ec_transfer_params guided_choice guided_grammar guided_json guided_regex
        ignore_eos include_reasoning include_stop_str_in_output kv_transfer_params length_penalty media_io_kwargs min_p
        min_tokens mm_processor_kwargs priority prompt_embeds prompt_logprobs repetition_detection repetition_penalty
        request_id return_assistant_tokens_mask return_prompt_text return_token_ids return_token_offsets
        return_tokens_as_token_ids skip_special_tokens spaces_between_special_tokens stop_token_ids structured_outputs
        thinking_token_budget top_k truncate_prompt_tokens truncation_side use_beam_search vllm_xargs
    """,
    # python/sglang/srt/entrypoints/openai/protocol.py
    "sglang": """
        bootstrap_host bootstrap_port bootstrap_room custom_labels ebnf extra_key json_schema lora_path no_stop_trim
        reasoning regex return_hidden_states rid separate_reasoning session_params stop_regex stream_reasoning
    """,
    # llama.cpp, tools/server/server-schema.cpp
    "llama.cpp": """
        adaptive_decay adaptive_target backend_sampling cache_prompt chat_format chat_parser dry_allowed_length dry_base
        dry_multiplier dry_penalty_last_n dry_sequence_breakers dynatemp_exponent dynatemp_range generation_prompt grammar
        grammar_lazy grammar_triggers grammar_type id_slot lora min_keep mirostat mirostat_eta mirostat_tau n_cache_reuse
        n_cmpl n_discard n_indent n_keep n_predict n_probs parse_tool_calls post_sampling_probs preserved_tokens
        reasoning_budget_end_tag reasoning_budget_end_tags reasoning_budget_message reasoning_budget_start_tag
        reasoning_budget_tokens reasoning_control reasoning_format repeat_last_n repeat_penalty response_fields
        return_progress return_tokens samplers sse_ping_interval t_max_predict_ms timings_per_token top_n_sigma typical_p
        verbose xtc_probability xtc_threshold
    """,
    # ollama, openai/openai.go and api/types.go
    "ollama": """
        context format images keep_alive main_gpu num_batch num_ctx num_gpu num_keep num_predict num_thread options raw
        system template tfs_z think truncate use_mlock use_mmap
    """,
    # anthropic 2.14, `create` of messages, without those that chat completions has under other names
    "anthropic": """
        container context_management diagnostics inference_geo mcp_servers output_config speed user_profile_id workspace_id
    """,
    # openrouter.ai/docs/api-reference/overview and .../parameters
    "openrouter": "cache_control image_config models plugins provider route session_id top_a trace transforms usage",
}

_OURS = CallParams.__annotations__.keys() | {"stream", "messages", "model", "prompt", "input"}
_OPENAIS = frozenset().union(
    *(
        params.__annotations__
        for params in (
            ChatOpenAIParams,
            TypedChatOpenAIParams,
            TextOpenAIParams,
            EmbeddingOpenAIParams,
            ImageOpenAIParams,
            ImageEditOpenAIParams,
        )
    )
)
_MEANT = _OURS | _OPENAIS | frozenset(" ".join(_OF_SERVERS.values()).split())  # a misspelled keyword may mean one of these
KNOWN = _MEANT | _keywords.OURS

_PROXY = "set HTTPS_PROXY in the environment, or pass AsyncClient(http_client=httpx.AsyncClient(proxy=...))"

# Keywords that belong elsewhere than in a call, or have another name that is not similar.
_ELSEWHERE = {
    "access_token": "did you mean api_key?",
    "api_token": "did you mean api_key?",
    "auth_token": "did you mean api_key?",
    "concurrency": "pass it to amap() or map(), or limit a client's calls: AsyncClient(gate=Gate(max_concurrency=...))",
    "deadline": "did you mean timeout?",
    "gate": "pass it to AsyncClient(gate=...)",
    "handlers": "pass it to AsyncClient(handlers=...)",
    "http_client": "pass it to the call as client=..., or to AsyncClient(http_client=...)",
    "key": "did you mean api_key?",
    "max_concurrency": "pass it to a gate: AsyncClient(gate=Gate(max_concurrency=...)); amap() and map() take concurrency",
    "proxies": _PROXY,
    "proxy": _PROXY,
    "retries": "did you mean num_retries?",
    "token": "did you mean api_key?",
    "transport": "pass it to AsyncClient(transport=...)",
    "verify": "did you mean ssl_verify?",
}

# The content of other kinds of calls, and the functions that take it. An object is not that: OpenAI has one named `prompt`.
_CONTENT_ELSEWHERE: dict[Kind, dict[str, str]] = {
    "chat": {"prompt": "text_completion() and atext_completion()", "input": "embedding() and aembedding()"},
    "text": {"messages": "completion() and acompletion()", "input": "embedding() and aembedding()"},
}

_SETTINGS = (*_keywords.SETTINGS, *_keywords.CALLBACKS, "custom_provider_map")

_SHORT, _LONG = 6, 8  # letters: shorter keywords are not compared; from _LONG on, two letters may be wrong

# Endings of secrets' names. A model has no use for a secret.
_SECRETS = ("_api_key", "_access_key", "_credentials", "_password", "_secret", "_secret_key")


def refuse_mistakes(kind: Kind, params: Mapping[str, object], heard: Container[str] = ()) -> None:
    """Refuse unknown keywords that are similar to a known one, belong elsewhere, or look like a secret; and other content.

    Args:
        kind: of the call.
        params: its keywords for the model, in order.
        heard: those in the handler's signature.

    Raises:
        BadRequestError: one of them is unknown, and is similar to a known one, belongs to a client, or looks like a
            secret; or it is the content of another kind of call. `param` and the message name it.
    """
    for name, functions in _CONTENT_ELSEWHERE.get(kind, {}).items():
        if isinstance(params.get(name), str | list | tuple) and name not in heard:
            raise refused(
                name,
                f"{name} is for {functions}: call one of these, or leave it out (A server's own of that name {_by_hand(name)}.)",
            )
    for name in params:
        if name in KNOWN or name in heard:
            continue
        by_hand = _by_hand(name)
        if name.endswith(_SECRETS):
            raise refused(
                name, f"{name} looks like a secret, so it is not sent to the model: if it is meant for it, it {by_hand}"
            )
        if (advice := _ELSEWHERE.get(name) or _meant(name)) is not None:
            raise refused(name, f"no call takes a keyword {name}: {advice} (A server's own of that name {by_hand}.)")


def _by_hand(name: str) -> str:
    return f'can be sent as extra_body={{"{name}": ...}}'


def refuse_misspelled_setting(name: str) -> None:
    """Refuse a misspelled attribute assigned to the package, which nothing would ever read.

    Raises:
        BadRequestError: it is similar to one of `_keywords.SETTINGS`; `param` and the message name it.
    """
    if name not in _SETTINGS and name not in _keywords.OURS and (meant := nearest(name, _SETTINGS)) is not None:
        raise refused(name, f"tokenwire has no setting {name}: did you mean {meant}?")


@lru_cache(1000)
def _meant(name: str) -> str | None:
    meant = name.lower() if name.lower() in _MEANT else nearest(name, _MEANT)
    return None if meant is None else f"did you mean {meant}?"


def nearest(word: str, known: Iterable[str], *, shortest: int = _SHORT) -> str | None:
    """The known word most similar to `word`, the first in the alphabet among equals; None if none is similar.

    Args:
        shortest: words with fewer letters are similar to none.
    """
    wrong = 0 if len(word) < shortest else 1 if len(word) < _LONG else 2
    near = ((_difference(word.lower(), other, wrong), other) for other in known if len(other) >= shortest - 1)
    edits, meant = min(near, default=(1, ""))
    return meant if 0 < wrong >= edits else None


def _difference(a: str, b: str, most: int) -> int:
    """As `_edits`, but a plural counts as the same word, so "num_retry" is at most one edit from "num_retries"."""
    return min(_edits(a, b, most), 1 + _edits(_singular(a), _singular(b), most - 1))


def _singular(name: str) -> str:
    return f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")


def _edits(a: str, b: str, most: int) -> int:
    """The optimal string alignment distance: insertions, deletions, substitutions and swaps of adjacent letters.

    Any result above `most` only means "more than `most`".
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        before, last, row = row, before, [i]
        for j, other in enumerate(b, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and other == a[i - 2]:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
