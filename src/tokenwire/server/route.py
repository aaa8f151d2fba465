"""A route: one path of the endpoint, and what the app, the metrics and the description need to know about it.

`routes.ROUTES` lists them all.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
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

Plain: TypeAlias = Callable[[dict[str, Any], Collection[str]], tuple[dict[str, Any], list[str]]]


class Events(Protocol):
    """Encodes the chunks of one stream as the events of one API; `encode` takes bare text and additions too.

    Attributes:
        keep_alive: is sent when the handler has been silent for long; clients skip it.
    """

    keep_alive: bytes

    def encode(self, chunk: Any) -> bytes: ...  # noqa: D102
    def ending(self, usage: Usage | None) -> bytes: ...  # noqa: D102

    def error_event(self, refusal: Refusal) -> bytes:
        """The event that ends a stream which failed, after all that was encoded before."""
        ...


class PassingEvents(Events, Protocol):
    """The same for an API that endpoints speak too: their events are passed on."""

    def passed_on(self, sent: Sent) -> bytes:
        """The bytes to send for an endpoint's events; the endpoint speaks this API."""
        ...

    def go_on(self, answer: Any, sent: bytes) -> None:
        """Prepare for `error_event` after an endpoint's own events: such an endpoint has failed.

        Args:
            answer: the endpoint's answer, as far as it arrived.
            sent: the latest events that were passed on.
        """
        ...


def plain_refusal(refusal: Refusal, _: str) -> tuple[int, bytes]:
    """A refusal in OpenAI's form, as status and body."""
    return refusal.status, refusal.body()


class ModelCall(Struct, frozen=True):
    """An answer that a model gives, in the dialect of one API.

    Attributes:
        request: checks the request's body.
        dialect: the API's name, for endpoints that speak the same one; "" where nothing is passed on.
        content: the name of the keyword for what the model answers, such as "messages".
        call: the method of `AsyncClient` that is called.
        body: encodes a whole answer, given the model and the request.
        events: makes the encoder of a stream, given the model and the request; None if the answer can't be streamed. With a
            `dialect`, the encoder is a `PassingEvents`.
        keywords: makes the call's keywords, without `model` and `stream`, given the request and its fields as they came. It may
            raise `BadRequestError` for what a call can't express.
        about_events: what the description says about the events.
        own: makes the request for endpoints of its own dialect, given its fields as they came: without what they would refuse
            though it does not change an answer. None if such endpoints get the same keywords as all others.
        is_form: whether requests are forms, with files in them.
        plain: makes the keywords for endpoints of other dialects, which may refuse what they do not know, given these keywords
            and the dialects, and the names of those that were left out; None if all endpoints get the same keywords.
    """

    request: type[Struct]
    content: str
    call: Callable[..., Awaitable[Any]]
    body: Callable[[Any, Model, Any], bytes]
    events: Callable[[Model, Any], Events] | None = None
    keywords: Callable[[Any, dict[str, Any]], dict[str, Any]] = as_keywords
    about_events: str = CHUNKS
    plain: Plain | None = None
    own: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    is_form: bool = False
    dialect: str = ""


class About(Struct, frozen=True):
    """What the app's own answers, such as its description, are made from.

    Attributes:
        models, routes: those of the app.
        with_keys: whether clients must send a key.
        metrics: returns what Prometheus reads: a body and its media type.
    """

    models: Models
    routes: "tuple[Route, ...]"
    with_keys: bool
    metrics: Callable[[], tuple[bytes, str]]


class Schema(Struct, frozen=True):
    """The content of a response, as a JSON Schema with a name."""

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
        path: without a version prefix; a last part in braces stands for any text, slashes included. It is a label of the
            metrics.
        answer: a model's; or the app's own: a function that is given the app's `About` and the text for the part in braces, and
            returns a body and its media type.
        operation: the route's name in the description.
        summary: one sentence for the description.
        returns: the content of an answer; None for a route that is not in the description.
        needs_key: whether clients must send a key, if the app has keys.
        refusal: encodes an error: returns the status and the body, given the refusal and the request's id.
        failure: the content of the body of such an error.
        id_headers: the headers of the response that have the request's id.
        headers: further headers of the app's own answer.
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

    def matches(self, path: str) -> bool:
        """Whether this is a route of that path."""
        return path == self.path or (self.path.endswith("}") and path.startswith(self.prefix))


def methods_at(path: str, routes: Iterable[Route]) -> dict[str, Route]:
    """The routes of a path, by their methods."""
    return {route.method: route for route in routes if route.matches(path)}
