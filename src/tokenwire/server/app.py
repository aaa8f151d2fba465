"""The ASGI app: checks who may ask for what and how much at once, and makes the calls that answer."""

import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

import anyio
from msgspec import Struct

import tokenwire
from tokenwire import APIError, BadRequestError, NotFoundError, StreamTruncatedError, Timeout, _keywords
from tokenwire.types import Original, body_passed_on

from . import tracing
from .cors import CORS
from .early import opened_early
from .errors import refusal_for
from .keys import check_key
from .metrics import Recorder
from .models import Model, Models, models_of
from .one import OneCall
from .origins import Origins, origins_of
from .plans import may_take_several, plan_of
from .requests import json_in, parse_body
from .route import About, ModelCall, Route, methods_at
from .routes import FRONT, METRICS, PAGE, ROUTES, refusal_at
from .several import Several
from .slots import Slots, Waiter, too_many
from .visit import ClientLeft, Receive, Scope, Send, Visit

logger: logging.Logger = logging.getLogger("tokenwire.server")

HANDLER = ""  # instead of the name of a dialect
MESSAGES = "messages"  # the dialect whose endpoints take nearly all that requests to other routes can express
OF_MESSAGES = ("anthropic-beta", "anthropic-version")  # headers that belong to a request's meaning there
# Options that clients send by default, as Codex does for web search. Only a handler that names them gets them: others would
# pass them on to a model, and many models refuse them. The client's own fields are in `client_request.body`.
OFFERED = frozenset({"web_search_options"})
MAX_BODY = 32 * 1024 * 1024  # enough for a few pictures
CLOSING_SECONDS = 5.0  # to send an error to a client, and for the last calls to end at shutdown


def create_app(
    models: Mapping[str, Any],
    *,
    handlers: Mapping[str, Any] | None = None,
    api_keys: Iterable[str] = (),
    max_concurrency: int | None = None,
    max_queue: int = 0,
    queue_seconds: float = 30.0,
    max_body: int = MAX_BODY,
    keepalive_seconds: float | None = 15.0,
    early_stream: float | None = None,
    request_timeout: float | None = None,
    cors: Iterable[str] = (),
    metrics: bool = False,
    page: bool = False,
) -> "App":
    """An OpenAI-compatible endpoint as an ASGI app, for any ASGI server or to mount in another app.

    It answers OpenAI's requests for chat and text completions, responses, embeddings, images and models, and Anthropic's for
    messages, with and without `/v1` in front of their paths. It has a health check and an OpenAPI description;
    `server/routes.py` lists the paths.

    Args:
        models: by the name that clients ask for: a handler (anything that `tokenwire.register` takes), a model string such as
            "openai/gpt-4o-mini" (an endpoint's answer in the client's own API is passed on unchanged), or a mapping of
            keywords for the call, `{"model": "openai/m", "api_base": ..., "api_key": ...}`. Or a `tokenwire.Deployments`, or a
            list of such strings and mappings to make one of, which share the calls.
        handlers: by provider, the handlers for the model strings "<provider>/..." in `models`; anything that
            `tokenwire.register` takes.
        api_keys: clients must send one of them, as their bearer token or in the header `api-key` or `x-api-key`; without
            keys, every client is served.
        max_concurrency: how many calls of models may run at the same time; one more is refused with 429. None: no limit. With
            a limit, answers have OpenAI's headers that say how many more are possible: `x-ratelimit-limit-requests` and others.
        max_queue: how many more calls may wait, first come, first served; one more is refused with 429.
        queue_seconds: how long a call may wait; after that it is refused with 429.
        max_body: the most bytes that a request's body may have.
        keepalive_seconds: the longest silence in a stream that has begun: after it a comment is sent, which clients skip.
            Before the first chunk nothing is sent, since the status is not known yet. None: no limit.
        early_stream: seconds after which a stream without a chunk begins with such a comment, since proxies give up on an
            answer that does not begin. An error after that is an event in a stream of status 200. None: never.
        request_timeout: the most seconds that a request may take in all; None: no limit.
        cors: origins of web pages that may read the answers, such as "https://chat.example", or "*" for all; their browsers'
            preflight requests are answered.
        metrics: also serve metrics for Prometheus.
        page: show a page at `/` on which the models can be tried.

    A streamed answer begins with its first chunk: an error before that has a status of its own, a later one is an event in the
    stream. When a client leaves, its handler is cancelled at once; a client that reads slowly slows its handler down.

    A call of a handler has one prompt. Several prompts, and choices of `n` that an answer lacks, take a call each, up to eight
    at a time and as far as `max_concurrency` allows; `server/plans.py` describes the parameters that a handler may not know.

    Handlers that are given here answer only this app's clients, and are not registered.

    The app's connections to other endpoints are closed at the end of its lifespan; without one, when the event loop ends.

    Raises:
        BadRequestError: an argument is wrong; the message names it.
    """
    settings = Settings(
        api_keys=_keys(api_keys),
        max_concurrency=_at_least_1(max_concurrency, "max_concurrency"),
        max_queue=_at_least_0(max_queue, "max_queue"),
        queue_seconds=_more_than_0(_not_none(queue_seconds, "queue_seconds"), "queue_seconds"),
        max_body=_at_least_1(max_body, "max_body"),
        keepalive_seconds=_more_than_0(keepalive_seconds, "keepalive_seconds"),
        early_stream=_more_than_0(early_stream, "early_stream"),
        request_timeout=_more_than_0(request_timeout, "request_timeout"),
        cors=origins_of(cors, "cors"),
        metrics=metrics,
        page=page,
    )
    if settings.max_queue and settings.max_concurrency is None:
        raise BadRequestError("max_queue needs max_concurrency: without a limit no call waits", param="max_queue")
    return App(models_of(models, handlers), settings)


def _keys(api_keys: Iterable[str]) -> tuple[bytes, ...]:
    keys = None if isinstance(api_keys, str) else tuple(api_keys)
    if keys is None or not all(isinstance(key, str) and key for key in keys):
        raise BadRequestError("api_keys must be a list of str, none of them empty", param="api_keys")
    return tuple(key.encode() for key in keys)


def _at_least_1(value: object, name: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise BadRequestError(f"{name} must be a whole number, 1 or more, not {value!r}", param=name)
    return value


def _at_least_0(value: object, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequestError(f"{name} must be a whole number, 0 or more, not {value!r}", param=name)
    return value


def _not_none(value: object, name: str) -> object:
    if value is None:
        raise BadRequestError(f"{name} must be a number of seconds, more than 0, not None", param=name)
    return value


def _more_than_0(value: object, name: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise BadRequestError(f"{name} must be a number of seconds, more than 0, not {value!r}", param=name)
    return value


class Settings(Struct, frozen=True):
    """The arguments of `create_app`, checked; see there."""

    api_keys: tuple[bytes, ...]
    max_concurrency: int | None
    max_queue: int
    queue_seconds: float
    max_body: int
    keepalive_seconds: float | None
    early_stream: float | None
    request_timeout: float | None
    cors: Origins
    metrics: bool
    page: bool


class App:
    """What `create_app` returns: an ASGI app."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self._models, self._settings = models, settings
        self._slots = Slots(settings.max_concurrency, settings.max_queue)
        self._http = CORS(self._serve, settings.cors) if settings.cors else self._serve
        self._recorder = Recorder(metrics=settings.metrics)
        # Makes the calls. A lifespan has a client of its own and closes it; calls after that use a new one.
        self._new_client = partial(tokenwire.AsyncClient, handlers=models.handlers)
        self._client = self._new_client()
        routes = (*ROUTES, PAGE if settings.page else FRONT, *((METRICS,) if settings.metrics else ()))
        self._about = About(models, routes, bool(settings.api_keys), self._recorder.exposition)
        self._by_path = {route.path: methods_at(route.path, routes) for route in routes}

    @property
    def in_flight(self) -> int:
        """How many calls of models are running."""
        return self._slots.taken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope; see the ASGI specification, 3.0."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(scope, receive, send)
        self._recorder.begin()
        span = tracing.begin(visit)
        try:
            if self._settings.request_timeout is None:
                await self._answer(visit)
            else:
                await self._answer_in_time(visit, self._settings.request_timeout)
        except ClientLeft:
            pass
        finally:
            for file in visit.uploads:
                file.close()
            visit.end("cancelled")
            self._recorder.end(visit)
            if span is not None:
                tracing.end(span, visit)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._new_client() as self._client:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            with anyio.move_on_after(CLOSING_SECONDS):  # calls that the server has cancelled may still clean up
                await self._slots.until_idle()
        self._client = self._new_client()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer_in_time(self, visit: Visit, seconds: float) -> None:
        with anyio.move_on_after(seconds) as scope:
            await self._answer(visit)
        if scope.cancelled_caught and visit.outcome is None:
            status = 504 if visit.was_read else 408  # the model was slow to answer, or the client to ask
            await self._refuse(visit, Timeout(f"no answer within {seconds:.3g} s", status_code=status))

    async def _answer(self, visit: Visit) -> None:
        try:
            route = self._route_of(visit)
            if not isinstance(route.answer, ModelCall):
                body, media_type = route.answer(self._about, visit.path.removeprefix(route.prefix))
                await visit.respond(body, media_type=media_type, headers=route.headers)
            else:
                try:
                    waiter = self._slots.acquire()
                finally:
                    visit.room = self._slots.headers()
                try:
                    if waiter is not None:
                        await self._wait_in_queue(waiter, visit)
                    work = await self._work_for(visit, route.answer)
                    whole = await visit.while_connected(work, self._settings.keepalive_seconds)
                    if visit.has_left:
                        raise ClientLeft
                    if whole is not None:
                        await visit.respond(whole)
                finally:
                    self._slots.release(waiter)
        except ClientLeft:
            raise
        except BaseException as error:  # the boundary: whatever went wrong, the client gets an answer
            if _is_ending(error):
                raise
            if visit.has_left:
                raise ClientLeft from None
            await self._refuse(visit, error)
            if not isinstance(error, Exception):  # such as KeyboardInterrupt, which the server may need to see
                raise
        else:
            visit.end("complete")

    async def _refuse(self, visit: Visit, error: BaseException) -> None:
        if isinstance(error, APIError):
            visit.relay(error.headers, error.request_id)
        refusal = refusal_for(error, visit.request_id)
        with anyio.move_on_after(CLOSING_SECONDS):
            if visit.status is None:
                refuse = visit.route.refusal if visit.route else refusal_at(visit.path, visit.headers)
                status, body = refuse(refusal, visit.request_id)
                await visit.respond(body, status, headers=refusal.headers)
            elif visit.events is not None:
                await visit.end_stream(visit.events.error_event(refusal))
        visit.end("truncated" if isinstance(error, StreamTruncatedError) else "error")

    def _route_of(self, visit: Visit) -> Route:
        """The route of a request, which its client may use.

        Raises:
            APIError: there is no route, it does not take the method, or the client sent no valid key.
        """
        path, method = visit.path, visit.method
        by_method = self._by_path.get(path) or methods_at(path, self._about.routes)
        if not by_method:
            raise NotFoundError(f"there is nothing at {method} {visit.asked:.200}", code="unknown_url")
        visit.route = next(iter(by_method.values()))
        route = by_method.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(by_method)
            message = f"{visit.asked:.200} takes {allowed}, not {method:.20}"
            raise BadRequestError(message, status_code=405, code="method_not_allowed", headers={"allow": allowed})
        if route.needs_key and self._settings.api_keys:
            check_key(visit.headers, self._settings.api_keys)
        return route

    async def _wait_in_queue(self, waiter: Waiter, visit: Visit) -> None:
        """Wait for a slot.

        Raises:
            RateLimitError: none became free in time.
            ClientLeft: the client did not wait.
        """
        await visit.read_ahead(self._settings.max_body)
        with anyio.move_on_after(self._settings.queue_seconds):
            await visit.while_connected(waiter.wait)
        if visit.has_left:
            raise ClientLeft
        if not waiter.has_slot:
            raise too_many(f"no other request ended within {self._settings.queue_seconds:.3g} s; try again later")

    async def _work_for(self, visit: Visit, ask: ModelCall) -> Callable[[], Coroutine[Any, Any, bytes | None]]:
        """The work that answers a request, to be run once: it returns the body of a whole answer, or sends a stream.

        The caller runs it, when this method has returned: each chunk of a stream resumes every coroutine between the caller and
        the handler.
        """
        request, fields, keywords, misfit = await self._parsed(visit, ask)
        model = self._models.find(fields["model"])
        call = _call_of(model, keywords)
        dialects = self._dialects(ask, call)
        if ask.plain is not None:
            call = self._as_plain(visit, call, ask, dialects, stream=bool(fields.get("stream")))
        call["client_request"] = visit.client_request(fields)
        if ask.dialect and ask.dialect in dialects:
            kept = {name: call[name] for name in keywords if name in call}
            call["original_request"] = Original(ask.dialect, self._own(visit, fields, call["model"], ask), kept, misfit)
        if visit.client_id is not None and HANDLER not in dialects:
            call["default_headers"] = {"x-request-id": visit.client_id, **(call.get("default_headers") or {})}
        visit.model = model.name
        stream, events = bool(fields.get("stream")), ask.events
        calls = self._calls(ask, call, stream=stream)
        if stream:
            if events is None:
                raise BadRequestError("stream: this answer can't be streamed", param="stream")
            new_events = partial(events, model, request)
            streamed = partial(calls.stream, visit, new_events)
            if self._settings.early_stream is None:
                return streamed
            return partial(opened_early, visit, self._settings.early_stream, new_events, streamed)

        async def whole() -> bytes:
            response = await calls.whole()
            if response.response_headers:
                visit.relay(response.response_headers, response.request_id)
            return body_passed_on(response) or ask.body(response, model, request)

        return whole

    async def _parsed(self, visit: Visit, ask: ModelCall) -> tuple[Any, dict[str, Any], dict[str, Any], BadRequestError | None]:
        """The request, checked; its fields as they came; the keywords of the call that answers it; and `Original.misfit`."""
        max_body = self._settings.max_body
        if ask.is_form:
            from .forms import read_form

            request, fields = await read_form(visit, max_body, ask.request)
            return request, fields, ask.keywords(request, fields), None
        body = await visit.read(max_body)
        try:
            request, fields = parse_body(body, ask.request)
            return request, fields, ask.keywords(request, fields), None
        except BadRequestError as error:
            misfit = error.with_traceback(None)  # it outlives this frame
            if ask.plain is None or not isinstance(fields := json_in(body), dict):
                raise
            if not self._has_same_dialect(ask, fields.get("model")):
                raise
        from .originals import as_it_came

        request, keywords = as_it_came(fields, ask.request)
        return request, fields, keywords, misfit

    def _has_same_dialect(self, ask: ModelCall, model: object) -> bool:
        """Whether only endpoints that speak the client's dialect answer for a model.

        Raises:
            NotFoundError: the model is not served, which is reported before any other mistake.
        """
        if not isinstance(model, str):
            return False
        call = self._models.find(model).call
        return call.keys().isdisjoint(_keywords.FALLBACKS) and self._dialects(ask, call) == {ask.dialect}

    def _dialects(self, ask: ModelCall, call: Mapping[str, Any]) -> frozenset[str]:
        """The dialects of all that may answer a call; `HANDLER` stands for a handler."""
        text = ask.content == "prompt"
        return self._client.dialects(call["model"], text=text, custom_llm_provider=call.get("custom_llm_provider"))

    def _as_plain(
        self, visit: Visit, call: dict[str, Any], ask: ModelCall, dialects: frozenset[str], *, stream: bool
    ) -> dict[str, Any]:
        """The call with what its target understands: a handler nearly everything, an endpoint what its dialect has."""
        if HANDLER in dialects:
            provider = call.get("custom_llm_provider")
            named = self._client.handler_keywords(call["model"], stream=stream, custom_llm_provider=provider)
            return self._without(visit, call, OFFERED & call.keys() - (named or frozenset()))
        if MESSAGES in dialects:
            own = {
                name: visit.headers[name.encode()].decode("latin-1") for name in OF_MESSAGES if name.encode() in visit.headers
            }
            call = {**call, "extra_headers": {**own, **(call.get("extra_headers") or {})}} if own else call
        if dialects == {ask.dialect}:
            return call
        assert ask.plain is not None, "the caller has checked it"
        call, left_out = ask.plain(call, dialects)
        return self._without(visit, call, left_out)

    def _own(self, visit: Visit, fields: dict[str, Any], model: object, ask: ModelCall) -> dict[str, Any] | None:
        """The request for endpoints of its own dialect; None if they get the same keywords as all others."""
        if ask.own is None:
            return None
        own = ask.own(fields)
        if own is not fields:
            _log_left_out(visit, model, ["reasoning of other APIs' models"])
        return own

    def _without(self, visit: Visit, call: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
        """The call without these keywords, which are logged."""
        if not names:
            return call
        _log_left_out(visit, call["model"], names)
        return {name: value for name, value in call.items() if name not in names}

    def _calls(self, ask: ModelCall, call: dict[str, Any], *, stream: bool) -> OneCall | Several:
        """The calls that answer: one, or several of a handler."""
        made, named = partial(ask.call, self._client), None
        if ask.events is not None and may_take_several(call, ask.content):
            named = self._client.handler_keywords(
                call["model"], stream=stream, custom_llm_provider=call.get("custom_llm_provider")
            )
        if named is None:  # an endpoint answers any request with one call
            return OneCall(made, call)
        call.pop("original_request", None)  # choices get new indexes, so an endpoint's events can't be passed on
        return Several(made, plan_of(call, ask.content, named), self._slots)


def _log_left_out(visit: Visit, model: object, names: Iterable[str]) -> None:
    logger.info("%s: left out, since %s does not take it: %s", visit.request_id, model, ", ".join(sorted(names)))


def _is_ending(error: BaseException) -> bool:
    """Whether an error means that the answering task is cancelled or closed, and must not await anything more."""
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(cancelled) is not None
    return isinstance(error, cancelled | GeneratorExit)


def _call_of(model: Model, keywords: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call: the model's own, and the request's, which replace them except in `extra_body`."""
    if "extra_body" in keywords and "extra_body" in model.call:
        keywords["extra_body"] |= model.call["extra_body"]
    return {**model.call, **keywords}
