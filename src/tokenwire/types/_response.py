"""What a whole call returns, and what is known of the call around it."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

import msgspec

from ._record import OpenRecord
from ._source import Fields, HasRaw, HasSource, document_of
from .attempts import Attempt
from .headers import request_id_of


class HasHeaders(Protocol):
    """An HTTP response whose headers are read when somebody looks."""

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        ...


class CallDetails(msgspec.Struct):
    """What is known of the call that a response ends; read when somebody looks.

    Attributes:
        received: the HTTP response, None when no server answered.
        attempts: oldest first; the last one is the response.
        provider, api_base: who answered, and where; None until the call is described.
        status_code: the HTTP status, None when no server answered.
        body: the HTTP response's, where the answer was translated from another API; else the answer knows it.
        passed_on: the same where it is for a server's client, who asked in the words of that API.
    """

    received: HasHeaders | None = None
    attempts: tuple[Attempt, ...] = ()
    provider: str | None = None
    api_base: str | None = None
    status_code: int | None = None
    body: bytes | None = None
    passed_on: bytes | None = None
    _headers: dict[str, str] | None = None
    _hidden_params: Fields | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP response's, `{}` when no server answered."""
        if self._headers is None:
            self._headers = {} if self.received is None else self.received.headers
            self.received = None
        return self._headers

    @headers.setter
    def headers(self, value: dict[str, str]) -> None:
        self._headers = value

    @property
    def hidden_params(self) -> Fields:
        """LiteLLM's bag, with what is known of the call; what somebody put there before stays."""
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
    """Room for what is known of a response's call; unset until somebody needs it."""

    __slots__ = ("_call",)
    _call: CallDetails

    @property
    def raw(self) -> bytes | None:
        """The bytes of the HTTP response's body as the server sent them, None when no server did."""
        document = document_of(self)
        return call_of(self).body if document is None else document


_set_call: Final[Callable[[HasCall, CallDetails], None]] = HasCall.__dict__["_call"].__set__  # past `OpenRecord.__setattr__`


def call_of(response: HasCall) -> CallDetails:
    """What is known of a response's call, to be read and added to."""
    if not hasattr(response, "_call"):
        _set_call(response, CallDetails())
    return response._call


def set_received(response: HasCall, received: HasHeaders, status_code: int, body: bytes, *, passes_on: bool = False) -> None:
    """Tell a response that was just made which HTTP response it came in: it knows of no call, and need not be asked.

    Args:
        passes_on: whether the body is for a server's client as it is.
    """
    translated = body if document_of(response) is None else None
    passed_on = body if passes_on else None
    _set_call(response, CallDetails(received, status_code=status_code, body=translated, passed_on=passed_on))


def body_passed_on(response: HasCall) -> bytes | None:
    """The body that a server's client is to have as an endpoint sent it; None where the answer has to be said to them."""
    return call_of(response).passed_on


def share_call(response: HasCall, other: HasCall) -> None:
    """Let `response` know the call that `other` knows."""
    if hasattr(other, "_call"):
        _set_call(response, other._call)


class Wanted(Protocol):
    """What a call asked for: how the value in a record is found."""

    def parsed(self, record: Any, /) -> Any:
        """The value in a record's text, made when it is first asked for."""
        ...


class WantedText(Wanted, Protocol):
    """The same of a text: what a look at it needs, so that it costs hardly more than decoding.

    Attributes:
        text: of which `made` was made; unset before.
        made: the value.
        fast: makes the value of a text that fits. Any exception that it raises means: ask `parsed`.
    """

    text: str | None | msgspec.UnsetType
    made: Any
    fast: Callable[[Any], Any]


class HasParsed(HasSource):
    """A record in whose text there may be a value of a type that the caller named."""

    __slots__ = ("_wanted",)
    _wanted: Wanted | None  # unset where the call asked for none, None where nothing is known of that here


# Says what the call asked for; what an inner call of a handler asked for is forgotten. Without the cost of a Python function.
want: Final[Callable[[HasParsed, Wanted], None]] = HasParsed.__dict__["_wanted"].__set__


class Response(OpenRecord, HasCall, kw_only=True):
    """The base of what a whole call returns."""

    _error: Any = msgspec.field(default=msgspec.UNSET, name="error")  # an error object in place of, or beside, an answer

    _slots: ClassVar[tuple[str, ...]] = (*OpenRecord._slots, "_call")

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What each attempt of the call came to, oldest first; the last one is this response."""
        return call_of(self).attempts

    @property
    def request_id(self) -> str | None:
        """The server's id for the request, from its headers (`x-request-id`, or another name for it)."""
        return request_id_of(call_of(self).headers)

    @property
    def status_code(self) -> int | None:
        """The HTTP response's status; None when no server answered. `raw` has the bytes of its body."""
        return call_of(self).status_code

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP response's headers, names in lower case; `{}` when no server answered."""
        return call_of(self).headers

    @property
    def response_headers(self) -> dict[str, str]:
        """The same as `headers`."""
        return call_of(self).headers

    @property
    def _response_headers(self) -> dict[str, str]:
        """The HTTP response's headers in lower case, `{}` when no server answered. LiteLLM's name."""
        return call_of(self).headers

    @_response_headers.setter
    def _response_headers(self, value: dict[str, str]) -> None:
        call_of(self).headers = value

    @property
    def _hidden_params(self) -> Fields:
        """LiteLLM's bag of call details: `custom_llm_provider`, `api_base`, `additional_headers`, and what a handler put there."""
        return call_of(self).hidden_params

    @_hidden_params.setter
    def _hidden_params(self, value: Fields) -> None:
        call_of(self)._hidden_params = value
