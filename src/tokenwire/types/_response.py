"""What a call that is not streamed returns, and the details of the call."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import msgspec

from ._record import OpenRecord
from ._source import Fields, HasRaw, HasSource, document_of
from .headers import request_id_of

if TYPE_CHECKING:
    from .attempts import Attempt  # which imports this module


class HasHeaders(Protocol):
    """An HTTP response whose headers are parsed when they are first read."""

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        ...


class CallDetails(msgspec.Struct):
    """The details of a response's call; made when first read.

    Attributes:
        received: the HTTP response, None if no server answered.
        attempts: oldest first; the last one is the response.
        provider, api_base: the target that answered, and its address; None until they are set.
        status_code: the HTTP status, None if no server answered.
        body: the HTTP response's, if the answer was translated from another API; otherwise the answer has it.
        passed_on: the same if a server's client gets it unchanged.
    """

    received: HasHeaders | None = None
    attempts: "tuple[Attempt, ...]" = ()
    provider: str | None = None
    api_base: str | None = None
    status_code: int | None = None
    body: bytes | None = None
    passed_on: bytes | None = None
    _headers: dict[str, str] | None = None
    _hidden_params: Fields | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP response's headers, `{}` if no server answered."""
        if self._headers is None:
            self._headers = {} if self.received is None else self.received.headers
            self.received = None
        return self._headers

    @headers.setter
    def headers(self, value: dict[str, str]) -> None:
        self._headers = value

    @property
    def hidden_params(self) -> Fields:
        """LiteLLM's dict of call details; entries that were set before are kept."""
        if self._hidden_params is None:
            self._hidden_params = {}
        params = self._hidden_params
        if self.provider is not None:
            params.setdefault("custom_llm_provider", self.provider)
            params.setdefault("api_base", self.api_base)
            params.setdefault("additional_headers", _additional_headers(self.headers))
            self.provider = None
        return params

    def __reduce__(self) -> tuple[Any, ...]:
        return CallDetails, (
            None,
            self.attempts,
            None,
            None,
            self.status_code,
            self.body,
            None,
            self.headers,
            self.hidden_params,
        )


def _additional_headers(headers: dict[str, str]) -> dict[str, str]:
    """LiteLLM's view of the response's headers: rate limits under their own names, all under `llm_provider-`."""
    limits = {name: value for name, value in headers.items() if name.startswith("x-ratelimit-")}
    return {**limits, **{f"llm_provider-{name}": value for name, value in headers.items()}}


class HasCall(HasRaw):
    """A slot for the details of a response's call; unset until they are needed."""

    __slots__ = ("_call",)
    _call: CallDetails

    @property
    def raw(self) -> bytes | None:
        """The bytes of the HTTP response's body as the server sent them, None if no server answered."""
        document = document_of(self)
        return call_of(self).body if document is None else document


_set_call: Final[Callable[[HasCall, CallDetails], None]] = HasCall.__dict__[
    "_call"
].__set__  # bypasses `OpenRecord.__setattr__`


def call_of(response: HasCall) -> CallDetails:
    """The details of a response's call, readable and writable."""
    if not hasattr(response, "_call"):
        _set_call(response, CallDetails())
    return response._call


def set_received(response: HasCall, received: HasHeaders, status_code: int, body: bytes, *, passes_on: bool = False) -> None:
    """Set the HTTP response of a new answer, which has no call details yet.

    Args:
        passes_on: whether a server's client gets the body unchanged.
    """
    translated = body if document_of(response) is None else None
    passed_on = body if passes_on else None
    _set_call(response, CallDetails(received, status_code=status_code, body=translated, passed_on=passed_on))


def body_passed_on(response: HasCall) -> bytes | None:
    """The endpoint's body, if a server's client gets it unchanged; None if the answer must be encoded for the client."""
    return call_of(response).passed_on


def share_call(response: HasCall, other: HasCall) -> None:
    """Give `response` the call details of `other`."""
    if hasattr(other, "_call"):
        _set_call(response, other._call)


class Wanted(Protocol):
    """The type that a call requested: makes the value in a record."""

    def parsed(self, record: Any, /) -> Any:
        """The value in a record's text, made when first read."""
        ...


class WantedText(Wanted, Protocol):
    """The same for a text, with a cache, so that reading the value costs little more than decoding.

    Attributes:
        text: the text that `made` was made of; unset at first.
        made: the value.
        fast: decodes the value of a text that fits. If it raises any exception, call `parsed`.
    """

    text: str | None | msgspec.UnsetType
    made: Any
    fast: Callable[[Any], Any]


class HasParsed(HasSource):
    """A record whose text may hold a value of the type that the caller requested."""

    __slots__ = ("_wanted",)
    _wanted: Wanted | None  # unset if the call requested no type, None if that is unknown here


# Sets what the call requested, replacing the request of a handler's inner call. Avoids the cost of a Python function.
want: Final[Callable[[HasParsed, Wanted], None]] = HasParsed.__dict__["_wanted"].__set__


class Response(OpenRecord, HasCall, kw_only=True):
    """The base of all answers that are not streamed."""

    _error: Any = msgspec.field(default=msgspec.UNSET, name="error")  # an error object instead of an answer, or next to one

    _slots: ClassVar[tuple[str, ...]] = (*OpenRecord._slots, "_call")

    @property
    def attempts(self) -> "tuple[Attempt, ...]":
        """The attempts of the call, oldest first; the last one is this response."""
        return call_of(self).attempts

    @property
    def request_id(self) -> str | None:
        """The server's id for the request, from its headers (`x-request-id`, or another name for it)."""
        return request_id_of(call_of(self).headers)

    @property
    def status_code(self) -> int | None:
        """The HTTP response's status; None if no server answered. `raw` has the bytes of its body."""
        return call_of(self).status_code

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP response's headers, names in lower case; `{}` if no server answered."""
        return call_of(self).headers

    @property
    def response_headers(self) -> dict[str, str]:
        """The same as `headers`."""
        return call_of(self).headers

    @property
    def _response_headers(self) -> dict[str, str]:
        """The HTTP response's headers in lower case, `{}` if no server answered. LiteLLM's name."""
        return call_of(self).headers

    @_response_headers.setter
    def _response_headers(self, value: dict[str, str]) -> None:
        call_of(self).headers = value

    @property
    def _hidden_params(self) -> Fields:
        """LiteLLM's dict of call details: `custom_llm_provider`, `api_base`, `additional_headers`, and a handler's entries."""
        return call_of(self).hidden_params

    @_hidden_params.setter
    def _hidden_params(self, value: Fields) -> None:
        call_of(self)._hidden_params = value
