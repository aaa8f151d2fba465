"""What a dialect is: how one API says requests, events and answers.

Each dialect is one module: `chat` (`/chat/completions`), `text` (`/completions`), and those that are loaded when a call
needs them.
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
    """Decodes the events of one stream into chunks of the shape that its caller wants.

    Attributes:
        done: whether the event that ends a stream arrived; what follows it is not looked at.
        had_content: whether the latest `decode` found content, as deadlines understand it.
        error: what went wrong in the latest `decode`; to be raised after the chunks before it are handed over.
        unread: how many of the latest `decode`'s events came after the one that ended the stream, or was an error.
        assembler: collects the answer.
        odd: the places of what was understood though it was not as it should be.
        last_event: what the event is called that ends a stream.
        bare_text: whether a str may stand for a chunk that brings text for choice 0 and nothing else; not every decoder makes
            use of that.
        reads_names: whether it looks at the names of events; an API that says in the data what an event is needs none.
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

    def decode_document(self, data: bytes) -> list[Any]:
        """The chunks of a whole answer that a server sent where a stream was asked for.

        Raises:
            APIError: as a `Dialect`'s `answer`.
        """
        ...


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One API's way to say things.

    Attributes:
        name: what this library calls it.
        content: the field of a request that has the conversation or the prompt.
        path: below the address of an endpoint. Where it begins with a version, the address may end with the same one.
        body: (model, content, the caller's parameters) → the request's JSON, but for `stream`. Raises BadRequestError for
            what the API can't say, naming it.
        answer: the body of a good response → the answer. Raises APIError for an error object in spite of the status,
            APIResponseValidationError for what is not an answer.
        decoder: (shape, model) → for the events of one stream; the model's name is for chunks that leave it open.
        key_header: where the key is sent. As "authorization" it is a bearer token.
        headers: sent with each request, names in lower case.
        tokens_path: where a prompt's tokens are counted; None where they are not.
        kinds: what can be asked of such an endpoint.
        unsupported: the parameters of chat that the API has nothing for, which `drop_params` drops.
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
