"""The interface between a call and its backend: one typed protocol, for endpoints and handlers alike.

A call is checked once, into a `Request`. A `Backend` prepares it: it finds the remaining mistakes, and makes everything
that all attempts share, once. Each attempt is then one `answer` or one `open` of the prepared call.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from .._settings import DEFAULT_OTEL, Hedge, Limits, OTel, RetryPolicy, Timeouts
from ..exceptions import refused
from ..types._response import Response
from ..types.attempts import RequestInfo
from ..types.client_request import ClientRequest, Original
from ..wire.convert import Shape
from .base import ChunkSource

if TYPE_CHECKING:
    import httpx

    from ..http.exchange import Sender
    from ..http.tls import Verify
    from ..results.asked import Asked

Kind: TypeAlias = Literal["chat", "text", "embedding", "image", "image_edit", "models", "tokens"]
Callback: TypeAlias = tuple[str, object]


class Options(msgspec.Struct, kw_only=True, frozen=True, eq=False, gc=False):
    """A call's options for this library, not for the model: from the caller, the client and the package's settings.

    Calls without options of their own share their client's object.

    Attributes:
        api_key: None if it was not given, "" to send none.
        api_version: sent as `api-version` in the query, for Azure.
        headers: a None removes a header that would otherwise be sent.
        num_retries: None if it was not given.
        retry_policy: the delays between attempts; its own number applies if `num_retries` is None.
        hedge: when a second, concurrent attempt begins, None for never.
        client: the caller's `client`: an httpx client to send through; for a handler, any object.
        ssl_verify: see `http.tls`.
        mock: the `mock_...` keywords, {} when there are none.
        drop_params: whether to drop parameters that an endpoint's API does not have.
        for_handlers: LiteLLM's keywords that identify a call, for `litellm_params`.
        otel: the options for OpenTelemetry; False disables it.
    """

    api_key: str | None
    api_base: str | None
    api_version: str | None
    organization: str | None
    headers: dict[str, str | None]
    timeouts: Timeouts
    limits: Limits
    num_retries: int | None
    retry_policy: RetryPolicy | None
    on_truncation: Literal["raise", "return"]
    client: object
    ssl_verify: bool | str
    mock: dict[str, Any]
    for_handlers: dict[str, Any]
    drop_params: bool = False
    hedge: Hedge | None = None
    otel: OTel | Literal[False] = DEFAULT_OTEL

    def __repr__(self) -> str:
        return "<Options>"  # without fields, which have the key in them


class Request(msgspec.Struct, kw_only=True, frozen=True, eq=False, gc=False):
    """One logical call, checked.

    Attributes:
        model: without the provider's prefix.
        provider: the provider's name.
        content: the messages, the prompt or the input, by `kind`; None for "models".
        backend: answers it.
        params: the caller's OpenAI parameters and unknown keywords.
        fallbacks: the same call to other targets, in the order in which they are tried after this one has failed.
        larger: the same call to a model with a larger context, for a prompt that is too long for this one.
        asked: the type given as `response_format` and the functions given as tools, which are dicts in `params`; None if
            there are none.
        client_request: the request that a server answers by this call, None if there is none.
        original: that request in its own API's words, None if there is none or if the call asks for something else by now.
        callbacks: the callbacks of the call, each with the name of its list.
        ask: makes the same call to another model, with other keywords; set if `backend` has several deployments.
    """

    kind: Kind
    model: str
    provider: str
    backend: "Backend"
    content: Any
    params: dict[str, Any]
    stream: bool
    options: Options
    asked: "Asked | None" = None
    fallbacks: "tuple[Request, ...]" = ()
    larger: "Request | None" = None
    client_request: ClientRequest | None = None
    original: Original | None = None
    ask: "Callable[[object, Mapping[str, Any]], Request] | None" = None
    callbacks: tuple[Callback, ...] = ()

    @property
    def choices(self) -> int:
        """How many choices the answer has: `n` for each prompt."""
        n = self.params.get("n")
        of_each = n if isinstance(n, int) and n > 0 else 1
        return of_each if self.kind != "text" else of_each * _prompts_in(self.content)

    def __repr__(self) -> str:
        return f"<Request {self.kind} {self.provider}/{self.model}>"  # without its content


def _prompts_in(content: object) -> int:
    """How many prompts a text completion has: a list of texts or of token lists has several, a list of tokens is one."""
    if not isinstance(content, list | tuple) or any(isinstance(item, int) for item in content):
        return 1
    return len(content) or 1


class Senders(Protocol):
    """The senders of HTTP requests for a client's calls, for the running event loop."""

    def sender(self, api_base: str, verify: "Verify") -> "Sender":
        """The sender for requests to this address.

        Raises:
            BadRequestError: a proxy or certificates named by the environment or the caller can't be used.
        """
        ...

    def http_client(self, verify: "Verify") -> "httpx.AsyncClient":
        """The client for a handler's own requests. Raises as `sender` does."""
        ...


class Prepared(Protocol):
    """One call, prepared for any number of attempts. All methods raise only `APIError`."""

    @property
    def address(self) -> str:
        """Where attempts are sent, for messages: "POST https://..." without secrets, or the handler's name."""
        ...

    @property
    def request(self) -> RequestInfo | None:
        """What attempts send, for an error; None where that is a handler's business."""
        ...

    @property
    def api_base(self) -> str | None:
        """The endpoint's base address, or what the caller passed to the handler."""
        ...

    def traced(self, headers: Callable[[], dict[str, str]], waits: list[float]) -> "Prepared":
        """The same call, for one traced attempt.

        Args:
            headers: returns the trace headers to send.
            waits: a list to which the seconds spent waiting for a connection are appended.
        """
        ...

    async def answer(self, via: Senders, deadline: float) -> Response:
        """One attempt at an answer that is not streamed.

        Args:
            via: sends HTTP requests.
            deadline: when the answer must have arrived, a time of `_loops.clock`.

            Raises:
                Timeout: `deadline` passed. Its `budget` is None: only the call knows which of its budgets this was.
        """
        ...

    async def open(self, via: Senders, shape: Shape, deadline: float) -> ChunkSource[Any]:
        """One attempt at a stream, up to the head of a good response; the caller closes the source.

        Raises:
            Timeout: as `answer`.
        """
        ...


class Backend(Protocol):
    """Answers calls: an endpoint's API, or a handler's bridge."""

    @property
    def num_retries(self) -> int:
        """Attempts after the first, by default."""
        ...

    @property
    def json_mode(self) -> str:
        """The default for how a type is requested: "schema", "object" or "prompt"."""
        ...

    def dialect_of(self, model: str) -> str:
        """The name of the dialect in which an endpoint is asked for a model; "" for a handler."""
        ...

    def prepare(self, request: Request) -> Prepared:
        """Check and prepare a call; nothing is sent.

        Raises:
            BadRequestError, AuthenticationError: it can't be sent; the message names the argument.
        """
        ...


class SharedBackend:
    """A backend with several deployments. Defined here so that code that checks for it need not import `deployments`."""


class OwnEndpoint:
    """A backend that users register like a handler, but that is an endpoint. Defined here for the same reason."""


def check_http_client(name: str, client: object) -> None:
    """Refuse a client without the interface of `httpx.AsyncClient`: a sync one, or one of another library.

    Raises:
        BadRequestError: it is one of these. None is accepted.
    """
    if client is not None and not (hasattr(client, "send") and hasattr(client, "aclose")):
        kind = type(client)
        raise refused(name, f"{name} must be an httpx.AsyncClient, not a {kind.__module__}.{kind.__qualname__}")


def refuse_control_characters(name: str, text: str) -> None:
    """Refuse a text that can't be a header's value.

    Raises:
        BadRequestError: it has a line break or NUL in it.
    """
    if "\n" in text or "\r" in text or "\0" in text:
        raise refused(name.partition("[")[0], f"{name} must not contain line breaks or NUL")
