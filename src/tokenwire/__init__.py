"""tokenwire: call language models, and stream their answers.

>>> import tokenwire
>>> tokenwire.completion("openai/any", [{"role": "user", "content": "Hi"}], mock_response="Hello!").choices[0].message.content
'Hello!'

Names are loaded when they are first used; the table below says from where.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import exceptions
from ._version import __version__ as __version__
from .exceptions import *  # noqa: F403  (all of them: the module has nothing else)

if TYPE_CHECKING:
    from ._calls.deployments import Deployments as Deployments
    from ._calls.gate import Gate as Gate
    from ._calls.routing import (
        get_llm_provider as get_llm_provider,
        get_supported_openai_params as get_supported_openai_params,
        register as register,
    )
    from ._calls.stream import (
        AsyncStream as AsyncStream,
        ParsedAsyncStream as ParsedAsyncStream,
        Timings as Timings,
    )
    from ._client.client import AsyncClient as AsyncClient, aclose as aclose
    from ._client.functions import (
        abatch_completion as abatch_completion,
        acompletion as acompletion,
        aembedding as aembedding,
        aimage_edit as aimage_edit,
        aimage_generation as aimage_generation,
        alist_models as alist_models,
        amap as amap,
        astreaming as astreaming,
        atext_completion as atext_completion,
    )
    from ._settings import (
        Hedge as Hedge,
        Limits as Limits,
        OTel as OTel,
        RetryPolicy as RetryPolicy,
        Timeouts as Timeouts,
    )
    from ._sync.client import Client as Client
    from ._sync.functions import (
        batch_completion as batch_completion,
        completion as completion,
        embedding as embedding,
        image_edit as image_edit,
        image_generation as image_generation,
        list_models as list_models,
        map as map,
        streaming as streaming,
        text_completion as text_completion,
    )
    from ._sync.stream import ParsedStream as ParsedStream, Stream as Stream
    from .http.sse_client import (
        EventSource as EventSource,
        ServerSentEvent as ServerSentEvent,
        SSEError as SSEError,
        aconnect_sse as aconnect_sse,
        connect_sse as connect_sse,
    )
    from .http.transport import HTTPTransport as HTTPTransport
    from .integrations.custom_logger import CustomLogger as CustomLogger
    from .llms.custom_llm import CustomLLM as CustomLLM, CustomLLMError as CustomLLMError
    from .results.calls import PartialToolCall as PartialToolCall
    from .results.partials import Partial as Partial
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
        ParsedChoices as ParsedChoices,
        ParsedMessage as ParsedMessage,
        ParsedResponse as ParsedResponse,
        StreamingChoices as StreamingChoices,
        TextChoices as TextChoices,
        TextCompletionResponse as TextCompletionResponse,
        Usage as Usage,
    )
    from .types.attempts import (
        Attempt as Attempt,
        AttemptDetails as AttemptDetails,
        EndDetails as EndDetails,
        Observer as Observer,
        RequestInfo as RequestInfo,
        Result as Result,
    )
    from .types.client_request import ClientRequest as ClientRequest
    from .wire.assemble import stream_chunk_builder as stream_chunk_builder
    from .wire.partial_json import PartialJSON as PartialJSON

# Notified of every call: see `types.params.CallParams`. Read at every call, as is `custom_provider_map`.
callbacks: list[Any] = []
success_callback: list[Any] = []
failure_callback: list[Any] = []

# The user's handlers: a list of {"provider": name, "custom_handler": handler}. Append to it or assign a new list. It is read
# at every call, and the last entry for a provider is used.
custom_provider_map: list[dict[str, Any]] = []

_HOMES = {
    "._calls.deployments": "Deployments",
    "._calls.gate": "Gate",
    "._calls.routing": "get_llm_provider get_supported_openai_params register",
    "._calls.stream": "AsyncStream ParsedAsyncStream Timings",
    "._client.client": "AsyncClient aclose",
    "._client.functions": """
        abatch_completion acompletion aembedding aimage_edit aimage_generation alist_models amap astreaming atext_completion
    """,
    "._settings": "Hedge Limits OTel RetryPolicy Timeouts",
    "._sync.client": "Client",
    "._sync.functions": "batch_completion completion embedding image_edit image_generation list_models map streaming text_completion",
    "._sync.stream": "ParsedStream Stream",
    ".http.sse_client": "EventSource SSEError ServerSentEvent aconnect_sse connect_sse",
    ".http.transport": "HTTPTransport",
    ".integrations.custom_logger": "CustomLogger",
    ".llms.custom_llm": "CustomLLM CustomLLMError",
    ".results.calls": "PartialToolCall",
    ".results.partials": "Partial",
    ".types": """
        ChatCompletionDeltaToolCall ChatCompletionMessageToolCall Choices Delta Embedding EmbeddingResponse Function
        FunctionCall GenericStreamingChunk ImageObject ImageResponse Message Model ModelList ModelResponse
        ModelResponseStream ParsedChoices ParsedMessage ParsedResponse StreamingChoices TextChoices TextCompletionResponse Usage
    """,
    ".types.attempts": "Attempt AttemptDetails EndDetails Observer RequestInfo Result",
    ".types.client_request": "ClientRequest",
    ".wire.assemble": "stream_chunk_builder",
    ".wire.partial_json": "PartialJSON",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

_SETTINGS = ("callbacks", "custom_provider_map", "failure_callback", "success_callback")
__all__ = sorted([*_SETTINGS, *_HOME_OF, *exceptions.__all__])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(_absence_of(name), name=name, obj=sys.modules[__name__])
    value = globals()[name] = getattr(import_module(home, __name__), name)
    return value


def _absence_of(name: str) -> str:
    sentence = f"module 'tokenwire' has no attribute {name!r}"
    if name.startswith("_"):
        return sentence
    from ._absent import advice_for

    advice = advice_for(name)
    return sentence if advice is None else f"{sentence}, as LiteLLM has it: {advice}"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package. Assigning a setting of LiteLLM's that it does not have raises an error, as it would have no effect; so does
    assigning a misspelled one.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, ModuleType):  # otherwise a submodule that was imported
            from ._keywords import CALLBACKS, check_setting

            check_setting(name, value)
            if name in CALLBACKS:
                from ._calls.callbacks import checked

                checked(name, value)
            if name not in self.__dict__ and name not in _HOME_OF and not name.startswith("_"):
                from ._calls.unknown import refuse_misspelled_setting

                refuse_misspelled_setting(name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
