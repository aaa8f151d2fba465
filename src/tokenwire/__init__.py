"""tokenwire: call language models, and stream what they say.

>>> import tokenwire
>>> tokenwire.completion("openai/any", [{"role": "user", "content": "Hi"}], mock_response="Hello!").choices[0].message.content
'Hello!'

Names are loaded when they are first used; the table below says from where.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from ._api import (
        acompletion as acompletion,
        aembedding as aembedding,
        aimage_generation as aimage_generation,
        alist_models as alist_models,
        astreaming as astreaming,
        atext_completion as atext_completion,
    )
    from ._call import Attempt as Attempt
    from ._client import AsyncClient as AsyncClient, aclose as aclose
    from ._routing import (
        get_llm_provider as get_llm_provider,
        get_supported_openai_params as get_supported_openai_params,
        register as register,
    )
    from ._settings import Limits as Limits, RetryPolicy as RetryPolicy, Timeouts as Timeouts
    from ._stream import AsyncStream as AsyncStream, Timings as Timings
    from ._sync.api import (
        completion as completion,
        embedding as embedding,
        image_generation as image_generation,
        list_models as list_models,
        streaming as streaming,
        text_completion as text_completion,
    )
    from ._sync.client import Client as Client
    from ._sync.stream import Stream as Stream
    from .exceptions import (
        APIConnectionError as APIConnectionError,
        APIError as APIError,
        APIResponseValidationError as APIResponseValidationError,
        AuthenticationError as AuthenticationError,
        BadGatewayError as BadGatewayError,
        BadRequestError as BadRequestError,
        ConflictError as ConflictError,
        ContentPolicyViolationError as ContentPolicyViolationError,
        ContextWindowExceededError as ContextWindowExceededError,
        ImageFetchError as ImageFetchError,
        InternalServerError as InternalServerError,
        LimitExceededError as LimitExceededError,
        LiteLLMUnknownProvider as LiteLLMUnknownProvider,
        MockException as MockException,
        NotFoundError as NotFoundError,
        PaymentRequiredError as PaymentRequiredError,
        PermissionDeniedError as PermissionDeniedError,
        RateLimitError as RateLimitError,
        RejectedRequestError as RejectedRequestError,
        ServiceUnavailableError as ServiceUnavailableError,
        StreamClosedError as StreamClosedError,
        StreamTruncatedError as StreamTruncatedError,
        Timeout as Timeout,
        TokenwireError as TokenwireError,
        UnknownProviderError as UnknownProviderError,
        UnprocessableEntityError as UnprocessableEntityError,
        UnsupportedParamsError as UnsupportedParamsError,
    )
    from .http.transport import HTTPTransport as HTTPTransport
    from .llms.custom_llm import CustomLLM as CustomLLM, CustomLLMError as CustomLLMError
    from .llms.event_source import (
        EventSource as EventSource,
        ServerSentEvent as ServerSentEvent,
        SSEError as SSEError,
        aconnect_sse as aconnect_sse,
        connect_sse as connect_sse,
    )
    from .types import (
        ChatCompletionDeltaToolCall as ChatCompletionDeltaToolCall,
        ChatCompletionMessageToolCall as ChatCompletionMessageToolCall,
        Choices as Choices,
        Delta as Delta,
        Embedding as Embedding,
        EmbeddingResponse as EmbeddingResponse,
        Function as Function,
        FunctionCall as FunctionCall,
        GenericStreamingChunk as GenericStreamingChunk,
        ImageObject as ImageObject,
        ImageResponse as ImageResponse,
        Message as Message,
        Model as Model,
        ModelList as ModelList,
        ModelResponse as ModelResponse,
        ModelResponseStream as ModelResponseStream,
        StreamingChoices as StreamingChoices,
        TextChoices as TextChoices,
        TextCompletionResponse as TextCompletionResponse,
        Usage as Usage,
    )
    from .wire.assemble import stream_chunk_builder as stream_chunk_builder

# The user's handlers: a list of {"provider": name, "custom_handler": handler}. Append to it or assign a new one; it is
# read from here at every call, and the last entry for a provider counts.
custom_provider_map: list[dict[str, Any]] = []

_HOMES = {
    "._api": ("acompletion", "aembedding", "aimage_generation", "alist_models", "astreaming", "atext_completion"),
    "._call": ("Attempt",),
    "._client": ("AsyncClient", "aclose"),
    "._routing": ("get_llm_provider", "get_supported_openai_params", "register"),
    "._settings": ("Limits", "RetryPolicy", "Timeouts"),
    "._stream": ("AsyncStream", "Timings"),
    "._sync.api": ("completion", "embedding", "image_generation", "list_models", "streaming", "text_completion"),
    "._sync.client": ("Client",),
    "._sync.stream": ("Stream",),
    ".exceptions": (
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "AuthenticationError",
        "BadGatewayError",
        "BadRequestError",
        "ConflictError",
        "ContentPolicyViolationError",
        "ContextWindowExceededError",
        "ImageFetchError",
        "InternalServerError",
        "LimitExceededError",
        "LiteLLMUnknownProvider",
        "MockException",
        "NotFoundError",
        "PaymentRequiredError",
        "PermissionDeniedError",
        "RateLimitError",
        "RejectedRequestError",
        "ServiceUnavailableError",
        "StreamClosedError",
        "StreamTruncatedError",
        "Timeout",
        "TokenwireError",
        "UnknownProviderError",
        "UnprocessableEntityError",
        "UnsupportedParamsError",
    ),
    ".http.transport": ("HTTPTransport",),
    ".llms.custom_llm": ("CustomLLM", "CustomLLMError"),
    ".llms.event_source": ("EventSource", "SSEError", "ServerSentEvent", "aconnect_sse", "connect_sse"),
    ".types": (
        "ChatCompletionDeltaToolCall",
        "ChatCompletionMessageToolCall",
        "Choices",
        "Delta",
        "Embedding",
        "EmbeddingResponse",
        "Function",
        "FunctionCall",
        "GenericStreamingChunk",
        "ImageObject",
        "ImageResponse",
        "Message",
        "Model",
        "ModelList",
        "ModelResponse",
        "ModelResponseStream",
        "StreamingChoices",
        "TextChoices",
        "TextCompletionResponse",
        "Usage",
    ),
    ".wire.assemble": ("stream_chunk_builder",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(["custom_provider_map", *_HOME_OF])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tokenwire' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home, __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
