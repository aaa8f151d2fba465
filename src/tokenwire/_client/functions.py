"""The package's functions: the methods of the default client, where their docstrings are.

For type checkers the methods' signatures are repeated here, as they do not accept a method for a declared function. A test
compares the two.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .._calls.stream import AsyncStream, ParsedAsyncStream
from ..exceptions import TokenwireError
from ..types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    ParsedResponse,
    TextCompletionResponse,
)
from .client import default_client as default_client

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import TypeForm, Unpack

    from ..jobs.map import Inputs, Results
    from ..types.images import File
    from ..types.params import (
        CallParams,
        ChatParams,
        EmbeddingParams,
        ImageEditParams,
        ImageParams,
        Messages,
        TextParams,
        TypedChatParams,
    )

    @overload
    async def acompletion(
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[False] = False,
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedResponse[T]: ...
    @overload
    async def acompletion(
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[True],
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedAsyncStream[ModelResponseStream, T]: ...
    @overload
    async def acompletion(
        model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse: ...
    @overload
    async def acompletion(
        model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
    ) -> AsyncStream[ModelResponseStream]: ...
    @overload
    async def acompletion(
        model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | AsyncStream[ModelResponseStream]: ...
    async def acompletion(
        model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | AsyncStream[ModelResponseStream]: ...
    @overload
    def astreaming(
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedAsyncStream[GenericStreamingChunk, T]: ...
    @overload
    def astreaming(
        model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> AsyncStream[GenericStreamingChunk]: ...
    def astreaming(
        model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> AsyncStream[GenericStreamingChunk]: ...
    @overload
    async def atext_completion(
        model: str,
        prompt: "str | Sequence[Any] | None" = None,
        *,
        stream: Literal[False] = False,
        **params: "Unpack[TextParams]",
    ) -> TextCompletionResponse: ...
    @overload
    async def atext_completion(
        model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
    ) -> AsyncStream[TextCompletionResponse]: ...
    @overload
    async def atext_completion(
        model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | AsyncStream[TextCompletionResponse]: ...
    async def atext_completion(
        model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | AsyncStream[TextCompletionResponse]: ...
    async def aembedding(
        model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
    ) -> EmbeddingResponse: ...
    async def aimage_generation(prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse: ...
    async def aimage_edit(
        image: "File | Sequence[File]", *, prompt: str, model: str, **params: "Unpack[ImageEditParams]"
    ) -> ImageResponse: ...
    async def alist_models(model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList: ...
    @overload
    def amap(
        model: str,
        inputs: "Inputs",
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> "Results[ParsedResponse[T]]": ...
    @overload
    def amap(
        model: str,
        inputs: "Inputs",
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> "Results[ParsedAsyncStream[ModelResponseStream, T]]": ...
    @overload
    def amap(
        model: str,
        inputs: "Inputs",
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> "Results[ModelResponse]": ...
    @overload
    def amap(
        model: str,
        inputs: "Inputs",
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> "Results[AsyncStream[ModelResponseStream]]": ...
    def amap(
        model: str,
        inputs: "Inputs",
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: bool = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> "Results[Any]": ...
    async def abatch_completion(
        model: str, messages: "Sequence[Messages]" = (), *, max_workers: int = 100, **params: "Unpack[ChatParams]"
    ) -> list[ModelResponse | TokenwireError]: ...
else:
    acompletion = default_client.acompletion
    astreaming = default_client.astreaming
    atext_completion = default_client.atext_completion
    aembedding = default_client.aembedding
    aimage_generation = default_client.aimage_generation
    aimage_edit = default_client.aimage_edit
    alist_models = default_client.alist_models
    amap = default_client.amap
    abatch_completion = default_client.abatch_completion
