"""What a route is: one path of the endpoint, and what the app, the figures and the description need to know of it.

The list of them is `routes.ROUTES`.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from tokenwire import Usage

from ..wire.passing import Sent
from .errors import Refusal
from .models import Model, Models
from .requests import as_keywords

JSON = "application/json"
CHUNKS = (
    "With `stream`, server-sent events: the `data` of each is a chunk as JSON, or an error; that of the last one is `[DONE]`."
)


ID_HEADERS = (b"x-request-id",)

Plain: TypeAlias = Callable[[dict[str, Any]], tuple[dict[str, Any], list[str]]]


class Events(Protocol):
    """Encodes the chunks of one stream as the events of one API; `encode` takes bare text and additions too.

    Attributes:
        keep_alive: what is sent when the handler has been silent for long; clients skip it.
    """

    keep_alive: bytes

    def encode(self, chunk: Any) -> bytes: ...  # noqa: D102
    def ending(self, usage: Usage | None) -> bytes: ...  # noqa: D102

    def error_event(self, refusal: Refusal) -> bytes:
        """What ends a stream that failed, after all that was encoded before."""
        ...


class PassingEvents(Events, Protocol):
    """The same of an API that endpoints speak too, whose own events go on."""

    def passed_on(self, sent: Sent) -> bytes:
        """What goes on of events that an endpoint sent, which speaks this API."""
        ...

    def go_on(self, answer: Any, sent: bytes) -> None:
        """Such an endpoint has failed. What `error_event` says comes after its own events.

        Args:
            answer: as much as came of it.
            sent: the latest events that were passed on.
        """
        ...


def plain_refusal(refusal: Refusal, _: str) -> tuple[int, bytes]:
    """A refusal as OpenAI has it."""
    return refusal.status, refusal.body()


class ModelCall(Struct, frozen=True):
    """An answer that a model gives, in the dialect of one API.

    Attributes:
        request: checks the request's body.
        dialect: the API's name, for endpoints that speak the same one; "" where nothing is passed on.
        content: the name of the keyword that the model answers.
        call: what is called: a method of `AsyncClient`.
        body: encodes a whole answer, given the model and the request.
        events: makes what encodes a stream, given the model and the request; None where the answer can't be streamed. With a
            `dialect`, that is a `PassingEvents`.
        keywords: what is called with, given the request and its fields as they came: the content and all that goes with
            it, but for the model and `stream`. It may raise `BadRequestError` for what the call can't say.
        told: what the description says of the events.
        is_form: whether requests are forms, with files in them.
        plain: the same keywords for an endpoint that speaks another dialect, which may refuse what it does not know, and
            the names of what was left out; None where that is never so.
    """

    request: type[Struct]
    content: str
    call: Callable[..., Awaitable[Any]]
    body: Callable[[Any, Model, Any], bytes]
    events: Callable[[Model, Any], Events] | None = None
    keywords: Callable[[Any, dict[str, Any]], dict[str, Any]] = as_keywords
    told: str = CHUNKS
    plain: Plain | None = None
    is_form: bool = False
    dialect: str = ""


class About(Struct, frozen=True):
    """What an app can tell about itself.

    Attributes:
        models, routes: those that it has.
        with_keys: whether clients must send a key.
        figures: what Prometheus reads: a body and its media type.
    """

    models: Models
    routes: "tuple[Route, ...]"
    with_keys: bool
    figures: Callable[[], tuple[bytes, str]]


class Schema(Struct, frozen=True):
    """What a response holds, as JSON Schema has it, under a name."""

    name: str
    definition: dict[str, Any]
    media_type: str = JSON


# OpenAI's error object.
ERROR = Schema(
    "Error",
    {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": ["string", "null"]},
                    "param": {"type": ["string", "null"]},
                    "code": {},
                },
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
)


class Route(Struct, frozen=True):
    """One method of one path.

    Attributes:
        path: without a version prefix; a last part in braces stands for any text, slashes included. The figures have it as
            their label.
        answer: a model's, or the app's own: a function of the app and of the text for the part in braces, which returns a
            body and its media type.
        operation: its name in the description.
        summary: one sentence.
        returns: None for a route that is not described.
        needs_key: whether clients must send a key, where the app has keys.
        refusal: how its clients are told what went wrong: the status and the body, given the refusal and the request's id.
        failure: what its refusals hold.
        id_headers: where they look for the request's id.
        headers: those of an answer of the app's own.
    """

    method: str
    path: str
    answer: ModelCall | Callable[[About, str], tuple[bytes, str]]
    operation: str
    summary: str
    returns: Schema | None
    needs_key: bool = True
    refusal: Callable[[Refusal, str], tuple[int, bytes]] = plain_refusal
    failure: Schema = ERROR
    id_headers: tuple[bytes, ...] = ID_HEADERS
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def prefix(self) -> str:
        """The path up to the part in braces."""
        return self.path.partition("{")[0]

    def leads_from(self, path: str) -> bool:
        """Whether this is a route of that path."""
        return path == self.path or (self.path.endswith("}") and path.startswith(self.prefix))


def methods_at(path: str, routes: Iterable[Route]) -> dict[str, Route]:
    """The routes of a path, by their methods."""
    return {route.method: route for route in routes if route.leads_from(path)}
