"""The caller's callbacks: our own `Observer`s, and LiteLLM's loggers and functions, by its page "Custom Callbacks".

Methods called before a request is sent run in the call's own task. Methods called at the end run after it: an async method
is awaited in the same task, for a bounded time; a sync one of LiteLLM's may block, and runs in the thread of `deliveries`.
"""

import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import uuid4

from ..exceptions import APIError, TokenwireError, refused, wrong
from ..llms.backend import Callback, Kind, Request
from ..types.attempts import Attempt, AttemptDetails, EndDetails
from .deliveries import deliver, name_of
from .observers import CallDetails

logger: logging.Logger = logging.getLogger("tokenwire")

Wanted: TypeAlias = tuple[Callable[..., object], Awaitable[object]]  # a method, and what it returned

_ENTRY = "an Observer, an object with methods such as log_success_event, or a function"
_OURS = ("on_attempt", "on_end")
_PRE, _POST, _STREAM = "log_pre_api_call", "log_post_api_call", "log_stream_event"
_ENDS: Final = {"success_callback": "log_success_event", "failure_callback": "log_failure_event"}
_THEIRS = (_PRE, _POST, _STREAM, *_ENDS.values())
_METHODS = (*_OURS, *_THEIRS, *(f"async_{name}" for name in _THEIRS))
_BASE = "CustomLogger"  # here and in LiteLLM: methods inherited from it do nothing
_CALL_TYPES: dict[Kind, str] = {
    "chat": "acompletion",
    "text": "atext_completion",
    "embedding": "aembedding",
    "image": "aimage_generation",
    "models": "alist_models",
}
_EVENTS = {"log_success_event": "successful_api_call", "log_failure_event": "failed_api_call"}


def checked(name: str, value: object) -> tuple[object, ...]:
    """The entries of one of the three lists, called `name`.

    Raises:
        BadRequestError: it is not a list, or an entry is not a callback; the message says what to do instead.
    """
    if not value:
        return ()
    if isinstance(value, str):
        raise _text_refused(name, value)
    if not isinstance(value, list | tuple):
        raise wrong(name, f"a list; each entry {_ENTRY}", value)
    for entry in value:
        if isinstance(entry, str):
            raise _text_refused(name, entry)
        if isinstance(entry, type):
            raise refused(name, f"{name} must have instances, not the class {entry.__name__}: pass {entry.__name__}()")
        if not callable(entry) and _has_no_method(entry):
            raise refused(name, f"each entry of {name} must be {_ENTRY}, not {entry!r:.80}")
    return tuple(value)


def _text_refused(name: str, text: str) -> APIError:
    if text.lower() in ("otel", "opentelemetry"):
        return refused(
            name,
            f"{name}: {text!r} is not needed. Calls have spans and metrics wherever OpenTelemetry is set up, with"
            " pip install 'tokenwire[otel]'",
        )
    return refused(
        name,
        f"{name}: {text!r:.80} names an integration of LiteLLM's, and tokenwire has none: pass {_ENTRY}. Most such services"
        " take OpenTelemetry's spans, which calls have wherever it is set up",
    )


class Callbacks:
    """One call's callbacks; a `Watcher`."""

    def __init__(self, request: Request, entries: tuple[Callback, ...]) -> None:
        self._request = request
        self._entries = entries
        self._started = time.time()
        self._call_id: str = request.options.for_handlers.get("litellm_call_id", "")

    def on_attempt(self, call: CallDetails, number: int) -> Awaitable[object] | None:
        """See `Watcher`."""
        wanted: list[Wanted] = []
        details: AttemptDetails | None = None
        for name, entry in self._entries:
            if name in _ENDS:
                continue
            if (method := _method(entry, "on_attempt")) is not None:
                details = details or _attempt_details(call, number)
                wanted += _called(method, details)
            if number == 1:
                wanted += self._before(entry)
        return _together(wanted)

    def on_attempt_failed(self, call: CallDetails, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """See `Watcher`."""

    def on_attempt_left(self, call: CallDetails, attempt: Attempt) -> None:
        """See `Watcher`."""

    def on_end(self, call: CallDetails, end: EndDetails) -> Awaitable[object] | None:
        """See `Watcher`."""
        wanted: list[Wanted] = []
        mine = "success_callback" if end.outcome == "complete" else "failure_callback"
        event = _ENDS[mine]
        methods = (event, _POST) if end.outcome != "complete" or not end.stream else (_STREAM, event, _POST)
        told: dict[str, object] | None = None
        for name, entry in self._entries:
            if name in _ENDS and name != mine:
                continue
            if (method := _method(entry, "on_end")) is not None:
                wanted += _called(method, end)
            for each in (event,) if name in _ENDS else methods:
                is_async, method = _of_litellm(entry, each)
                if method is None:
                    continue
                told = told or self._arguments(end, event)
                if is_async:
                    wanted += _called(method, **told)
                else:
                    deliver(method, **told)
            if callable(entry) and _has_no_method(entry):
                told = told or self._arguments(end, event)
                if inspect.iscoroutinefunction(entry):
                    wanted += _called(entry, *told.values())
                else:
                    deliver(entry, *told.values())
        return _together(wanted)

    def _before(self, entry: object) -> list[Wanted]:
        method = _of_litellm(entry, _PRE)[1]
        if method is None:
            return []
        kwargs = {**self._known(self._request.provider, self._request.model), "log_event_type": "pre_api_call"}
        return _called(method, model=kwargs["model"], messages=kwargs["messages"], kwargs=kwargs)

    def _arguments(self, end: EndDetails, event: str) -> dict[str, object]:
        """LiteLLM's four arguments, by the names of methods' parameters, in the order of functions' parameters."""
        provider, _, model = end.target.partition("/")
        start = datetime.fromtimestamp(self._started)
        over = datetime.fromtimestamp(self._started + end.seconds)
        first = end.seconds if end.first_content is None else end.first_content
        kwargs = {
            **self._known(provider, model),
            "end_time": over,
            "completion_start_time": datetime.fromtimestamp(self._started + first),
            "log_event_type": _EVENTS[event],
            "outcome": end.outcome,
        }
        if end.outcome == "complete":
            if end.stream:
                kwargs["complete_streaming_response"] = kwargs["async_complete_streaming_response"] = end.response
        else:
            kwargs["exception"] = end.error or TokenwireError("the caller left before the end")
            kwargs["traceback_exception"] = None
        return {"kwargs": kwargs, "response_obj": end.response, "start_time": start, "end_time": over}

    def _known(self, provider: str, model: str) -> dict[str, object]:
        """LiteLLM's `kwargs`, as far as they are known before the call. Without keys, and without headers, which hold keys."""
        request = self._request
        self._call_id = self._call_id or str(uuid4())
        return {
            "model": model,
            "messages": request.content,
            "input": request.content,
            "stream": request.stream,
            "user": request.params.get("user"),
            "optional_params": dict(request.params),
            "litellm_params": {
                "metadata": request.params.get("metadata") or {},
                "custom_llm_provider": provider,
                **request.options.for_handlers,
            },
            "call_type": _CALL_TYPES[request.kind],
            "litellm_call_id": self._call_id,
            "custom_llm_provider": provider,
            "start_time": datetime.fromtimestamp(self._started),
            "response_cost": None,
            "cache_hit": False,
        }


def _attempt_details(call: CallDetails, number: int) -> AttemptDetails:
    return AttemptDetails(
        call=call.number,
        number=number,
        target=call.name,
        address=call.address,
        stream=call.stream,
        beside=call.beside,
        elapsed=time.monotonic() - call.started,
    )


def _method(entry: object, name: str) -> Callable[..., object] | None:
    """An entry's method of this name; None if it has none, or only inherits it from a base class of loggers."""
    has, inherits = _defined_by(type(entry))
    if name in inherits:
        return None
    if name not in has and name not in getattr(entry, "__dict__", ()) and not hasattr(type(entry), "__getattr__"):
        return None
    method = getattr(entry, name, None)
    return method if callable(method) else None


@lru_cache(maxsize=256)
def _defined_by(cls: type) -> tuple[frozenset[str], frozenset[str]]:
    """The methods that a class defines, and those that it only inherits from a base class of loggers."""
    owners = {name: owner.__name__ for owner in reversed(cls.__mro__) for name in _METHODS if name in vars(owner)}
    inherited = frozenset(name for name, owner in owners.items() if owner == _BASE)
    return frozenset(owners) - inherited, inherited


def _of_litellm(entry: object, name: str) -> tuple[bool, Callable[..., object] | None]:
    """The async variant of a method, with True, or else the sync one, with False."""
    method = _method(entry, f"async_{name}")
    return (False, _method(entry, name)) if method is None else (True, method)


def _has_no_method(entry: object) -> bool:
    """Whether an entry has none of the callback methods, so that it is called as a function."""
    return inspect.isroutine(entry) or all(_method(entry, name) is None for name in _METHODS)


def _called(method: Callable[..., object], *args: object, **kwargs: object) -> list[Wanted]:
    """Call a method. Returns what it returned, if that is to be awaited."""
    try:
        result = method(*args, **kwargs)
    except Exception:
        logger.warning("the callback %s failed", name_of(method), exc_info=True)
        return []
    return [(method, result)] if inspect.isawaitable(result) else []


def _together(wanted: list[Wanted]) -> "_Together | None":
    return _Together(wanted) if wanted else None


class _Together:
    """What several methods returned, to be awaited one after the other."""

    def __init__(self, wanted: list[Wanted]) -> None:
        self._wanted = wanted

    def __await__(self) -> Generator[Any, None, None]:
        return self._run().__await__()

    def close(self) -> None:
        """Close the coroutines without awaiting them."""
        for _, result in self._wanted:
            if (close := getattr(result, "close", None)) is not None:
                close()

    async def _run(self) -> None:
        while self._wanted:
            method, result = self._wanted.pop(0)
            try:
                await result
            except Exception:
                logger.warning("the callback %s failed", name_of(method), exc_info=True)
