"""A user's handler as a backend.

A handler may be a `CustomLLM`, any object with some of its methods, or a function. `Bridge` inspects it and derives the
missing methods: async from sync in a worker thread, a whole answer from a stream, a stream from a whole answer. It
translates the handler's exceptions into ours, and what the handler yields into chunks.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import anyio

from .. import _loops
from .._reading import FOREVER
from ..exceptions import APIError, StreamTruncatedError, Timeout, refused, without_secrets
from ..types import (
    Choices,
    EmbeddingResponse,
    ImageResponse,
    Message,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
    TokenCount,
)
from ..types._record import in_own_terms
from ..types._response import Response
from ..wire.assemble import Assembler
from ..wire.convert import Shape, chat_response, piece_of, text_response
from .backend import Request, Senders
from .base import ChunkSource
from .blocking import watched
from .custom_llm import NOT_IMPLEMENTED, CustomLLMError, is_missing
from .handler_errors import cause_of, is_handlers_own, name_of, says_stream_twice, translated, unusable
from .handler_items import Items, is_stream, items_of
from .handler_keywords import BY_NAME, by_name_of, is_text, keywords_of
from .handler_source import HandlerSource, refuse_hidden_text, whole_class_of

T = TypeVar("T")

WHOLE, STREAMING = ("acompletion", "completion"), ("astreaming", "streaming")  # the first method that exists is called
EMBEDDING, IMAGE = ("aembedding", "embedding"), ("aimage_generation", "image_generation")
IMAGE_EDIT = ("aimage_edit", "image_edit")
TOKENS = ("acount_tokens", "count_tokens")
METHODS = WHOLE + STREAMING + EMBEDDING + IMAGE + IMAGE_EDIT + TOKENS
_DOES_NOT = {
    "embedding": "makes no embeddings",
    "image": "makes no images",
    "image_edit": "edits no images",
    "tokens": "counts no tokens",
}
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
MISSING: Any = object()  # in place of an answer, from a handler that lacks the method; None would be an answer

NO_TOKENS = "prompt must be text: this model takes no token ids (for that, its handler needs a parameter named `prompt`)"


class Method:
    """One method of a handler, or a function registered as a handler.

    Attributes:
        named: the keywords that it names.
        streams: whether it returns a stream.
        wants_http_client: whether `http_client` is one of them, and it is async, so that it can use it.
        says_stream: whether it passes `stream` itself, beside `**optional_params`, which must not have it then. Handlers
            written for LiteLLM rely on `stream` being there, so this is found out when the method is first called.
    """

    def __init__(self, function: Callable[..., Any], name: str, *, streams: bool) -> None:
        self.function: Callable[..., Any] = function
        self.streams: bool = streams
        self._name = name
        self.named: frozenset[str]
        self.named, self._takes_any = _named_by(function)
        # Calling a sync or async generator function only creates the generator: none of its code runs yet.
        self.is_generator: bool = inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)
        self._on_loop = self.is_generator or inspect.iscoroutinefunction(function)
        self.wants_http_client: bool = "http_client" in self.named and self._on_loop
        self.says_stream: bool = False

    def begin(self, keywords: Mapping[str, Any]) -> object:
        """Call a method that `is_generator`: this does not wait, and none of its code runs yet."""
        return self.function(**self._taken(keywords))

    async def __call__(self, keywords: Mapping[str, Any]) -> object:
        """Call it: a sync function in a worker thread, as it may block."""
        keywords = self._taken(keywords)
        if self._on_loop:
            result = self.function(**keywords)
        else:
            from .threaded_iterator import run_in_thread

            result = await run_in_thread(self.function, **keywords)
        if inspect.iscoroutine(result):
            return await watched(result, self._name)
        return await result if inspect.isawaitable(result) else result

    def _taken(self, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
        return keywords if self._takes_any else {name: value for name, value in keywords.items() if name in self.named}


def _named_by(function: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """The keywords that a function names, and whether it takes any others."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset(), True
    kinds = {parameter.name: parameter.kind for parameter in parameters}
    named = frozenset(name for name, kind in kinds.items() if kind in _BY_NAME)
    return named, inspect.Parameter.VAR_KEYWORD in kinds.values()


class Bridge:
    """A handler as a `Backend`."""

    json_mode: str = "schema"
    num_retries: int = 0  # a failed handler may have had any effect: it is retried only if the caller sets a number

    def __init__(self, handler: object) -> None:
        self.handler = handler
        self.name: str = name_of(handler)
        self._methods: dict[str, Method] = {}
        self._role = ""  # for a function registered as a handler: the method that it implements
        if callable(handler) and all(is_missing(getattr(handler, name, None)) for name in METHODS):
            function = handler if inspect.isroutine(handler) or isinstance(handler, partial) else handler.__call__
            self._role = _role_of(function)
            self._methods[self._role] = Method(function, self.name, streams=self._role in STREAMING)

    def dialect_of(self, model: str) -> str:
        """See `Backend`."""
        return ""

    def prepare(self, request: Request) -> "HandlerCall":
        """See `Backend`."""
        return HandlerCall(self, request)

    def keywords(self, *, stream: bool) -> frozenset[str]:
        """The keywords named by the method that answers completions, streamed or not."""
        methods = map(self.method, STREAMING + WHOLE if stream else WHOLE + STREAMING)
        return next((method.named for method in methods if method is not None), frozenset())

    def method(self, name: str) -> Method | None:
        """The handler's method of this name; None if it has none. Inspected once, and again if it has been replaced."""
        method = self._methods.get(name)
        if self._role:
            return method
        function: Callable[..., Any] | None = getattr(self.handler, name, None)
        if function is None or is_missing(function):
            return None
        if method is None or method.function != function:
            method = self._methods[name] = Method(function, self.name, streams=name in STREAMING)
        return method


class HandlerCall:
    """One call of a handler; a `Prepared`."""

    __slots__ = ("_bridge", "_has_tokens", "_keywords", "_kind", "_model", "_request", "_ssl_verify", "api_base")

    def __init__(self, bridge: Bridge, request: Request) -> None:
        self._bridge = bridge
        self._kind = request.kind
        self._model = request.model
        api_base = request.options.api_base
        self.api_base: str | None = None if api_base is None else without_secrets(api_base)
        self._ssl_verify = request.options.ssl_verify
        self._keywords, self._request = keywords_of(request), request
        self._has_tokens = request.kind == "text" and not is_text(request.content)

    @property
    def address(self) -> str:
        """See `Prepared`."""
        return f"the handler {self._bridge.name}"

    @property
    def request(self) -> None:
        """See `Prepared`: a handler's requests are its own."""

    def traced(self, headers: Callable[[], dict[str, str]], waits: list[float]) -> "HandlerCall":
        """See `Prepared`. Nothing to add: the handler runs in the trace's context."""
        return self

    async def answer(self, via: Senders, deadline: float) -> Response:
        """A whole answer, from the handler's own method or collected from its stream; see `Prepared`."""
        return await _in_time(self._answer(via), deadline)

    async def open(self, via: Senders, shape: Shape, deadline: float) -> ChunkSource[Any]:
        """A stream, the handler's own or made of its whole answer; see `Prepared`."""
        method = self._first_method(STREAMING)
        if method is not None and method.is_generator:  # creating it does not wait
            with _ours():
                return self._generated(method, via, shape)
        return await _in_time(self._open(via, shape, deadline), deadline)

    def _generated(self, method: Method, via: Senders, shape: Shape) -> HandlerSource:
        """What a generator function will yield."""
        again = None if method.says_stream else partial(self._again, method, via)
        return HandlerSource(self._items(method, via), self._bridge.name, self._model, shape, again)

    def _items(self, method: Method, via: Senders) -> Items:
        items = items_of(method.begin(self._keywords_for(method, via)), self._bridge.name)
        assert items is not None
        return items

    def _again(self, method: Method, via: Senders, error: BaseException) -> Items | None:
        """Its items without `stream` among its parameters, if that is what was wrong."""
        if not says_stream_twice(error):
            return None
        method.says_stream = True
        return self._items(method, via)

    async def _answer(self, via: Senders) -> Response:
        if self._kind == "embedding":
            return self._one_of(EmbeddingResponse, await self._first_of(via, *EMBEDDING))
        if self._kind == "image":
            return self._one_of(ImageResponse, await self._first_of(via, *IMAGE))
        if self._kind == "image_edit":
            return self._one_of(ImageResponse, await self._first_of(via, *IMAGE_EDIT))
        if self._kind == "tokens":
            return self._count(await self._first_of(via, *TOKENS))
        if self._kind == "models":
            return await self._list_models()
        return self._whole(await self._completion(via))

    async def _open(self, via: Senders, shape: Shape, deadline: float) -> ChunkSource[Any]:
        result = await self._first_of(via, *STREAMING, missing_ok=True)
        if result is MISSING:
            result = await self._first_of(via, *WHOLE)
        return await self._source(result, shape, deadline)

    async def _completion(self, via: Senders) -> object:
        result = await self._first_of(via, *WHOLE, missing_ok=True)
        if result is MISSING:
            method = self._first_method(STREAMING)
            if method is not None and method.is_generator:
                return await self._collect(self._generated(method, via, ModelResponseStream))
            result = await self._first_of(via, *STREAMING)
        elif not is_stream(result):
            return result
        # Also of a function that did not look like a generator function.
        return await self._collect(await self._source(result, ModelResponseStream, FOREVER))

    async def _list_models(self) -> Response:
        method = getattr(self._bridge.handler, "alist_models", None)
        if method is None:
            raise APIError(f"the handler {self._bridge.name} cannot list models", fault="handler")
        return self._one_of(ModelList, await method(**self._keywords))

    async def _first_of(self, via: Senders, *names: str, missing_ok: bool = False) -> object:
        """The result of the first of these methods that is implemented; if none is, `MISSING` or an error.

        A handler written for LiteLLM may return LiteLLM's models: these are converted to dicts.
        """
        for name in names:
            method = self._bridge.method(name)
            if method is None:
                continue
            try:
                return in_own_terms(await self._result_of(method, via))
            except Exception as error:
                # A user's base class may raise this when it is called, as on LiteLLM's page.
                if getattr(error, "message", None) != NOT_IMPLEMENTED:
                    raise
        if missing_ok:
            return MISSING
        if self._kind in _DOES_NOT:
            message = f"the handler {self._bridge.name} {_DOES_NOT[self._kind]}: it has no method {' or '.join(names)}"
            raise APIError(message, status_code=501, code="not_supported", fault="handler")
        raise CustomLLMError(status_code=500, message=NOT_IMPLEMENTED)

    async def _result_of(self, method: Method, via: Senders) -> object:
        try:
            return await method(self._keywords_for(method, via))
        except TypeError as error:
            if method.says_stream or not says_stream_twice(error):
                raise
        method.says_stream = True
        return await method(self._keywords_for(method, via))

    def _first_method(self, names: tuple[str, ...]) -> Method | None:
        return next((method for method in map(self._bridge.method, names) if method is not None), None)

    def _keywords_for(self, method: Method, via: Senders) -> Mapping[str, Any]:
        if self._has_tokens and "prompt" not in method.named:
            raise refused("prompt", NO_TOKENS)
        keywords: dict[str, Any] = self._keywords
        if method.wants_http_client:
            keywords = {**keywords, "http_client": via.http_client(self._ssl_verify)}
        if not method.named.isdisjoint(BY_NAME):
            by_name = by_name_of(self._request)
            keywords = {**keywords, **{name: by_name[name] for name in method.named & by_name.keys()}}
        params: dict[str, Any] = keywords.get("optional_params", {})
        if method.says_stream:
            return {**keywords, "optional_params": {name: value for name, value in params.items() if name != "stream"}}
        if method.streams and not self._request.stream:  # though a whole answer is made of it
            return {**keywords, "optional_params": {**params, "stream": True}}
        return keywords

    async def _source(self, result: object, shape: Shape, deadline: float) -> ChunkSource[Any]:
        if isinstance(result, ChunkSource):
            result.shape = shape
            try:
                await result.start(deadline)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await result.aclose()
                raise
            return result
        items = items_of(result, self._bridge.name)
        if items is None:
            raise unusable(self._bridge.name, result, "an iterator of chunks")
        return HandlerSource(items, self._bridge.name, self._model, shape)

    async def _collect(self, source: ChunkSource[Any]) -> object:
        try:
            while await source.receive():
                pass
            response = source.assembler.response()
            if not source.done and not source.assembler.is_complete():
                message = f"the handler {self._bridge.name} ended its stream without a finish reason for every choice"
                raise StreamTruncatedError(message, partial=response)
            return response
        finally:
            with anyio.CancelScope(shield=True):
                await source.aclose()

    def _whole(self, result: object) -> Response:
        """A whole completion of the requested kind."""
        if isinstance(result, str):
            result = ModelResponse(model=self._model, choices=[Choices(message=Message(content=result))])
        elif isinstance(result, dict) and "choices" in result:
            result = (whole_class_of(result) or ModelResponse)(**result)
        if isinstance(result, ModelResponse):
            result = self._checked(result)
            return text_response(result) if self._kind == "text" else result
        if isinstance(result, TextCompletionResponse):
            return result if self._kind == "text" else chat_response(result)
        raise unusable(self._bridge.name, result, "a ModelResponse, a dict of one, or str")

    def _checked(self, response: ModelResponse) -> ModelResponse:
        """The answer with its text in its messages; LiteLLM's `ModelResponse(stream=True)` is converted from its delta."""
        piece = piece_of(response)
        if piece is not None:
            assembler = Assembler(ModelResponse)
            assembler.add(piece)
            response = cast("ModelResponse", assembler.response())
        try:
            refuse_hidden_text(response)
        except TypeError as error:
            raise unusable(self._bridge.name, response, f"a ModelResponse with its text in its messages ({error})") from error
        return response

    def _count(self, result: object) -> TokenCount:
        tokens = result.get("input_tokens") if isinstance(result, dict) else result
        if isinstance(tokens, TokenCount):
            return tokens
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
            raise unusable(self._bridge.name, result, "a number of tokens, or a dict with it as input_tokens")
        return TokenCount(input_tokens=tokens)

    def _one_of(self, cls: type[Response], result: object) -> Response:
        if isinstance(result, dict) and "data" in result:
            result = cls(**result)
        if not isinstance(result, cls):
            raise unusable(self._bridge.name, result, f"an {cls.__name__} or a dict of one")
        return result


def _role_of(function: Callable[..., Any]) -> str:
    """The handler method that a registered function implements, by the kind of function."""
    if inspect.isasyncgenfunction(function):
        return "astreaming"
    if inspect.iscoroutinefunction(function):
        return "acompletion"
    return "streaming" if inspect.isgeneratorfunction(function) else "completion"


async def _in_time(work: Awaitable[T], deadline: float) -> T:
    """Await a handler's work until `deadline`, and translate its exceptions into ours."""
    with _ours():
        if deadline == FOREVER:
            return await work
        with anyio.move_on_after(deadline - _loops.now()):
            return await work
    raise Timeout("no answer in time")


class _ours:  # noqa: N801  (a context manager that is read like a function)
    """Translates a handler's exceptions into ours."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None and is_handlers_own(error):
            raise translated(error) from cause_of(error)
