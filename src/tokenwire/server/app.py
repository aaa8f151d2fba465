"""The ASGI app: who may ask, for what, how much at once; and who answers."""

import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from hmac import compare_digest
from typing import Any, TypeAlias, TypeVar

import anyio
from msgspec import Struct

import tokenwire
from tokenwire import AuthenticationError, BadRequestError, NotFoundError, RateLimitError, StreamTruncatedError, Timeout

from .bodies import chat_body, embedding_body, image_body, text_body
from .errors import refusal_for
from .events import ChatEvents, TextEvents
from .exchange import JSON, ClientLeft, Exchange, Receive, Scope, Send
from .metrics import Recorder
from .models import Offer, names_of, offer_of
from .openapi import describe
from .requests import ChatRequest, CompletionRequest, EmbeddingRequest, ImageRequest, TextRequest, keywords_of, parse_body

MAX_BODY = 32 * 1024 * 1024  # room for a few pictures
PARTING_SECONDS = 5.0  # how long the last words to a client may take whose time has run out
RETRY_AFTER = 1.0  # seconds

R = TypeVar("R", bound=Struct)

Endpoint: TypeAlias = Callable[[Exchange], Awaitable[None]]


def create_app(
    models: Mapping[str, Any],
    *,
    api_keys: Iterable[str] = (),
    max_concurrency: int | None = None,
    max_body: int = MAX_BODY,
    keepalive_seconds: float | None = 15.0,
    request_timeout: float | None = None,
    metrics: bool = False,
) -> "App":
    """An OpenAI-compatible endpoint as an ASGI app, for any ASGI server or to mount in another app.

    It answers, with and without `/v1` in front: `POST /chat/completions`, `/completions`, `/embeddings` and
    `/images/generations`, `GET /models`, `/models/{id}`, `/health` and `/openapi.json`.

    Args:
        models: by the name that clients ask for: a handler (whatever `tokenwire.register` takes), a model string such as
            "openai/gpt-4o-mini" (what the endpoint sends is passed through untouched), or a mapping of keywords for the
            call, `{"model": "openai/m", "api_base": ..., "api_key": ...}`.
        api_keys: clients must send one of them as their bearer token; with none, anybody is served.
        max_concurrency: how many calls of models may be under way; one more is refused with 429. None is no limit.
        max_body: bytes that a request's body may have.
        keepalive_seconds: a stream that has begun is never silent for longer, None for as long as it likes. A comment is
            sent that clients skip. Before the first chunk nothing is sent, since the status is not known.
        request_timeout: seconds that a request may take in all, None for as long as it likes.
        metrics: serve `GET /metrics`.

    The answer to a stream begins with the first chunk, so an error before it has its own status; a later one is an event
    in the stream. A client that leaves cancels the handler at once, and one that reads slowly slows it.

    Handlers that are given here answer this app's clients alone, and are registered nowhere.

    The app's connections to other endpoints are closed by its lifespan; where that does not run, when the event loop ends.

    Raises:
        BadRequestError: an argument is wrong; the message names it.
    """
    return App(
        offer_of(models),
        api_keys=_keys(api_keys),
        max_concurrency=_at_least(1, max_concurrency, "max_concurrency"),
        max_body=_at_least(1, max_body, "max_body"),
        keepalive_seconds=_more_than_0(keepalive_seconds, "keepalive_seconds"),
        request_timeout=_more_than_0(request_timeout, "request_timeout"),
        metrics=metrics,
    )


def _keys(api_keys: Iterable[str]) -> tuple[bytes, ...]:
    keys = None if isinstance(api_keys, str) else tuple(api_keys)
    if keys is None or not all(isinstance(key, str) and key for key in keys):
        raise BadRequestError("api_keys must be a list of str, none of them empty", param="api_keys")
    return tuple(key.encode() for key in keys)


def _at_least(least: int, value: Any, name: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise BadRequestError(f"{name} must be a whole number, {least} or more, not {value!r}", param=name)
    return value


def _more_than_0(value: Any, name: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise BadRequestError(f"{name} must be a number of seconds, more than 0, not {value!r}", param=name)
    return value


class App:
    """What `create_app` returns: an ASGI app.

    Attributes:
        in_flight: how many calls of models are under way.
    """

    def __init__(
        self,
        offer: Offer,
        *,
        api_keys: tuple[bytes, ...],
        max_concurrency: int | None,
        max_body: int,
        keepalive_seconds: float | None,
        request_timeout: float | None,
        metrics: bool,
    ) -> None:
        self.in_flight: int = 0
        self._became_idle: anyio.Event | None = None  # while the lifespan waits for it
        self._models = offer.models
        self._names = {name: names_of(name, keywords) for name, keywords in offer.models.items()}
        self._recorder = Recorder(metrics=metrics)
        self._created = int(time.time())
        self._api_keys = api_keys
        self._max_concurrency = max_concurrency
        self._max_body = max_body
        self._keepalive_seconds = keepalive_seconds
        self._request_timeout = request_timeout
        # Makes the calls. The lifespan ends the one that it began with, and what comes later has another.
        self._new_client = partial(tokenwire.AsyncClient, handlers=offer.handlers)
        self._calls = self._new_client()
        self._routes: dict[str, dict[str, Endpoint]] = {
            "/chat/completions": {"POST": self._chat},
            "/completions": {"POST": self._text},
            "/embeddings": {"POST": self._embed},
            "/images/generations": {"POST": self._make_images},
            "/models": {"GET": self._list_models},
            "/health": {"GET": self._tell_health},
            "/openapi.json": {"GET": self._tell_openapi},
        }
        if metrics:
            self._routes["/metrics"] = {"GET": self._tell_metrics}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope; see the ASGI specification, 3.0."""
        if scope["type"] == "http":
            await self._serve(Exchange(scope, receive, send))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._new_client() as self._calls:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            with anyio.move_on_after(PARTING_SECONDS):  # the server cancels what takes too long: let it clean up
                await self._idle()
        self._calls = self._new_client()
        await send({"type": "lifespan.shutdown.complete"})

    async def _idle(self) -> None:
        """Wait until no call of a model is under way."""
        if self.in_flight:
            self._became_idle = anyio.Event()
            await self._became_idle.wait()

    async def _serve(self, exchange: Exchange) -> None:
        self._recorder.begin()
        try:
            if self._request_timeout is None:
                await self._answer(exchange)
            else:
                await self._answer_in_time(exchange, self._request_timeout)
        except ClientLeft:
            pass
        finally:
            exchange.end("cancelled")
            self._recorder.end(exchange)

    async def _answer_in_time(self, exchange: Exchange, seconds: float) -> None:
        with anyio.move_on_after(seconds) as scope:
            await self._answer(exchange)
        if scope.cancelled_caught and exchange.outcome is None:
            await self._refuse(exchange, Timeout(f"no answer within {seconds:.3g} s"))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._endpoint(exchange)(exchange)
        except ClientLeft:
            raise
        except Exception as error:  # noqa: BLE001  (the boundary: whatever went wrong, the client is told)
            await self._refuse(exchange, error)
        else:
            exchange.end("complete")

    async def _refuse(self, exchange: Exchange, error: Exception) -> None:
        refusal = refusal_for(error, exchange.request_id)
        with anyio.move_on_after(PARTING_SECONDS):
            if exchange.status is None:
                await exchange.respond(refusal.status, refusal.body(), (JSON, *refusal.headers))
            elif exchange.streamed:
                await exchange.end_stream(refusal.event())
        exchange.end("truncated" if isinstance(error, StreamTruncatedError) else "error")

    def _endpoint(self, exchange: Exchange) -> Endpoint:
        """What answers a request.

        Raises:
            APIError: nothing does.
        """
        path, method = exchange.path, exchange.method
        by_method = self._routes.get(path)
        if by_method is None and path.startswith("/models/"):
            by_method = {"GET": self._tell_model}
        if by_method is None:
            raise NotFoundError(f"there is nothing at {method} {path:.200}", code="unknown_url")
        endpoint = by_method.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            allowed = ", ".join(by_method)
            message = f"{path:.200} takes {allowed}, not {method:.20}"
            raise BadRequestError(message, status_code=405, code="method_not_allowed", headers={"allow": allowed})
        if path != "/health":
            self._check_key(exchange.headers.get(b"authorization", b""))
        return endpoint

    def _check_key(self, authorization: bytes) -> None:
        if not self._api_keys:
            return
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not given:
            message = "no API key: send one as `Authorization: Bearer KEY`"
            raise AuthenticationError(message, code="missing_api_key")
        known = False
        for key in self._api_keys:  # all of them, so that the time it takes says nothing
            known |= compare_digest(key, given.strip())
        if not known:
            raise AuthenticationError("this API key is not known here", code="invalid_api_key")

    @contextmanager
    def _place(self) -> Generator[None, None, None]:
        """One of the places for calls; raises RateLimitError when all are taken."""
        if self._max_concurrency is not None and self.in_flight >= self._max_concurrency:
            message = "too many requests are under way; try again in a moment"
            raise RateLimitError(message, code="too_many_requests", retry_after=RETRY_AFTER)
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight and self._became_idle is not None:
                self._became_idle.set()

    async def _ask(self, exchange: Exchange, cls: type[R], content: str) -> tuple[R, dict[str, Any]]:
        """The request's body, checked, and the keywords of the call that it asks for.

        Args:
            content: the name of the field that the model answers.
        """
        request, fields = parse_body(await exchange.read(self._max_body), cls)
        name = fields["model"]
        target = self._models.get(name)
        if target is None:
            raise _unknown_model(name)
        exchange.model = name
        exchange.streamed = bool(fields.get("stream"))
        if exchange.streamed and not isinstance(request, CompletionRequest):
            raise BadRequestError("stream: this answer can't be streamed", param="stream")
        keywords = keywords_of(fields)
        if "extra_body" in keywords and "extra_body" in target:
            keywords["extra_body"] |= target["extra_body"]
        return request, {**target, **keywords, content: fields[content]}

    async def _chat(self, exchange: Exchange) -> None:
        with self._place():
            request, keywords = await self._ask(exchange, ChatRequest, "messages")
            if exchange.streamed:
                await self._stream(exchange, request, ChatEvents, self._calls.acompletion, keywords)
            else:
                response = await exchange.while_connected(partial(self._calls.acompletion, **keywords))
                await exchange.respond(200, chat_body(response, self._names[request.model]))

    async def _text(self, exchange: Exchange) -> None:
        with self._place():
            request, keywords = await self._ask(exchange, TextRequest, "prompt")
            if exchange.streamed:
                await self._stream(exchange, request, TextEvents, self._calls.atext_completion, keywords)
            else:
                response = await exchange.while_connected(partial(self._calls.atext_completion, **keywords))
                await exchange.respond(200, text_body(response, self._names[request.model]))

    async def _stream(
        self, exchange: Exchange, request: CompletionRequest, encoder: type[ChatEvents], call: Any, keywords: dict[str, Any]
    ) -> None:
        async def work() -> None:
            async with await call(**keywords, stream=True) as stream:
                events = encoder(
                    self._names[request.model], include_usage=request.include_usage, from_endpoint=bool(stream.response_headers)
                )
                async for chunk in stream.take_bare_text():
                    data = events.encode(chunk)
                    ready = stream.take_ready()
                    if ready:
                        data = b"".join([data, *map(events.encode, ready)])
                    if data:
                        await exchange.send_event(data, 1 + len(ready))
                await exchange.end_stream(events.ending(stream.usage))
                exchange.end("complete")  # here: that the client closes the connection now is its good right

        await exchange.while_connected(work, self._keepalive_seconds)

    async def _embed(self, exchange: Exchange) -> None:
        with self._place():
            request, keywords = await self._ask(exchange, EmbeddingRequest, "input")
            response = await exchange.while_connected(partial(self._calls.aembedding, **keywords))
            await exchange.respond(200, embedding_body(response, self._names[request.model], request.encoding_format))

    async def _make_images(self, exchange: Exchange) -> None:
        with self._place():
            _, keywords = await self._ask(exchange, ImageRequest, "prompt")
            response = await exchange.while_connected(partial(self._calls.aimage_generation, **keywords))
            await exchange.respond(200, image_body(response))

    async def _list_models(self, exchange: Exchange) -> None:
        await exchange.respond_json({"object": "list", "data": [self._model(name) for name in self._models]})

    async def _tell_model(self, exchange: Exchange) -> None:
        name = exchange.path.removeprefix("/models/")
        if name not in self._models:
            raise _unknown_model(name)
        await exchange.respond_json(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "tokenwire"}

    async def _tell_health(self, exchange: Exchange) -> None:
        await exchange.respond_json({"status": "ok"})

    async def _tell_openapi(self, exchange: Exchange) -> None:
        metrics = "/metrics" in self._routes
        await exchange.respond_json(describe(self._models, with_keys=bool(self._api_keys), metrics=metrics))

    async def _tell_metrics(self, exchange: Exchange) -> None:
        body, content_type = self._recorder.exposition()
        await exchange.respond(200, body, ((b"content-type", content_type.encode()),))


def _unknown_model(name: str) -> NotFoundError:
    message = f"the model {name[:200]!r} does not exist; GET /models lists those that do"
    return NotFoundError(message, code="model_not_found", param="model")
