"""The parameters of a call, for editors and type checkers; the lists of their names, for `get_supported_openai_params`.

The checker sees the classes as open: any further keyword is allowed, and goes into the request's body.
"""

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypedDict, TypeForm

    from .._settings import Hedge, Limits, OTel, RetryPolicy, Timeouts
    from .client_request import ClientRequest
else:
    from typing import TypedDict

Messages: TypeAlias = Sequence[Any]


class SharedOpenAIParams(TypedDict, total=False):
    """What `/chat/completions` and `/completions` both take."""

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
    """What `/chat/completions` takes beside model, messages and the form of its answer."""

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
    """What `/chat/completions` takes beside model and messages."""

    response_format: "Mapping[str, Any] | TypeForm[object] | type | UnionType | None"


class TextOpenAIParams(SharedOpenAIParams, total=False):
    """What `/completions` takes beside model and prompt."""

    best_of: int | None
    echo: bool | None
    logprobs: int | None
    suffix: str | None


class EmbeddingOpenAIParams(TypedDict, total=False):
    """What `/embeddings` takes beside model and input."""

    dimensions: int | None
    encoding_format: Literal["float", "base64"] | None
    user: str | None


class ImageOpenAIParams(TypedDict, total=False):
    """What `/images/generations` takes beside model and prompt."""

    background: str | None
    n: int | None
    output_format: str | None
    quality: str | None
    response_format: str | None
    size: str | None
    style: str | None
    user: str | None


class CallParams(TypedDict, total=False):
    """What every call takes.

    Attributes:
        custom_llm_provider: who answers, where the model's name does not say. With "openai" and the like, `model` is sent
            as it is, an "openai/" in front included.
        api_base: the endpoint's address in front of "/chat/completions". User and password in it are sent as Basic auth, in
            the place of a key.
        base_url: the same, by openai's name.
        api_key: sent as a bearer token; `OPENAI_API_KEY` where it is not given. "" sends none.
        api_version: sent as `api-version` in the query, as Azure wants it.
        organization: sent as `openai-organization`.
        timeout: seconds, a `Timeouts` or an `httpx.Timeout`.
        stream_timeout: the same, for streamed calls alone, in the place of `timeout`.
        num_retries: attempts after the first; 2 for endpoints, 0 for handlers of your own.
        max_retries: the same, by openai's name.
        retry_policy: a `RetryPolicy`, for how long to wait between them.
        hedge: a `Hedge`, for a second attempt where the first content does not come in time; False for none, where the
            client has one.
        on_truncation: what a stream that was cut short does at its end: "raise" `StreamTruncatedError`, or "return",
            as if it were whole; `stream.outcome` says "truncated" either way.
        limits: a `Limits`.
        fallbacks: models' names, or dicts of keywords with "model" among them: who is asked instead, in order, once a
            target's attempts are used up; in a stream until the first content. A fallback has the call's keywords, but
            another provider gets no key, address or client that the call names.
        context_window_fallback_dict: from a model's name to that of one with a larger context, asked when a prompt did
            not fit.
        json_mode: how a type given as `response_format` is asked for: by its "schema", which is the usual way; as any JSON
            "object", with the schema in the prompt; or in the "prompt" alone, and then code fences and text around the answer
            are understood.
        retry_invalid: how often an answer that is not a value of that type is asked for once more, with what is wrong told to
            the model; 0 where it is not given, and for streams. `attempts` has those answers too.
        headers: sent along, in the place of this library's own of the same name: `Host` and `Authorization` too. One that is
            None is left out. Where they have `Authorization` or Azure's `api-key`, the environment's key is not sent.
        extra_headers: the same, by openai's name.
        extra_body: merged into the request's body.
        extra_query: merged into the query of its URL.
        additional_drop_params: names of parameters to leave out.
        ssl_verify: False to trust any certificate, or the path of a file or folder with the authorities to trust. Calls
            that say so have connections of their own.
        client: an `httpx.AsyncClient` to send through, used as it is; handlers get whatever is passed.
        callbacks: who is told of the call: each an `Observer`, an object with methods of LiteLLM's `CustomLogger`, or a function,
            which is one of both lists below. The package's `tokenwire.callbacks` and the client's are told too.
        success_callback, failure_callback: functions that are called with LiteLLM's four arguments `(kwargs,
            completion_response, start_time, end_time)` after a call that is complete, or one that is not. Plain ones run in a
            thread of their own.
        otel: an `OTel`, for what OpenTelemetry is told where it is set up; False for nothing.
        client_request: a `ClientRequest`, for handlers that look who asks; it is not sent.
        mock_response: answer without a network: with this text, these fields of a `ModelResponse`, this exception, this vector
            (a list of floats) or these images (a list of dicts).
        mock_tool_calls: answer so, with these tool calls.
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
        """Every keyword of `acompletion` beside model, messages and stream."""

    class TypedChatParams(TypedChatOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `acompletion` beside model, messages, stream and response_format."""

    class TextParams(TextOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `atext_completion` beside model, prompt and stream."""

    class EmbeddingParams(EmbeddingOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `aembedding` beside model and input."""

    class ImageParams(ImageOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `aimage_generation` beside model and prompt."""


OPENAI_PARAMS = tuple(sorted(ChatOpenAIParams.__annotations__ | SharedOpenAIParams.__annotations__))
TEXT_PARAMS = tuple(sorted(TextOpenAIParams.__annotations__ | SharedOpenAIParams.__annotations__))
EMBEDDING_PARAMS = tuple(sorted(EmbeddingOpenAIParams.__annotations__))
