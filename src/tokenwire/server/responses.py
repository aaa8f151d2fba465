"""`POST /v1/responses`: what of the Responses API is this server's; the rest is in `wire.responses`."""

from typing import Any, ClassVar

import msgspec

from tokenwire import ModelResponse
from tokenwire.types import TokenCount

from ..wire.responses.events import EventEncoder
from ..wire.responses.request import ResponsesRequest
from .errors import Refusal
from .models import Model, id_of


class ResponsesEvents(EventEncoder):
    """Encodes the chunks of one answer as events; its bytes are never an endpoint's own."""

    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"

    def __init__(self, model: Model, request: ResponsesRequest, *, from_endpoint: bool) -> None:
        super().__init__(request)
        self._model = model

    def error_event(self, refusal: Refusal) -> bytes:
        """The event that ends a stream which failed."""
        return self.failed(refusal.error, refusal.status)

    def _head_of(self, chunk: Any) -> tuple[str, int, str]:
        _, created, _ = super()._head_of(chunk)
        given = getattr(chunk, "created", None)
        shown = self._model.shown(getattr(chunk, "model", None))
        return id_of(getattr(chunk, "id", None), "resp_"), int(given or created), shown


def response_body(response: ModelResponse, model: Model, request: ResponsesRequest) -> bytes:
    """The body of a whole answer."""
    return ResponsesEvents(model, request, from_endpoint=False).whole(response)


def response_tokens_body(count: TokenCount, *_: object) -> bytes:
    """The body of a number of tokens."""
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": count.input_tokens})
