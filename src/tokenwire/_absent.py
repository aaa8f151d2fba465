"""Names that LiteLLM's users look for in the package and that it does not have, with what to do instead."""

_INSTEAD = (
    (
        "Deployments([...]) shares a name's calls among several targets, fallbacks=[...] names others to try, Gate bounds them",
        "Router acompletion_with_fallbacks batch_completion_models batch_completion_models_all_responses "
        "completion_with_fallbacks",
    ),
    ("pass num_retries and retry_policy=RetryPolicy(...) to the call", "acompletion_with_retries completion_with_retries"),
    (
        "nothing is counted in money: response.usage has the tokens, by which to multiply the prices of your contract",
        "BudgetManager completion_cost cost_per_token get_model_cost_map model_cost register_model",
    ),
    (
        "the server counts tokens, in response.usage; before a call, count with the model's own tokenizer",
        "acount_tokens count_tokens create_pretrained_tokenizer create_tokenizer decode encode token_counter",
    ),
    (
        "cut the messages before the call, by what the model's own tokenizer counts; or pass context_window_fallback_dict",
        "get_max_tokens trim_messages",
    ),
    (
        "no table of models is kept: alist_models() asks the endpoint what it has",
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
    ("cache around the call", "Cache disable_cache enable_cache update_cache"),
    ("log around the call, or read the logger tokenwire", "print_verbose turn_on_debug turn_on_json"),
    ("tokenwire batch, and jobs.batch, run files of OpenAI's batch format themselves", "acreate_batch create_batch"),
    (
        "tokenwire calls chat completions, /completions, /embeddings, /images/generations and /models only: send it with httpx",
        "aimage_variation amoderation aocr arerank aspeech atranscription image_variation moderation "
        "ocr rerank speech transcription",
    ),
)
_ADVICE = {name: advice for advice, names in _INSTEAD for name in names.split()}


def advice_for(name: str) -> str | None:
    """What to do in place of using this name of LiteLLM's; None for a name that it does not have either."""
    return _ADVICE.get(name)
