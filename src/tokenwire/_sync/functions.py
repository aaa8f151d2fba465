"""The package's sync functions: the methods of the default client, where their docstrings are.

For type checkers the methods' signatures are repeated here, as they do not accept a method for a declared function. A test
compares the two.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

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
from .results import MapResults
from .stream import ParsedStream, Stream

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import TypeForm, Unpack

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
    def completion(
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[False] = False,
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedResponse[T]: ...
    @overload
    def completion(
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[True],
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedStream[ModelResponseStream, T]: ...
    @overload
    def completion(
        model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse: ...
    @overload
    def completion(
        model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
    ) -> Stream[ModelResponseStream]: ...
    @overload
    def completion(
        model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | Stream[ModelResponseStream]: ...
    def completion(
        model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | Stream[ModelResponseStream]: ...
    @overload
    def streaming(
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedStream[GenericStreamingChunk, T]: ...
    @overload
    def streaming(
        model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> Stream[GenericStreamingChunk]: ...
    def streaming(
        model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> Stream[GenericStreamingChunk]: ...
    @overload
    def text_completion(
        model: str,
        prompt: "str | Sequence[Any] | None" = None,
        *,
        stream: Literal[False] = False,
        **params: "Unpack[TextParams]",
    ) -> TextCompletionResponse: ...
    @overload
    def text_completion(
        model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
    ) -> Stream[TextCompletionResponse]: ...
    @overload
    def text_completion(
        model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | Stream[TextCompletionResponse]: ...
    def text_completion(
        model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | Stream[TextCompletionResponse]: ...
    def embedding(
        model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
    ) -> EmbeddingResponse: ...
    def image_generation(prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse: ...
    def image_edit(
        image: "File | Sequence[File]", *, prompt: str, model: str, **params: "Unpack[ImageEditParams]"
    ) -> ImageResponse: ...
    def list_models(model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList: ...
    @overload
    def map(
        model: str,
        inputs: Iterable[Any],
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> MapResults[ParsedResponse[T]]: ...
    @overload
    def map(
        model: str,
        inputs: Iterable[Any],
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> MapResults[ParsedStream[ModelResponseStream, T]]: ...
    @overload
    def map(
        model: str,
        inputs: Iterable[Any],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> MapResults[ModelResponse]: ...
    @overload
    def map(
        model: str,
        inputs: Iterable[Any],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> MapResults[Stream[ModelResponseStream]]: ...
    def map(
        model: str,
        inputs: Iterable[Any],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: bool = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> MapResults[Any]: ...
    def batch_completion(
        model: str, messages: "Sequence[Messages]" = (), *, max_workers: int = 100, **params: "Unpack[ChatParams]"
    ) -> list[ModelResponse | TokenwireError]: ...
else:
    completion = default_client.completion
    streaming = default_client.streaming
    text_completion = default_client.text_completion
    embedding = default_client.embedding
    image_generation = default_client.image_generation
    image_edit = default_client.image_edit
    list_models = default_client.list_models
    map = default_client.map
    batch_completion = default_client.batch_completion
