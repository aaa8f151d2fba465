"""The keywords of a call that are not parameters of the model: this library's own, and LiteLLM's, each with how it is handled.

A keyword that is not listed here is added to the request's body, as in LiteLLM. One that is listed can still be sent in
`extra_body`. The names are those of LiteLLM 1.110: keywords of its functions and of its `Router`, and settings that users
assign to the package itself.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from .exceptions import BadRequestError, refused

MOCK = ("mock_response", "mock_tool_calls", "mock_timeout", "mock_delay")
HEADERS = ("default_headers", "headers", "extra_headers")  # later ones take precedence
FALLBACKS = ("fallbacks", "context_window_fallback_dict")
CALLBACKS = ("callbacks", "success_callback", "failure_callback")  # of the package, the client and the call: all are called
TYPED = ("json_mode", "retry_invalid")  # how a type given as `response_format` is requested
# What users assign to the package itself, as LiteLLM's do: `tokenwire.api_key = "..."`.
SETTINGS = (
    "api_key", "api_base", "api_version", "organization", "headers", "request_timeout", "num_retries", "ssl_verify", "drop_params",
)  # fmt: skip
OTHER_SPELLINGS = {"base_url": "api_base", "max_retries": "num_retries", "request_timeout": "timeout"}

# Applied; `_calls.request` has the details.
APPLIED = frozenset((
    "stream", "custom_llm_provider", "api_key", "api_base", "api_version", "organization", "timeout", "stream_timeout",
    "limits", "num_retries", "retry_policy", "hedge", "client", "client_request", "original_request",
    "on_truncation", "ssl_verify", "otel",
    *OTHER_SPELLINGS, *CALLBACKS, *FALLBACKS, *HEADERS, *MOCK, *TYPED,
))  # fmt: skip

# Data about the call itself: handlers get it in `litellm_params`; it is not sent to endpoints.
FOR_HANDLERS = frozenset(
    "litellm_call_id litellm_metadata litellm_session_id litellm_trace_id model_info proxy_server_request session_id tags".split()
)

# Accepted without effect, as this library always behaves like this: it drops no parameters, logs and changes no messages, and
# prints nothing.
FULFILLED = frozenset(
    """
    allowed_openai_params drop_params
    disable_add_prefix_to_prompt disable_add_transform_inline_image_block disable_add_user_agent_to_request_tags
    disable_aiohttp_transport disable_copilot_system_to_assistant disable_end_user_cost_tracking
    disable_end_user_cost_tracking_prometheus_only disable_hf_tokenizer_download disable_stop_sequence_limit
    disable_streaming_logging disable_token_counter redact_user_api_key_info return_response_headers suppress_debug_info
    suppress_startup_output turn_off_message_logging
    """.split()
)

_PRICES = "tokenwire does not calculate prices: response.usage has the tokens"

# Refused: the advice for the message; the keywords, which are refused as settings too; and the names that are only settings.
_REFUSED = (
    (
        "pass fallbacks=[...] or context_window_fallback_dict={...} to the call, or to AsyncClient(...) for all its calls",
        """
            attempted_targets content_policy_fallbacks context_window_fallbacks default_fallbacks disable_fallbacks
            enable_mid_stream_fallback_continuation fallback_access_check fallback_budget_check fallback_depth
            fallback_on_unsupported_params include_fallback_errors max_fallbacks model_fallbacks
        """,
        "context_window_fallback_dict fallbacks longer_context_model_fallback_dict",
    ),
    (
        "choose the model before the call",
        """
            adaptive_router_config adaptive_router_default_model allowed_model_region
            auto_router_capability_limit auto_router_config auto_router_config_path auto_router_default_model
            auto_router_embedding_model auto_router_max_input_chars auto_router_model_compression
            auto_router_routing_compression background_health_check_model_groups base_model
            complexity_router_config complexity_router_default_model default_litellm_params default_priority
            deployment_affinity_ttl_seconds deployment_id enable_health_check_routing enable_pre_call_checks
            enable_tag_filtering enable_weighted_failover fastest_response health_check_ignore_transient_errors
            health_check_staleness_threshold hf_model_name id ignore_invalid_deployments
            kubernetes_pod_discovery model_alias_map model_config model_group_affinity_config model_group_alias
            model_list optional_pre_call_checks order quality_router_config quality_router_default_model
            region_name router_general_settings routing_groups routing_strategy routing_strategy_args
            session_affinity_repin_on_failover silent_model switchyard_router_config tag_filtering_match_any
            tag_regex tag_routing_prefix weight
        """,
        "",
    ),
    (
        "cache the answers in your own code",
        """
            cache cache_key cache_kwargs cache_responses caching caching_groups caching_with_models client_ttl
            preset_cache_key redis_db redis_host redis_password redis_port redis_url ttl
        """,
        """
            default_in_memory_ttl default_redis_batch_cache_expiry default_redis_ttl
            enable_caching_on_provider_specific_optional_params in_memory_llm_clients_cache
        """,
    ),
    (
        "leave out stream=True, or read stream.response at the end",
        "complete_response stream_response",
        "",
    ),
    (
        "limit a client's calls: AsyncClient(gate=Gate(max_concurrency=..., rpm=..., tpm=...))",
        """
            default_api_key_rpm_limit default_api_key_tpm_limit default_max_parallel_requests itpm
            max_parallel_requests otpm polling_interval rpd rpm tpd tpm
        """,
        "",
    ),
    (
        "pass num_retries and retry_policy=RetryPolicy(...)",
        """
            allowed_fails allowed_fails_policy cooldown_time disable_cooldowns model_group_retry_policy
            retry_after retry_strategy
        """,
        "",
    ),
    (
        "pass timeout=, a number of seconds or Timeouts(...)",
        "client_side_timeout force_timeout stream_timeout_by_service_tier timeout_by_service_tier",
        "",
    ),
    (
        _PRICES,
        """
            budget_duration daily_reset_time fedramp_uplift_multiplier max_budget provider_budget_config
            regional_endpoint_uplift_multiplier regional_processing_uplift_multiplier_eu
            regional_processing_uplift_multiplier_us tiered_pricing
        """,
        """
            apply_search_free_tier block_requests_for_models_without_pricing budget_exceeded_status_code
            budget_exceeded_throttle_percentage budget_rollover cost_discount_config cost_margin_config
            default_soft_budget include_cost_in_streaming_usage internal_user_budget_duration
            max_end_user_budget max_end_user_budget_id max_internal_user_budget max_ui_session_budget
            max_user_budget model_cost model_cost_map_url tag_budget_config
        """,
    ),
    (
        "pass callbacks=[...], objects with methods such as log_success_event, or success_callback=[...] with functions; spans and"
        " metrics are made where OpenTelemetry is set up",
        """
            alerting_config arize_api_key arize_error_sampling_rate arize_otlp_protocol arize_space_id
            arize_space_key arize_success_sampling_rate dd_agent_host dd_agent_port dd_api_key dd_site
            debug_level gcs_bucket_name gcs_path_service_account humanloop_api_key
            input_callback langfuse_environment langfuse_host langfuse_prompt_version langfuse_public_key
            langfuse_secret langfuse_secret_key langfuse_span_scope langsmith_api_key langsmith_base_url
            langsmith_project langsmith_sampling_rate langsmith_tenant_id litellm_disabled_callbacks
            litellm_logging_obj litellm_request_debug litellm_trusted_callback_vars log_client_error_tracebacks
            logger_fn newrelic_api_key newrelic_region no-log posthog_api_key posthog_api_url service_callback
            set_verbose signoz_ingestion_endpoint signoz_ingestion_key verbose wandb_api_key
            weave_project_id
        """,
        """
            argilla_batch_size argilla_transformation_object audit_log_callbacks aws_sqs_callback_params
            batch_line_item_callbacks callback_settings cold_storage_custom_logger
            custom_prometheus_metadata_labels custom_prometheus_tags datadog_llm_observability_params
            datadog_params datadog_use_v1 dynamodb_table_name error_logs extra_spend_tag_headers
            forward_traceparent_to_llm_provider gcs_pub_sub_use_v1 generic_api_use_v1 generic_logger_headers
            json_logs langfuse_default_tags langfuse_enable_update_trace_keys langsmith_batch_size
            log_auth_failure_key_identity log_level log_raw_request_response logged_real_time_event_types
            newrelic_params otel_tenant_destination_mode pointfive_params
            prometheus_emit_input_sequence_length_label prometheus_emit_rate_limit_labels
            prometheus_emit_stream_label prometheus_exclude_labels prometheus_exclude_metrics
            prometheus_initialize_budget_metrics prometheus_latency_buckets prometheus_metrics_config
            redact_messages_in_exceptions request_correlation_in_logs s3_audit_callback_params
            s3_callback_params standard_logging_payload_excluded_fields store_audit_logs zerobus_params
        """,
    ),
    (
        "make a client with it: AsyncClient(http_client=...) or AsyncClient(transport=HTTPTransport(...))",
        "allow_client_keepalive_override keepalive_seconds shared_session",
        """
            aclient_session aiohttp_trust_env client_session disable_aiohttp_trust_env force_ipv4 http2
            network_mock proxy_auth ssl_certificate ssl_ecdh_curve ssl_security_level use_aiohttp_transport
        """,
    ),
    (
        'call an endpoint as "openai/...", with its address in api_base, and api_key or headers',
        """
            anthropic_disable_workload_identity_federation anthropic_federation_rule_id
            anthropic_federation_workspace_id anthropic_identity_source anthropic_identity_token
            anthropic_identity_token_file anthropic_issuer_audience anthropic_issuer_signing_key_ref
            anthropic_issuer_subject anthropic_issuer_ttl_seconds anthropic_issuer_url
            anthropic_keycloak_auth_method anthropic_keycloak_client_id anthropic_keycloak_client_secret_ref
            anthropic_keycloak_scope anthropic_keycloak_token_url anthropic_organization_id
            anthropic_service_account_id api_type aws_access_key_id aws_batch_role_arn
            aws_bedrock_control_plane_endpoint aws_bedrock_project_id aws_bedrock_runtime_endpoint
            aws_external_id aws_profile_name aws_region_name aws_role_name aws_secret_access_key
            aws_session_name aws_session_tags aws_session_token aws_sts_endpoint aws_web_identity_token azure
            azure_ad_token azure_ad_token_provider azure_password azure_scope azure_username bedrock_tags
            chatgpt_auth_file client_id client_secret configurable_clientside_auth_params data_residency
            fireworks_forward_user_id gigachat_access_token gigachat_auth_url gigachat_scope
            github_copilot_auth_type github_copilot_host github_copilot_user_session
            litellm_credential_name openai_identity_provider_id openai_identity_token_file
            openai_service_account_id provider_affinity_header provider_specific_header responses_api_version
            s3_access_key_id s3_bucket_name s3_bucket_owner s3_encryption_key_id s3_endpoint_url
            s3_output_bucket_name s3_region_name s3_secret_access_key tenant_id token_exchange_audience
            token_exchange_endpoint token_exchange_profile token_exchange_scope use_chat_completions_api
            use_litellm_proxy use_xai_oauth vertex_credentials vertex_location vertex_project
            watsonx_region_name
        """,
        """
            ai21_key aleph_alpha_key amazon_nova_api_key anthropic_key azure_key baseten_key bytez_key
            clarifai_key cloudflare_api_key cohere_key cometapi_key common_cloud_provider_auth_params
            credential_list databricks_key datarobot_key enable_azure_ad_token_refresh gdc_api_base gdc_key
            gigachat_key gradient_ai_api_key groq_key heroku_key huggingface_key inception_key infinity_key
            lemonade_key llama_api_key maritalk_key nebius_key nlp_cloud_key novita_api_key ollama_key
            openai_like_key openrouter_key ovhcloud_key palm_key predibase_key predibase_tenant_id project
            replicate_key sap_service_key secret_manager_client snowflake_key togetherai_api_key
            vercel_ai_gateway_key vertex_ai_safety_settings wandb_key xai_key
        """,
    ),
    (
        "it is internal to LiteLLM",
        """
            acompletion aembedding aimg_generation allm_passthrough_route assistants_config async_call
            atext_completion completion_call_id max_agentic_loops max_file_size_mb model_file_id_mapping
            output_vector_size rust search_tool_name search_tools secret_fields text_completion use_client
            use_in_pass_through
        """,
        """
            adapters enable_preview_features safe_memory_mode vector_store_index_registry vector_store_registry
        """,
    ),
    (
        "set tokenwire.num_retries",
        "",
        "num_retries_per_request",
    ),
    (
        "it is for LiteLLM's proxy: see tokenwire serve --help",
        "",
        """
            default_internal_user_params default_key_generate_params default_max_internal_user_budget
            default_team_params default_team_settings enable_key_alias_format_validation
            enable_loadbalancing_on_batch_endpoints enable_model_config_credential_overrides key_alias_pattern
            key_generation_settings mcp_tool_search model_group_settings overwrite_user_with_key_hash
            personal_key_model_access_from_teams priority_reservation public_agent_groups public_mcp_servers
            public_model_groups public_model_groups_links public_skills_index
            sse_keepalive_ping_interval_seconds upperbound_key_generate_params validate_end_user_id_in_db
        """,
    ),
    (
        "change the messages, the parameters or the answer in your own code",
        """
            assistant_continue_message bos_token custom_prompt_dict enable_json_schema_validation
            enable_prompt_caching ensure_alternating_roles eos_token final_prompt_value guardrail_list
            guardrails initial_prompt_value litellm_system_prompt merge_reasoning_content_in_choices
            prompt_environment prompt_id prompt_label prompt_variables prompt_version roles stream_chunk_size
            supports_system_message thought_signature_in_tool_call_id user_continue_message
        """,
        """
            add_function_to_prompt add_user_information_to_llm_headers anthropic_prompt_caching_ttl
            banned_keywords_list bedrock_request_metadata_fields blocked_user_list
            enable_anthropic_prompt_caching enable_gemini_default_thinking_level_low filter_invalid_headers
            google_moderation_confidence_threshold guardrail_name_config_map llamaguard_model_name
            llamaguard_unsafe_content_categories max_tokens modify_params openai_moderations_model_name
            openai_system_messages_first output_parse_pii post_call_rules pre_call_rules
            presidio_ad_hoc_recognizers prompt_name_config_map reasoning_auto_summary reasoning_effort_rounding
            route_all_chat_openai_to_responses skip_system_message_in_guardrail skip_tool_message_in_guardrail
            strip_anthropic_total_tokens use_chat_completions_url_for_anthropic_messages
        """,
    ),
)

_REFUSED_KEYWORDS = {name: advice for advice, keywords, _ in _REFUSED for name in keywords.split()}
_REFUSED_SETTINGS = _REFUSED_KEYWORDS | {name: advice for advice, _, settings in _REFUSED for name in settings.split()}
OURS = APPLIED | FOR_HANDLERS | FULFILLED | _REFUSED_KEYWORDS.keys()
_OPTIONS = OURS - {"stream", "custom_llm_provider", "client_request", "original_request", *FALLBACKS, *TYPED}


def is_ours(name: str) -> bool:
    """Whether a keyword is not a parameter of the model."""
    return name in OURS or ("cost" in name and is_price(name))


def none_is_ours(names: Iterable[str]) -> bool:
    """Whether all keywords are parameters of the model: one cheap check, which is enough for most calls."""
    return OURS.isdisjoint(names) and "cost" not in "".join(names)


def none_is_an_option(names: Iterable[str]) -> bool:
    """Whether none of the keywords is an option of the call, from which `_calls.request` makes `Options`."""
    return _OPTIONS.isdisjoint(names) and "cost" not in "".join(names)


def for_handlers(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call that only handlers get, without those whose value is false.

    Raises:
        BadRequestError: one is an option that LiteLLM has and this library does not; the message says what to do instead.
    """
    if keywords.keys() <= APPLIED:
        return {}
    for name, value in keywords.items():
        advice = _REFUSED_KEYWORDS.get(name) or (_PRICES if is_price(name) else None)
        if advice is not None and value:
            raise refused(name, f"{name} is an option of LiteLLM's that tokenwire does not have: {advice}")
    return {name: value for name, value in keywords.items() if name in FOR_HANDLERS and value}


def check_setting(name: str, value: object) -> None:
    """Refuse a setting of LiteLLM's that this library does not have.

    Raises:
        BadRequestError: it is one; the message says what to do instead.
    """
    if value and (advice := _REFUSED_SETTINGS.get(name)) is not None:
        raise refused(name, f"{name} is a setting of LiteLLM's that tokenwire does not have: {advice}")


def only_for_handlers(name: str) -> BadRequestError:
    """The error for a keyword of `FOR_HANDLERS` in a call of an endpoint."""
    return refused(name, f"{name} is for handlers and is not sent to endpoints: leave it out, or send it in extra_body")


def is_price(name: str) -> bool:
    """Whether a keyword is one of LiteLLM's prices, such as "input_cost_per_token"; it has about 150."""
    return "cost_per_" in name or "_token_cost" in name
