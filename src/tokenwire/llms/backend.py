"""The seam between a call and whoever answers it: one typed protocol, for endpoints and handlers alike.

A call is checked once, into a `Request`. A `Backend` prepares it: what can be wrong with it is found there, and what all
of its attempts have in common is made there, once. Each attempt is then one `answer` or one `open` of what was prepared.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from .._settings import DEFAULT_OTEL, Hedge, Limits, OTel, RetryPolicy, Timeouts
from ..exceptions import refused
from ..types._response import Response
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
    """What a call says to this library, in contrast to the model: the caller's, the client's and the package's settings.

    Calls that set nothing of their own share their client's.

    Attributes:
        api_key: None when nobody named one, "" for none at all.
        api_version: sent as `api-version` in the query, as Azure wants it.
        headers: those that are None are left out, though the endpoint's client would send them.
        num_retries: None when nobody named a number.
        retry_policy: how retries wait; its own number counts where `num_retries` is None.
        hedge: when a second attempt begins beside the first, None for never.
        client: what the caller passed as `client`: an httpx client to send through, or anything, for a handler.
        ssl_verify: see `http.tls`.
        mock: the `mock_...` keywords, {} when there are none.
        drop_params: whether parameters that an endpoint's API has nothing for are left out.
        for_handlers: LiteLLM's keywords by which a call is known, for `litellm_params`.
        otel: what OpenTelemetry is told of the call; False for nothing.
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
        return "<Options>"  # the key is in them


class Request(msgspec.Struct, kw_only=True, frozen=True, eq=False, gc=False):
    """One logical call, checked.

    Attributes:
        model: without the provider's prefix.
        provider: the name that whoever answers is known by.
        content: the messages, the prompt or the input, by `kind`; None for "models".
        backend: who that is.
        params: the caller's OpenAI parameters and unknown keywords.
        fallbacks: the same call to others, in the order in which they are tried once this one has failed.
        larger: the same call to a model that takes more, for a prompt that does not fit this one.
        asked: for a type as `response_format`, for functions as tools; among `params` they are dicts. None for neither.
        client_request: whom a server answers by this call, None for a call that is nobody else's.
        original: what that client asked for, in the words of its API; None where the call asks for something else by now.
        callbacks: who is told of the call, with the name of the list that they stand in.
        ask: makes the same call to another model, with keywords of its own: where `backend` has several deployments.
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
        """How many choices were asked for: `n` for each prompt."""
        n = self.params.get("n")
        of_each = n if isinstance(n, int) and n > 0 else 1
        return of_each if self.kind != "text" else of_each * _prompts_in(self.content)

    def __repr__(self) -> str:
        return f"<Request {self.kind} {self.provider}/{self.model}>"  # not what was said


def _prompts_in(content: object) -> int:
    """How many prompts a text completion is asked for: a list of texts or of token lists is several, a list of tokens one."""
    if not isinstance(content, list | tuple) or any(isinstance(item, int) for item in content):
        return 1
    return len(content) or 1


class Senders(Protocol):
    """What a client's calls send HTTP through, in the event loop that runs."""

    def sender(self, api_base: str, verify: "Verify") -> "Sender":
        """For requests to this address.

        Raises:
            BadRequestError: what the environment or the caller says of the way there can't be done.
        """
        ...

    def http_client(self, verify: "Verify") -> "httpx.AsyncClient":
        """For a handler's own requests. Raises as `sender` does."""
        ...


class Prepared(Protocol):
    """One call, ready for as many attempts as it takes. All methods raise `APIError` alone."""

    @property
    def address(self) -> str:
        """Where attempts go, to show: "POST https://..." without secrets, or the handler's name."""
        ...

    @property
    def api_base(self) -> str | None:
        """The endpoint's, or what the caller said to the handler."""
        ...

    def traced(self, headers: Callable[[], dict[str, str]], waits: list[float]) -> "Prepared":
        """The same, for one attempt that is traced.

        Args:
            headers: returns those by which whoever answers goes on with the caller's trace.
            waits: where to note how many seconds it waited for a connection.
        """
        ...

    async def answer(self, via: Senders, deadline: float) -> Response:
        """One attempt at an answer that is not streamed.

        Args:
            via: what HTTP goes through.
            deadline: until when it must have come, as `_loops.clock` counts.

        Raises:
            Timeout: `deadline` passed. Its `budget` is None: only the call knows which of its budgets this was.
        """
        ...

    async def open(self, via: Senders, shape: Shape, deadline: float) -> ChunkSource[Any]:
        """One attempt at a stream, as far as the head of a good response; whoever gets the source closes it.

        Raises:
            Timeout: as `answer`.
        """
        ...


class Backend(Protocol):
    """Who answers: an endpoint's API, or a handler's bridge."""

    @property
    def num_retries(self) -> int:
        """Attempts after the first, where nobody names a number."""
        ...

    @property
    def json_mode(self) -> str:
        """How a type is asked for, where nobody says: "schema", "object" or "prompt"."""
        ...

    def dialect_of(self, model: str) -> str:
        """The name of the dialect in which an endpoint is asked for a model; "" for a handler."""
        ...

    def prepare(self, request: Request) -> Prepared:
        """Check and prepare a call; nothing is sent.

        Raises:
            BadRequestError, AuthenticationError: it can't be sent as it is; the message names the argument.
        """
        ...


class SharedBackend:
    """A backend that shares its calls between several deployments: known here, so that nobody else loads what they need."""


class OwnEndpoint:
    """A backend that users register as they do a handler, and that is an endpoint; known here for the same reason."""


def check_http_client(name: str, client: object) -> None:
    """Refuse what can't send requests as an `httpx.AsyncClient` does: sync clients, and those of other libraries.

    Raises:
        BadRequestError: see above; None is not a mistake.
    """
    if client is not None and not (hasattr(client, "send") and hasattr(client, "aclose")):
        kind = type(client)
        raise refused(name, f"{name} must be an httpx.AsyncClient, not a {kind.__module__}.{kind.__qualname__}")


def refuse_control_characters(name: str, text: str) -> None:
    """Refuse a text that would break out of its line in a request's head.

    Raises:
        BadRequestError: it would.
    """
    if "\n" in text or "\r" in text or "\0" in text:
        raise refused(name.partition("[")[0], f"{name} must not contain line breaks or NUL")
