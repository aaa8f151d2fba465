"""What a dialect is: one API's formats of requests, events and answers.

Each dialect is one module: `chat` (`/chat/completions`), `text` (`/completions`), and further ones, which are loaded when a
call needs them.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Protocol

import msgspec

from ..exceptions import APIError
from ..types._source import Path
from ..types.chat import ModelResponse
from ..types.text import TextCompletionResponse
from .assemble import Assembler
from .convert import Shape
from .sse import Payload


class EventDecoder(Protocol):
    """Decodes the events of one stream into chunks of the caller's shape.

    Attributes:
        done: whether the event that ends a stream arrived; events after it are ignored.
        had_content: whether the latest `decode` found content: see `chunks.has_content`.
        error: the error found in the latest `decode`; to be raised after the chunks before it have been returned.
        assembler: collects the answer.
        odd: the paths of values of another type than expected, which were converted.
        bare_text: whether a str may be returned for a chunk with text for choice 0 and nothing else.
        unread: how many of the latest `decode`'s events came after the last event of the stream, or after an error.
        last_event: the name of the event that ends a stream.
        reads_names: whether it uses the names of events; not needed for an API that has an event's type in its data.
    """

    last_event: ClassVar[str]
    reads_names: ClassVar[bool]
    done: bool
    had_content: bool
    error: APIError | None
    unread: int
    bare_text: bool

    @property
    def assembler(self) -> Assembler: ...  # noqa: D102

    @property
    def odd(self) -> Collection[Path]: ...  # noqa: D102

    def decode(self, events: list[Payload]) -> list[Any]:
        """The chunks in `events`, in order."""
        ...

    def give_additions(self) -> None:
        """From now on, `decode` may return an `Addition` for a chunk that only adds to a choice that has begun. Optional."""
        ...

    def decode_document(self, data: bytes) -> list[Any]:
        """The chunks of a whole answer that a server sent instead of a stream.

        Raises:
            APIError: as a `Dialect`'s `answer`.
        """
        ...


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """The formats of one API.

    Attributes:
        name: the name of the API in this library.
        content: the request's field for the conversation or the prompt.
        path: the path below the address of an endpoint. If it begins with a version, the address may end with the same.
        body: (model, content, the caller's parameters) → the request's JSON, without `stream`. Raises BadRequestError for
            what the API can't express; the message names it.
        answer: the body of a good response → the answer. Raises APIError for an error object despite the status,
            APIResponseValidationError for anything else that is not an answer.
        decoder: (shape, model) → the decoder for the events of one stream; the model's name is for chunks without one.
        key_header: the header for the key; in "authorization" it is a bearer token.
        headers: sent with each request, names in lower case.
        tokens_path: the path for counting a prompt's tokens; None if the API has none.
        kinds: the kinds of calls that such an endpoint answers.
        unsupported: parameters of chat completions that the API does not have, which `drop_params` drops.
    """

    name: str
    content: str
    path: str
    body: Callable[[str, Any, Mapping[str, Any]], dict[str, Any]]
    answer: Callable[[bytes], ModelResponse | TextCompletionResponse]
    decoder: Callable[[Shape, str], EventDecoder]
    key_header: str = "authorization"
    headers: tuple[tuple[str, str], ...] = ()
    tokens_path: str | None = None
    kinds: frozenset[str] = frozenset({"chat", "text", "embedding", "image", "image_edit", "models"})
    unsupported: frozenset[str] = frozenset()
