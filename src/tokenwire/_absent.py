"""Names of LiteLLM's that this package does not have, with what to use instead."""

_INSTEAD = (
    (
        "Deployments([...]) shares a name's calls among several targets, fallbacks=[...] lists others to try, Gate limits calls",
        "Router acompletion_with_fallbacks batch_completion_models batch_completion_models_all_responses "
        "completion_with_fallbacks",
    ),
    ("pass num_retries and retry_policy=RetryPolicy(...) to the call", "acompletion_with_retries completion_with_retries"),
    (
        "tokenwire does not calculate prices: multiply the tokens in response.usage by the prices of your contract",
        "BudgetManager completion_cost cost_per_token get_model_cost_map model_cost register_model",
    ),
    (
        "the server counts tokens, in response.usage; before a call, AsyncClient().acount_tokens() asks a model that can count",
        "acount_tokens count_tokens token_counter",
    ),
    (
        "encode and decode with the model's own tokenizer",
        "create_pretrained_tokenizer create_tokenizer decode encode",
    ),
    (
        "shorten the messages before the call, with the model's own tokenizer; or pass context_window_fallback_dict",
        "get_max_tokens trim_messages",
    ),
    (
        "tokenwire has no table of models: alist_models() lists those that the endpoint offers",
        "get_model_info get_valid_models model_list supports_audio_input supports_audio_output supports_function_calling "
        "supports_parallel_function_calling supports_pdf_input supports_prompt_caching supports_reasoning "
        "supports_response_schema supports_system_messages supports_vision supports_web_search",
    ),
    (
        "a call without a usable key raises AuthenticationError, which names what is missing",
        "check_valid_key validate_environment",
    ),
    (
        "call the model by acompletion()",
        "anthropic_messages aresponses aresponses_with_retries compact_responses responses responses_with_retries",
    ),
    ("cache the answers in your own code", "Cache disable_cache enable_cache update_cache"),
    ("read the logger named tokenwire, or pass a callback", "print_verbose turn_on_debug turn_on_json"),
    ("tokenwire batch and tokenwire.jobs.batch run files in OpenAI's batch format", "acreate_batch create_batch"),
    (
        "tokenwire does not call this API: send the request with httpx",
        "aimage_variation amoderation aocr arerank aspeech atranscription image_variation moderation "
        "ocr rerank speech transcription",
    ),
)
_ADVICE = {name: advice for advice, names in _INSTEAD for name in names.split()}


def advice_for(name: str) -> str | None:
    """What to use instead of this name of LiteLLM's; None for a name that LiteLLM does not have either."""
    return _ADVICE.get(name)
