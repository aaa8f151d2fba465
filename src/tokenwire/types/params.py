"""The parameters of a call, for editors and type checkers; the lists of their names, for `get_supported_openai_params`.

The checker sees the classes as open: any further keyword is allowed, and goes into the request's body.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import TypedDict
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


class ChatOpenAIParams(SharedOpenAIParams, total=False):
    """What `/chat/completions` takes beside model and messages."""

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
    response_format: Mapping[str, Any] | type[Any] | None
    safety_identifier: str | None
    service_tier: str | None
    store: bool | None
    thinking: Mapping[str, Any] | None
    tool_choice: str | Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] | None
    top_logprobs: int | None
    verbosity: str | None
    web_search_options: Mapping[str, Any] | None


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
        custom_llm_provider: who answers, where the model's name does not say.
        api_base, base_url: the endpoint's address in front of "/chat/completions".
        api_key: sent as a bearer token; `OPENAI_API_KEY` where it is not given.
        organization: sent as `openai-organization`.
        timeout: seconds, a `Timeouts` or an `httpx.Timeout`.
        num_retries, max_retries: attempts after the first; 2 for endpoints, 0 for handlers of your own.
        retry_policy: a `RetryPolicy`, for how long to wait between them.
        on_truncation: what a stream that was cut short does at its end: "raise" `StreamTruncatedError`, or "return",
            as if it were whole; `stream.outcome` says "truncated" either way.
        limits: a `Limits`.
        headers, extra_headers: sent along.
        extra_body, extra_query: merged into the request's body and URL.
        additional_drop_params: names of parameters to leave out.
        client: an `httpx.AsyncClient` to send through, used as it is; handlers get whatever is passed.
        mock_response, mock_tool_calls, mock_timeout, mock_delay: answer without a network.
    """

    additional_drop_params: Sequence[str] | None
    api_base: str | None
    api_key: str | None
    base_url: str | None
    client: Any
    custom_llm_provider: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    limits: Any
    max_retries: int | None
    mock_delay: float | None
    mock_response: Any
    mock_timeout: bool | None
    mock_tool_calls: Sequence[Any] | None
    num_retries: int | None
    on_truncation: Literal["raise", "return"] | None
    organization: str | None
    retry_policy: Any
    timeout: Any


if TYPE_CHECKING:

    class ChatParams(ChatOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `acompletion` beside model, messages and stream."""

    class TextParams(TextOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `atext_completion` beside model, prompt and stream."""

    class EmbeddingParams(EmbeddingOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `aembedding` beside model and input."""

    class ImageParams(ImageOpenAIParams, CallParams, total=False, extra_items=Any):
        """Every keyword of `aimage_generation` beside model and prompt."""


OPENAI_PARAMS = tuple(sorted(ChatOpenAIParams.__annotations__ | SharedOpenAIParams.__annotations__))
TEXT_PARAMS = tuple(sorted(TextOpenAIParams.__annotations__ | SharedOpenAIParams.__annotations__))
EMBEDDING_PARAMS = tuple(sorted(EmbeddingOpenAIParams.__annotations__))
