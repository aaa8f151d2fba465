"""The caller's keywords → one checked `Request`.

Every mistake in a call that does not depend on the backend is found here; the error names the argument.
"""

import copy
import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import msgspec

from .. import _keywords
from .._settings import DEFAULT_LIMITS, DEFAULT_OTEL, Hedge, Limits, OTel, RetryPolicy, Timeouts, module_settings
from ..exceptions import refused, unreadable, wrong
from ..llms.backend import Backend, Callback, Kind, Options, Request, SharedBackend, refuse_control_characters
from ..llms.bridge import Bridge
from ..types.client_request import ClientRequest, Original
from . import fallbacks
from .messages import checked_messages, refuse_unsayable
from .routing import route
from .unknown import refuse_mistakes

if TYPE_CHECKING:
    from .deployments import Deployments

S = TypeVar("S")

# The name of the content argument, for each kind of call.
_CONTENT_NAMES: dict[Kind, str] = {"text": "prompt", "embedding": "input", "image": "prompt", "image_edit": "prompt"}

_OF_EACH_CALL = ("model", "messages", "prompt", "input", "stream")  # as defaults they would replace every call's own

_COUNTED: frozenset[Kind] = frozenset({"chat", "text", "image", "image_edit"})  # kinds that have the parameter `n`

# Kinds of calls that may request more than text, and the keywords for that: see `typed`.
FILES = frozenset({"image", "mask"})  # the parameters of an edit that are files

_COMPLETIONS: frozenset[Kind] = frozenset({"chat", "text"})
_TYPED_PARAMS = frozenset({"response_format", "tools"})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, 5.6.2


class Defaults:
    """A client's keywords for all of its calls, sorted once; and the options of calls that set none of their own.

    Raises:
        BadRequestError: a keyword is one that only a call can have, such as `model`.
    """

    __slots__ = ("_options", "callbacks", "given", "params")

    def __init__(self, keywords: Mapping[str, Any]) -> None:
        for name in _OF_EACH_CALL:
            if keywords.get(name) is not None:
                raise refused(name, f"a client has no default for {name}: pass it to each call")
        self.given: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        _sort(keywords, self.given, self.params)
        self.callbacks: dict[str, Any] = {name: self.given.pop(name) for name in _keywords.CALLBACKS if name in self.given}
        self._options: dict[bool, tuple[list[Any], Options]] = {}  # by whether streamed: settings, options

    def options(self, settings: Mapping[str, Any], *, stream: bool) -> Options:
        """The options of a call that sets none of its own. `settings` are the package's current ones: users may change them."""
        now = [settings.get(name) for name in _keywords.SETTINGS]
        found = self._options.get(stream)
        if found is None or found[0] != now:
            found = self._options[stream] = copy.deepcopy(now), _options(self.given, settings, stream)
        return found[1]


def parse_request(
    kind: Kind,
    model: object,
    content: object,
    stream: object,
    keywords: Mapping[str, Any],
    defaults: Defaults,
    own: Mapping[str, Backend],
) -> Request:
    """Check a call's arguments and fill in the client's defaults.

    Args:
        keywords: the caller's, as passed; they are not changed.
        defaults: the client's keywords, used where the caller gave none.
        own: the client's own handlers, by provider.

    Raises:
        BadRequestError: an argument is wrong; `param` and the message name it.
        UnknownProviderError: no handler is registered for the model.
    """
    stream = False if stream is None else stream
    if not isinstance(stream, bool):
        raise wrong("stream", "True or False", stream)
    if not isinstance(model, str) or not model:
        raise wrong("model", 'a model\'s name, such as "openai/gpt-4o-mini"', model)
    settings = module_settings()
    given, params = defaults.given, dict(defaults.params)
    if _keywords.none_is_ours(keywords):
        params.update({name: value for name, value in keywords.items() if value is not None})
        options = defaults.options(settings, stream=stream)
    else:
        given = dict(given)
        _sort(keywords, given, params)
        if _keywords.none_is_an_option(keywords):
            options = defaults.options(settings, stream=stream)
        else:
            options = _options(given, settings, stream)
    asking = _instance(given, "client_request", ClientRequest)
    bare_model, provider, backend = route(model, _text("custom_llm_provider", given), kind, own, settings)
    refuse_control_characters("model", bare_model)
    if options.for_handlers and not isinstance(backend, Bridge | SharedBackend):
        raise _keywords.only_for_handlers(next(iter(options.for_handlers)))
    is_endpoint = not isinstance(backend, Bridge)
    is_own = asking is None and not isinstance(backend, SharedBackend)  # else the call is a server's, for its client
    if params and is_own:
        refuse_mistakes(kind, params, backend.keywords(stream=stream) if isinstance(backend, Bridge) else ())
    original = _instance(given, "original_request", Original)
    if original is not None and "additional_drop_params" in params:
        original = _translated(original)  # which names what chat completions call it
    params = _params(kind, params) if params else params
    content, asked = _content(kind, content, for_endpoint=is_own and is_endpoint), None
    is_typed = not (given.keys().isdisjoint(_keywords.TYPED) and (_TYPED_PARAMS.isdisjoint(params) or not is_own))
    if is_typed and kind in _COMPLETIONS:
        from .typed import ask as ask_for

        asked, content = ask_for(kind, content, params, given, keywords, stream=stream, usual=backend.json_mode)
    if params and is_own and is_endpoint:
        _check_values({name: params[name] for name in params.keys() - FILES} if kind == "image_edit" else params)
    if original is not None and original.fields is not None and original.keywords["messages"] != content:
        original = _translated(original)  # somebody else's words by now
    request = Request(
        kind=kind,
        model=bare_model,
        provider=provider,
        backend=backend,
        content=content,
        asked=asked,
        params=params,
        stream=stream,
        options=options,
        client_request=asking,
        original=original,
        callbacks=_callbacks(settings, defaults.callbacks, given),
    )

    def ask(other: object, content: object, keywords: Mapping[str, Any]) -> Request:
        return parse_request(kind, other, content, stream, keywords, defaults, own)

    if isinstance(backend, SharedBackend):
        request = _shared(request, cast("Deployments", backend), keywords, ask, defaults)
    if given.keys().isdisjoint(_keywords.FALLBACKS):
        if options.hedge is not None and options.hedge.to == "next":
            raise refused("hedge", 'hedge.to is "next", the next of the fallbacks, and the call has none')
        return request

    return fallbacks.with_fallbacks(request, model, given, keywords, ask)


def _callbacks(*places: Mapping[str, Any]) -> tuple[Callback, ...]:
    """All callbacks of a call: the package's, the client's and the call's own."""
    lists = [(name, place[name]) for place in places for name in _keywords.CALLBACKS if place.get(name)]
    if not lists:
        return ()
    from .callbacks import checked

    return tuple([(name, one) for name, value in lists for one in checked(name, value)])


def _shared(
    request: Request, deployments: "Deployments", keywords: Mapping[str, Any], ask: fallbacks.Ask, defaults: Defaults
) -> Request:
    """The request, to be derived for each of the deployments."""
    for name in sorted(fallbacks.ONE_PROVIDER):
        if keywords.get(name) is not None:
            raise refused(name, f"{name} belongs to each of the deployments of {request.provider!r}, not to the call")
    general = fallbacks.for_anybody({name: value for name, value in keywords.items() if name != "custom_llm_provider"})

    def ask_one(model: object, own: Mapping[str, Any]) -> Request:
        return ask(model, request.content, {**general, **own, **fallbacks.NONE_OF_ITS_OWN})

    deployments.check(defaults, ask_one)
    return msgspec.structs.replace(request, ask=ask_one)


def _sort(keywords: Mapping[str, Any], given: dict[str, Any], params: dict[str, Any]) -> None:
    """Put keywords for this library into `given`, under their canonical names, and those for the model into `params`."""
    for name, value in keywords.items():
        if value is None:
            continue
        if not _keywords.is_ours(name):
            params[name] = value
            continue
        spelling = _keywords.OTHER_SPELLINGS.get(name, name)
        if spelling == name or keywords.get(spelling) is None:
            given[spelling] = value


def _options(given: Mapping[str, Any], settings: Mapping[str, Any], stream: bool) -> Options:
    timeouts = _timeouts(given, settings, stream)
    return Options(
        api_key=_api_key(given, settings),
        api_base=_text("api_base", given, settings),
        api_version=_text("api_version", given, settings),
        organization=_text("organization", given, settings),
        headers=_headers(given, settings.get("headers")),
        timeouts=timeouts,
        ssl_verify=_ssl_verify(given.get("ssl_verify", settings.get("ssl_verify"))),
        limits=_instance(given, "limits", Limits) or DEFAULT_LIMITS,
        num_retries=_retries(given.get("num_retries", settings.get("num_retries"))),
        retry_policy=_instance(given, "retry_policy", RetryPolicy),
        on_truncation=_on_truncation(given.get("on_truncation", "raise")),
        client=given.get("client"),
        mock=_mock(given),
        for_handlers=_keywords.for_handlers(given),
        drop_params=bool(given.get("drop_params", settings.get("drop_params"))),
        hedge=_hedge(given, timeouts, stream),
        otel=DEFAULT_OTEL if given.get("otel") is None else _otel(given),
    )


def _otel(given: Mapping[str, Any]) -> OTel | Literal[False]:
    """The options for OpenTelemetry; False to disable it."""
    return False if given["otel"] is False else _instance(given, "otel", OTel) or DEFAULT_OTEL


def _hedge(given: Mapping[str, Any], timeouts: Timeouts, stream: bool) -> Hedge | None:
    """The hedge; False disables the client's."""
    if given.get("hedge") is False:
        return None
    hedge = _instance(given, "hedge", Hedge)
    if hedge is not None:
        hedge.check_room(timeouts, stream=stream)
    return hedge


def _mock(given: Mapping[str, Any]) -> dict[str, Any]:
    """The `mock_...` keywords; `mock_timeout=False` counts as not given."""
    if given.keys().isdisjoint(_keywords.MOCK):
        return {}
    mock = {name: given[name] for name in _keywords.MOCK if name in given}
    return {name: value for name, value in mock.items() if not (name == "mock_timeout" and value is False)}


def _text(name: str, *places: Mapping[str, Any]) -> str | None:
    """The first value that is given and not empty."""
    value: object = None
    for place in places:
        value = place.get(name)
        if value is not None and value != "":
            break
    if value is not None and not isinstance(value, str):
        raise wrong(name, "a str", value)
    return value


def _api_key(given: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """The first key that is given. An empty one means no key."""
    key = given.get("api_key")
    if key is None:
        key = settings.get("api_key")
    if key is not None and not isinstance(key, str):
        raise refused("api_key", f"api_key must be a str, not {type(key).__name__}")  # not shown: it may be a secret
    return key


def _timeouts(given: Mapping[str, Any], settings: Mapping[str, Any], stream: bool) -> Timeouts:
    if "stream_timeout" in given:
        streamed = Timeouts.parse(given["stream_timeout"], name="stream_timeout")
        if stream:
            return streamed
    return Timeouts.parse(given.get("timeout", settings.get("request_timeout")))


def _ssl_verify(value: object) -> bool | str:
    if value is None:
        return True
    if not isinstance(value, bool | str) or value == "":
        raise wrong(
            "ssl_verify", "True, False or a path of certificates; a context goes into HTTPTransport(ssl_context=...)", value
        )
    return value


def _translated(original: Original) -> None:
    """No original: the call's keywords are sent.

    Raises:
        BadRequestError: they are not what the client asked for, which could not be translated.
    """
    if original.misfit is not None:
        raise original.misfit


def _instance(given: Mapping[str, Any], name: str, cls: type[S]) -> S | None:
    value = given.get(name)
    if value is not None and not isinstance(value, cls):
        raise wrong(name, f"a tokenwire.{cls.__name__}", value)
    return value


def _on_truncation(value: object) -> Literal["raise", "return"]:
    if value == "raise":
        return "raise"
    if value == "return":
        return "return"
    raise wrong("on_truncation", '"raise" or "return"', value)


def _retries(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise wrong("num_retries", "a whole number, 0 or more", value)
    return value


def _headers(given: Mapping[str, Any], setting: object) -> dict[str, str | None]:
    """All headers, each name once regardless of case: the last value wins, and None removes the header."""
    if setting is None and given.keys().isdisjoint(_keywords.HEADERS):
        return {}
    merged: dict[str, tuple[str, str | None]] = {}
    for name, value in (("headers", setting), *((name, given.get(name)) for name in _keywords.HEADERS)):
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise wrong(name, "a mapping of header names to str", type(value))
        for header, text in value.items():
            if not isinstance(header, str) or not isinstance(text, str | None):
                raise refused(name, f"{name}[{header!r}] must be a str, or None to remove it, not {type(text).__name__}")
            if _HEADER_NAME.fullmatch(header) is None:
                raise wrong(name, "a mapping whose names are letters, digits and such signs as '-'", header)
            refuse_control_characters(f"{name}[{header!r}]", text or "")
            merged[header.lower()] = header, text
    return dict(merged.values())


def _content(kind: Kind, content: object, *, for_endpoint: bool) -> object:
    if kind in ("chat", "tokens"):
        return checked_messages(content, for_endpoint=for_endpoint)
    if kind == "models":
        return None
    name = _CONTENT_NAMES[kind]
    if content is None:
        raise wrong(name, "a str or a list", None)
    if not isinstance(content, (str, list, tuple)):
        raise wrong(name, "a str or a list", content)
    return content


def _params(kind: Kind, params: dict[str, Any]) -> dict[str, Any]:
    dropped = params.pop("additional_drop_params", ())
    if isinstance(dropped, str) or not isinstance(dropped, Iterable):
        raise wrong("additional_drop_params", "a list of parameters' names", dropped)
    for name in dropped:
        params.pop(name, None)
    n = params.get("n") if kind in _COUNTED else None
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise wrong("n", "a whole number, 1 or more", n)
    if kind == "image_edit":
        _check_files(params)
    for name in ("extra_body", "extra_query"):
        if name in params and not isinstance(params[name], Mapping):
            raise wrong(name, "a mapping", params[name])
    return params


def _check_files(params: Mapping[str, Any]) -> None:
    """Refuse values that are not files. The content of files is checked where they are read."""
    images = params["image"]
    if not images:
        raise wrong("image", "a file, or a list of some", images)
    for where, file in (*((f"image[{index}]", image) for index, image in enumerate(images)), ("mask", params.get("mask"))):
        content = file[1] if isinstance(file, tuple) and len(file) in (2, 3) else file
        is_file = isinstance(content, bytes | os.PathLike) or hasattr(content, "read")
        if not is_file and not (where == "mask" and content is None):
            expected = "bytes, an open binary file, a pathlib.Path, or a tuple (name, one of these[, content type])"
            raise refused(where.partition("[")[0], f"{where} must be {expected}, not {unreadable(repr(file)):.80}")


def _check_values(params: dict[str, Any]) -> None:
    """Refuse values that an endpoint would receive as something else. Nested schemas and `extra_body` are not checked."""
    for name, value in params.items():
        if isinstance(value, float | bytes | bytearray | memoryview) or name == "logit_bias":
            refuse_unsayable(name, name, value)
    metadata = params.get("metadata")
    if isinstance(metadata, Mapping) and not all(isinstance(value, str) for value in metadata.values()):
        message = "metadata must be a dict of str, as OpenAI stores it; leave out what is meant for logs,"
        raise refused("metadata", f"{message} and pass other values to a server that takes them in extra_body")
