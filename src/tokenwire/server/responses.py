"""`POST /v1/responses`: the server's part of the Responses API; requests and events are in `wire.responses`."""

import re
from typing import Any, Final

import msgspec

from tokenwire import ModelResponse
from tokenwire.types import TokenCount

from ..wire.convert import response_chunks
from ..wire.passing import Sent
from ..wire.responses.events import EventEncoder
from ..wire.responses.request import ResponsesRequest
from .errors import Refusal
from .models import Model, id_of

_NUMBER: Final = re.compile(rb'"sequence_number"\s*:\s*(\d+)')


class ResponsesEvents(EventEncoder):
    """Encodes the chunks of one answer as events."""

    keep_alive: bytes = b": keep-alive\n\n"

    def __init__(self, model: Model, request: ResponsesRequest) -> None:
        super().__init__(request)
        self._model = model

    def passed_on(self, sent: Sent) -> bytes:
        """See `PassingEvents`."""
        return sent.data

    def go_on(self, answer: object, sent: bytes) -> None:
        """See `PassingEvents`: the event that ends a response has all of the response, and the next number."""
        if isinstance(answer, ModelResponse):
            for chunk in response_chunks(answer):
                self.encode(chunk)
        self.encode("")  # the response has begun, even if nothing of it arrived
        numbers = _NUMBER.findall(sent)
        self._number = int(numbers[-1]) + 1 if numbers else self._number

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
    return ResponsesEvents(model, request).whole(response)


def response_tokens_body(count: TokenCount, *_: object) -> bytes:
    """The body of a token count."""
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": count.input_tokens})
