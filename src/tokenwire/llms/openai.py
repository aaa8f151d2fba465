"""Endpoints with HTTP APIs in one of the dialects: the backend of the built-in providers.

A call's request is checked, addressed and encoded once; each attempt sends it as it is. One request is one attempt:
`_calls` does the retries, and names the time-outs.
"""

import logging
from collections.abc import Callable, Mapping
from copy import copy
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlencode

import msgspec

from .. import _version
from .._settings import Limits, environment, module_settings
from ..exceptions import APIError, APIResponseValidationError, AuthenticationError, refused, without_secrets, wrong
from ..http.clients import sender_of
from ..http.decoding import ACCEPTED_ENCODINGS
from ..http.exchange import HTTPRequest, HTTPResponse, Sender
from ..http.tls import not_ours
from ..types import EmbeddingResponse, ImageResponse, ModelList, TextCompletionResponse, TokenCount
from ..types._response import Response, set_received
from ..types.attempts import RequestInfo
from ..types.client_request import Original
from ..wire.bodies import decode_body
from ..wire.convert import Shape, chat_response
from ..wire.dialect import Dialect
from ..wire.errors import add_headers, error_from_response
from ..wire.text import TEXT
from .address import Address, address_of, placed, url_of, without_version
from .backend import Kind, Options, Request, Senders, check_http_client, refuse_control_characters
from .base import ChunkSource
from .http_source import HTTPSource
from .providers import Provider

if TYPE_CHECKING:
    import httpx

USER_AGENT = f"tokenwire/{_version.__version__}"
# The environment's key is used for calls without credentials of their own, in either header; `api-key` is Azure's.
_CREDENTIALS = frozenset({"authorization", "api-key"})
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_OTHERS: dict[Kind, tuple[str, str, type[Response]]] = {
    "embedding": ("/embeddings", "input", EmbeddingResponse),
    "image": ("/images/generations", "prompt", ImageResponse),
    "image_edit": ("/images/edits", "prompt", ImageResponse),
    "models": ("/models", "", ModelList),
}
_PATHS = ("/chat/completions", "/completions", "/messages", "/responses", *(path for path, _, _ in _OTHERS.values()))
_VERSION, _RESPONSES = "/v1", "/responses"

# Parameters about the answer only: APIs that count a prompt's tokens refuse them.
_OF_THE_ANSWER = frozenset("max_tokens max_output_tokens stop_sequences stream temperature top_k top_p store include".split())

_KINDS = {
    "text": "text completions",
    "embedding": "embeddings",
    "image": "images",
    "image_edit": "edits of images",
    "models": "models",
    "chat": "chats",
}

Headers: TypeAlias = tuple[tuple[str, str | None], ...]

logger: logging.Logger = logging.getLogger("tokenwire")


class OpenAI:
    """Calls of one kind to one provider's endpoints; a `Backend`."""

    def __init__(self, provider: Provider, kind: Kind) -> None:
        self.num_retries: int = provider.num_retries
        self.json_mode: str = provider.json_mode
        self._provider, self._spoken = provider, provider.dialect()
        self._dialect: Dialect | None = None
        self._key_header: str = provider.key_header or self._spoken.key_header
        self._credentials = _CREDENTIALS | {self._key_header}
        self._renames = dict(provider.renames)
        self._answer: Callable[[bytes], Response]
        if kind == "tokens":
            self._dialect, self._path = self._spoken, self._spoken.tokens_path or ""
            self._answer = partial(decode_body, cls=TokenCount)
        elif kind in ("chat", "text"):
            self._dialect = self._spoken if kind == "chat" else TEXT
            self._path, self._answer = self._dialect.path, self._dialect.answer
        else:
            self._path, self._content_name, whole = _OTHERS[kind]
            self._answer = partial(decode_body, cls=whole)
            if self._spoken.path.startswith(_VERSION):
                self._path = f"{_VERSION}{self._path}"

    def dialect_of(self, model: str) -> str:
        """See `Backend`."""
        return (self._dialect or self._spoken).name

    def prepare(self, request: Request) -> "EndpointCall":
        """See `Backend`.

        Raises:
            BadRequestError: `api_base` is not a base URL, `client` is not an HTTP client or is given together with
                `ssl_verify`, the model has no name, or the endpoint's API can't express a parameter or message.
            AuthenticationError: there is no key, and no address of the caller's own, which might not need one.
        """
        options, params, method = request.options, request.params, "POST"
        if request.kind == "tokens":
            if self._spoken.tokens_path is None:
                message = f'"{request.provider}/" has endpoints whose API counts no tokens'
                raise APIError(message, status_code=501, code="not_supported", param="model", fault="caller")
        elif request.kind not in self._spoken.kinds:
            raise refused("model", f'"{request.provider}/" has {_KINDS[request.kind]} at no endpoint of its API')
        if not request.model and request.kind != "models":
            raise wrong("model", f'"{request.provider}/" with a model\'s name after it', f"{request.provider}/")
        if options.client is not None:
            check_http_client("client", options.client)
            if options.ssl_verify is not True:
                raise not_ours("client")
        model = request.model if self._provider.model_of is None else self._provider.model_of(request.model)
        (address, version), query, extra = self._address(options, model), "", None
        if "extra_query" in params or "extra_body" in params:
            query = urlencode(params.get("extra_query") or {}, doseq=True)
            extra = params.get("extra_body")
            params = {name: value for name, value in params.items() if name not in ("extra_query", "extra_body")}
        fields: dict[str, Any] | None = None
        data = b""
        if request.kind == "models":
            method = "GET"
        elif request.kind == "image_edit":
            images = params["image"]
            one = {"image": images[0]} if len(images) == 1 else {}  # as OpenAI's own client sends it
            fields = self._body(request, model, {**params, **one}, extra)
        else:
            data = encode_body(self._body(request, model, params, extra))
        timeouts, key = options.timeouts, self._key(options, address)
        headers = _headers(
            key,
            options.organization or environment(*self._provider.organization_variables),
            (*self._spoken.headers, *self._own_headers(key), *options.headers.items()),
            streamed=request.stream,
            has_body=bool(data),
        )
        http_request = HTTPRequest(
            method=method,
            url=url_of(address, self._path, version, query),
            headers=headers,
            body=data,
            connect=timeouts.connect,
            pool=timeouts.pool,
            write=timeouts.write,
        )
        if fields is None:
            return EndpointCall(http_request, address.shown, self._answer, self._dialect, request)
        from .forms import Form, FormCall

        call = FormCall(http_request, address.shown, self._answer, self._dialect, request)
        call.form = Form(fields)
        return call

    def _body(self, request: Request, model: str, params: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
        """The request's JSON; `extra` is added without translation, as it is in the endpoint's own terms."""
        if self._renames:
            params = self._in_its_words(request, params)
        if self._provider.params_of is not None:
            params = self._provider.params_of({**params})
        if self._dialect is None:
            return {"model": model, self._content_name: request.content, **params, **(extra or {})}
        original = request.original
        if original is not None and original.fields is not None and original.dialect == self._dialect.name:
            return self._original_body(request, model, original.fields, _others(params, original), extra)
        content = request.content
        if self._provider.messages_of is not None and request.kind == "chat":
            content = self._provider.messages_of(content)
        if request.options.drop_params and self._dialect.unsupported:
            params = {name: value for name, value in params.items() if name not in self._dialect.unsupported}
        body = self._dialect.body(model, content, params)
        if extra:
            body.update(extra)
        if request.kind == "tokens":
            return {name: value for name, value in body.items() if name not in _OF_THE_ANSWER}
        for name, value in self._provider.defaults:
            if name not in body:
                body[name] = value
                logger.debug("%s/%s: %s is not given, so %r is sent", request.provider, request.model, name, value)
        if self._path == _RESPONSES:
            body.update(self._provider.by_responses)
        if request.stream:
            body["stream"] = True
        return body

    def _original_body(
        self,
        request: Request,
        model: str,
        fields: Mapping[str, Any],
        others: Mapping[str, Any],
        extra: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """What a server's client asks for, in its own words, with what the call says besides."""
        assert self._dialect is not None, "only dialects have words of their own"
        body: dict[str, Any] = {**fields, "model": model}
        if others:
            said = self._dialect.body(model, [], others)
            skipped = _OF_THE_ANSWER if request.kind == "tokens" else frozenset[str]()
            body.update((name, value) for name, value in said.items() if name not in skipped and name != self._dialect.content)
        body.update(extra or ())
        if self._path == _RESPONSES:
            body.update(self._provider.by_responses)
        return body

    def _in_its_words(self, request: Request, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters, by the host's names.

        Raises:
            BadRequestError: one is given under both of its names.
        """
        said: dict[str, Any] = {}
        for name, value in params.items():
            own = self._renames.get(name, name)
            if own != name and own in params:
                raise refused(name, f"{name} and {own} are the same parameter for {request.provider!r}: pass only one of them")
            said[own] = value
        return said

    def _own_headers(self, key: tuple[str, str | None]) -> Headers:
        """The host's own headers for each request, some of them from environment variables."""
        headers: Headers = self._provider.headers
        if headers:
            secret = (key[1] or "").removeprefix("Bearer ")
            headers = tuple((name, value.replace("{api_key}", secret)) for name, value in self._provider.headers)
        if self._provider.header_variables:
            found = ((name, environment(variable)) for name, variable in self._provider.header_variables)
            headers = (*headers, *((name, value) for name, value in found if value is not None))
        return headers

    def _address(self, options: Options, model: str) -> tuple[Address, str | None]:
        """The address to which the path is added, and the `api-version` to send, None for none."""
        provider, version = self._provider, options.api_version
        base = options.api_base or environment(*provider.base_variables) or provider.api_base
        if not base:
            where = " or ".join(provider.base_variables)
            raise refused("api_base", f'"{provider.name}/" has no default address: pass api_base=, or set {where}')
        address = address_of(base, _PATHS)
        if version is None and provider.api_version is not None and "api-version=" not in address.query:
            version = environment(*provider.version_variables) or provider.api_version
        if provider.place_of is not None:
            return placed(address, provider.place_of, model, self._path, version)
        return (without_version(address, _VERSION) if self._path.startswith(_VERSION) else address), version

    def _key(self, options: Options, address: Address) -> tuple[str, str | None]:
        """The header with the credentials, unless the caller's headers have one.

        User and password in the address take precedence over every key, as in httpx and so in openai's client.
        """
        if address.authorization is not None:
            return "authorization", address.authorization
        key, has_own = options.api_key, not self._credentials.isdisjoint(map(str.lower, options.headers))
        if key is None and not has_own:
            key = _setting(self._provider.key_setting) or environment(*self._provider.key_variables)
        name, needed_at = self._key_header, self._provider.key_needed_at
        if key:
            return name, f"Bearer {key}" if name == "authorization" else key
        if not has_own and needed_at and options.api_base is None and address.base.startswith(needed_at):
            variables = " or ".join(self._provider.key_variables)
            message = f"no API key: pass api_key=, or set {variables}; a local server needs none when api_base= names it"
            raise AuthenticationError(message, param="api_key", fault="caller")
        return name, None


class EndpointCall:
    """One call to an endpoint, ready to be sent; a `Prepared`."""

    __slots__ = (
        "_client",
        "_decode",
        "_dialect",
        "_kind",
        "_limits",
        "_model",
        "_passes_on",
        "_request",
        "_ssl_verify",
        "api_base",
    )

    def __init__(
        self,
        http_request: HTTPRequest,
        api_base: str,
        decode: Callable[[bytes], Response],
        dialect: Dialect | None,
        request: Request,
    ) -> None:
        self._request = http_request
        self.api_base: str = api_base
        self._decode = decode
        self._dialect = dialect
        self._client = cast("httpx.AsyncClient | None", request.options.client)  # `prepare` has checked it
        self._ssl_verify = request.options.ssl_verify
        self._limits: Limits = request.options.limits
        self._kind, self._model = request.kind, request.model
        original = request.original
        # Whether the answer is in the words of a server's client, who is to have it as it comes.
        self._passes_on = original is not None and dialect is not None and original.dialect == dialect.name

    @property
    def address(self) -> str:
        """See `Prepared`."""
        return str(self.request)

    @property
    def request(self) -> RequestInfo:
        """See `Prepared`."""
        return RequestInfo(self._request.method, without_secrets(self._request.url))

    def traced(self, headers: Callable[[], dict[str, str]], waits: list[float]) -> "EndpointCall":
        """See `Prepared`. The caller's own headers of the same names are kept."""
        own = self._request.headers
        trace = {name: value for name, value in headers().items() if name not in own}
        other = copy(self)
        other._request = msgspec.structs.replace(self._request, trace=trace, waits=waits)
        return other

    async def answer(self, via: Senders, deadline: float) -> Response:
        """Send the request and read the whole answer; see `Prepared`.

        Raises:
            APIError: of the class for the server's status and error object, or for a failed connection.
        """
        response = await self._sender(via).send(self._request, deadline)
        body: bytes | None = None
        try:
            if not 200 <= response.status < 300:
                raise await error_of(response, deadline, self._limits)
            body = await response.read(deadline, self._limits.max_body_bytes, "max_body_bytes")
            record = self._decode(body)
            set_received(record, response, response.status, body, passes_on=self._passes_on)
        except APIError as error:
            add_headers(error, response.headers)
            if isinstance(error, APIResponseValidationError):
                error.status_code = response.status
            if body is not None:
                error.response = response.response_with(body)
            raise
        finally:
            await response.aclose()
        return chat_response(record) if self._kind == "chat" and isinstance(record, TextCompletionResponse) else record

    async def open(self, via: Senders, shape: Shape, deadline: float) -> ChunkSource[Any]:
        """Send the request and wait for the head of a good response; see `Prepared`."""
        assert self._dialect is not None, "only completions are streamed"
        response = await self._sender(via).send(self._request, deadline)
        try:
            if not 200 <= response.status < 300:
                raise await error_of(response, deadline, self._limits)
            decoder = self._dialect.decoder(shape, self._model)
            return HTTPSource(response, decoder, self._limits, is_passed_on=self._passes_on)
        except BaseException:
            await response.aclose()
            raise

    def _sender(self, via: Senders) -> Sender:
        return via.sender(self.api_base, self._ssl_verify) if self._client is None else sender_of(self._client)


async def error_of(response: HTTPResponse, deadline: float, limits: Limits) -> APIError:
    """The exception for a response with another status than a good one."""
    body = await response.read_start(deadline, limits.max_error_body_bytes)
    return error_from_response(response.status, response.headers, body, response=response.response_with(body))


def _others(params: Mapping[str, Any], original: Original) -> dict[str, Any]:
    """The parameters of a call that are not what its client asked for."""
    said = original.keywords
    return {name: value for name, value in params.items() if name not in said or said[name] is not value}


def _setting(name: str | None) -> str | None:
    """A key assigned to the package, such as `tokenwire.openai_key`: for endpoints only, not for handlers."""
    key = None if name is None else module_settings().get(name)
    if key is not None and not isinstance(key, str):
        raise refused(name or "", f"{name} must be a str, not {type(key).__name__}")
    return key


@lru_cache(maxsize=256)
def _headers(
    key: tuple[str, str | None],
    organization: str | None,
    given: Headers,
    *,
    streamed: bool,
    has_body: bool,
) -> dict[str, str]:
    """The request's headers, names in lower case. Cached, so requests share the object and must not change it.

    The caller's headers replace ours; a None removes ours.
    """
    refuse_control_characters("api_key", key[1] or "")
    refuse_control_characters("organization", organization or "")
    headers: dict[str, str | None] = {"accept": "text/event-stream" if streamed else "application/json"}
    headers["user-agent"] = USER_AGENT
    headers["accept-encoding"] = "identity" if streamed else ACCEPTED_ENCODINGS  # compression would delay small events
    headers[key[0]] = key[1]
    headers["openai-organization"] = organization or None
    if has_body:
        headers["content-type"] = "application/json"
    headers.update((name.lower(), value) for name, value in given)
    sent = {name: value for name, value in headers.items() if value is not None}
    if framing := _FRAMING & sent.keys():
        raise refused("headers", f"headers must not have {min(framing)}: it is set from the body that is sent")
    return sent


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The request's JSON.

    Raises:
        BadRequestError: JSON can't represent a value; the message has its path.
    """
    try:
        return msgspec.json.encode(body, enc_hook=_encode_foreign)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        where, value = _unencodable(body)
        message = f"{where} can't be sent as JSON: {type(value).__name__}: {error}"
        raise refused(where.partition("[")[0].partition(".")[0], message) from None


def _encode_foreign(value: object) -> object:
    dump = getattr(value, "model_dump", None)  # pydantic models, such as openai's own types
    if dump is not None and not isinstance(value, type):
        return dump(mode="json", exclude_none=True)
    raise TypeError(f"objects of type {type(value).__name__} are not JSON")


def _unencodable(value: object, path: str = "") -> tuple[str, Any]:
    """The innermost value that can't be encoded, and its path."""
    children: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        children = [(f"{path}.{name}" if path else str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    for where, item in children:
        try:
            msgspec.json.encode(item, enc_hook=_encode_foreign)
        except RecursionError:
            return where, item
        except (TypeError, ValueError, OverflowError):
            return _unencodable(item, where)
    return path or "the request", value
