"""The parameters of a call, for editors and type checkers; the lists of their names, for `get_supported_openai_params`.

For type checkers the classes are open: any further keyword is allowed, and is added to the request's body.
"""

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypedDict, TypeForm

    from .._settings import Hedge, Limits, OTel, RetryPolicy, Timeouts
    from .client_request import ClientRequest
    from .images import File
else:
    from typing import TypedDict

Messages: TypeAlias = Sequence[Any]


class SharedOpenAIParams(TypedDict, total=False):
    """Parameters of both `/chat/completions` and `/completions`."""

    frequency_penalty: float | None
    logit_bias: Mapping[str, int] | None
    max_tokens: int | None
    n: int | None
    presence_penalty: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    stream_options: Mapping[str, Any] | None
    temperature: float | None
    top_p: float | None
    user: str | None


class TypedChatOpenAIParams(SharedOpenAIParams, total=False):
    """Parameters of `/chat/completions`, except model, messages and response_format."""

    audio: Mapping[str, Any] | None
    function_call: str | Mapping[str, Any] | None
    functions: Sequence[Mapping[str, Any]] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    metadata: Mapping[str, Any] | None
    modalities: Sequence[str] | None
    parallel_tool_calls: bool | None
    prediction: Mapping[str, Any] | None
    prompt_cache_key: str | None
    reasoning_effort: str | None
    safety_identifier: str | None
    service_tier: str | None
    store: bool | None
    thinking: Mapping[str, Any] | None
    tool_choice: str | Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None
    top_logprobs: int | None
    verbosity: str | None
    web_search_options: Mapping[str, Any] | None


class ChatOpenAIParams(TypedChatOpenAIParams, total=False):
    """Parameters of `/chat/completions`, except model and messages."""

    response_format: "Mapping[str, Any] | TypeForm[object] | type | UnionType | None"


class TextOpenAIParams(SharedOpenAIParams, total=False):
    """Parameters of `/completions`, except model and prompt."""

    best_of: int | None
    echo: bool | None
    logprobs: int | None
    suffix: str | None


class EmbeddingOpenAIParams(TypedDict, total=False):
    """Parameters of `/embeddings`, except model and input."""

    dimensions: int | None
    encoding_format: Literal["float", "base64"] | None
    user: str | None


class ImageOpenAIParams(TypedDict, total=False):
    """Parameters of `/images/generations`, except model and prompt."""

    background: str | None
    n: int | None
    output_format: str | None
    quality: str | None
    response_format: str | None
    size: str | None
    style: str | None
    user: str | None


class ImageEditOpenAIParams(TypedDict, total=False):
    """Parameters of `/images/edits`, except model, prompt and image."""

    background: str | None
    input_fidelity: str | None
    mask: "File | None"
    n: int | None
    output_compression: int | None
    output_format: str | None
    quality: str | None
    response_format: str | None
    size: str | None
    user: str | None


class CallParams(TypedDict, total=False):
    """Keywords of every call.

    Attributes:
        custom_llm_provider: the provider, if it is not in the model's name. With "openai" and the like, `model` is sent
            unchanged, including an "openai/" at its start.
        api_base: the endpoint's address before "/chat/completions". User and password in it are sent as Basic auth,
            instead of a key.
        base_url: the same, by openai's name.
        api_key: sent as a bearer token; by default from `OPENAI_API_KEY`. "" sends none.
        api_version: sent as `api-version` in the query, for Azure.
        organization: sent as `openai-organization`.
        timeout: seconds for each attempt of a call that is not streamed, and for each wait in a stream; or a `Timeouts`,
            whose `total` limits all attempts together; or an `httpx.Timeout`.
        stream_timeout: the same, only for streamed calls, instead of `timeout`.
        num_retries: attempts after the first; by default 2 for endpoints, 0 for your own handlers.
        max_retries: the same, by openai's name.
        retry_policy: a `RetryPolicy`, for the delays between attempts.
        hedge: a `Hedge`, for a second attempt if the first content does not arrive in time; False for none, if the client
            has one.
        on_truncation: what a truncated stream does at its end: "raise" `StreamTruncatedError`, or "return" as if it were
            complete; `stream.outcome` is "truncated" in both cases.
        limits: a `Limits`.
        fallbacks: models' names, or dicts with "model" and other keywords: called in order, each after the previous
            target's attempts are used up; in a stream until the first content. A fallback has the call's keywords, except
            that another provider does not get the call's key, address or client.
        context_window_fallback_dict: from models' names to models with a larger context, called if the prompt is too
            long.
        json_mode: how a type given as `response_format` is requested: by its "schema", the default for most providers; as
            any JSON "object", with the schema in the prompt; or only in the "prompt", and then code fences and text around
            the answer are accepted.
        retry_invalid: how often to ask the model again after an answer that is not a value of that type, with the error in
            the prompt; 0 by default, and for streams. `attempts` includes those answers.
        headers: sent in addition to this library's own, or replacing those of the same name: `Host` and `Authorization`,
            too. None removes a header. If they have `Authorization` or Azure's `api-key`, the environment's key is not sent.
        extra_headers: the same, by openai's name.
        extra_body: merged into the request's body.
        extra_query: merged into the query of its URL.
        additional_drop_params: names of parameters to leave out.
        ssl_verify: False to trust any certificate, or the path of a file or folder with the authorities to trust. Such
            calls have their own connections.
        client: an `httpx.AsyncClient` to send through, used unchanged; handlers get any object that is passed.
        callbacks: notified of the call: each an `Observer`, an object with methods of LiteLLM's `CustomLogger`, or a
            function, which then is in both lists below. Added to `tokenwire.callbacks` and the client's.
        success_callback, failure_callback: functions called with LiteLLM's four arguments `(kwargs, completion_response,
            start_time, end_time)` after a complete call, or after any other. Sync functions run in a separate thread.
        otel: an `OTel`, with options for OpenTelemetry if that is set up; False disables it.
        client_request: a `ClientRequest`, for handlers that use it; it is not sent.
        mock_response: answer without a network: with this text, these fields of a `ModelResponse`, this exception, this
            vector (a list of floats) or these images (a list of dicts).
        mock_tool_calls: answer without a network, with these tool calls.
        mock_timeout: wait for the call's timeout, and raise `Timeout`.
        mock_delay: seconds to wait before a mock answers.
    """

    additional_drop_params: Sequence[str] | None
    api_base: str | None
    api_key: str | None
    api_version: str | None
    base_url: str | None
    callbacks: Sequence[object] | None
    client: object
    client_request: "ClientRequest | None"
    context_window_fallback_dict: Mapping[str, Any] | None
    custom_llm_provider: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str | None] | None
    extra_query: Mapping[str, Any] | None
    failure_callback: Sequence[object] | None
    fallbacks: Sequence[Any] | None
    headers: Mapping[str, str | None] | None
    hedge: "Hedge | Literal[False] | None"
    json_mode: Literal["schema", "object", "prompt"] | None
    limits: "Limits | None"
    max_retries: int | None
    mock_delay: float | None
    mock_response: object
    mock_timeout: bool | None
    mock_tool_calls: Sequence[Any] | None
    num_retries: int | None
    on_truncation: Literal["raise", "return"] | None
    organization: str | None
    otel: "OTel | Literal[False] | None"
    retry_invalid: int | None
    retry_policy: "RetryPolicy | None"
    ssl_verify: bool | str | None
    success_callback: Sequence[object] | None
    stream_timeout: "float | str | Timeouts | httpx.Timeout | None"
    timeout: "float | str | Timeouts | httpx.Timeout | None"


if TYPE_CHECKING:

    class ChatParams(ChatOpenAIParams, CallParams, total=False, extra_items=Any):
        """All keywords of `acompletion`, except model, messages and stream."""

    class TypedChatParams(TypedChatOpenAIParams, CallParams, total=False, extra_items=Any):
        """All keywords of `acompletion`, except model, messages, stream and response_format."""

    class TextParams(TextOpenAIParams, CallParams, total=False, extra_items=Any):
        """All keywords of `atext_completion`, except model, prompt and stream."""

    class EmbeddingParams(EmbeddingOpenAIParams, CallParams, total=False, extra_items=Any):
        """All keywords of `aembedding`, except model and input."""

    class ImageParams(ImageOpenAIParams, CallParams, total=False, extra_items=Any):
        """All keywords of `aimage_generation`, except model and prompt."""

    class ImageEditParams(ImageEditOpenAIParams, CallParams, total=False, extra_items=Any):
        """All keywords of `aimage_edit`, except model, prompt and image."""


OPENAI_PARAMS = tuple(sorted(ChatOpenAIParams.__annotations__ | SharedOpenAIParams.__annotations__))
TEXT_PARAMS = tuple(sorted(TextOpenAIParams.__annotations__ | SharedOpenAIParams.__annotations__))
EMBEDDING_PARAMS = tuple(sorted(EmbeddingOpenAIParams.__annotations__))
