"""Anthropic's Messages: the server's part of that API; requests, events and errors are in `wire.messages`."""

from typing import Any

import msgspec

from tokenwire import ModelResponse, Usage
from tokenwire.types import TokenCount

from ..wire.messages.answers import message_fields
from ..wire.messages.asked import MessagesRequest
from ..wire.messages.encode import PING, EventEncoder, event
from ..wire.messages.failures import failure_of, is_failure
from ..wire.passing import Sent
from .errors import Refusal
from .models import Model, id_of


class MessagesEvents(EventEncoder):
    """Encodes the chunks of one answer as events."""

    keep_alive: bytes = PING

    def __init__(self, model: Model, request: MessagesRequest) -> None:
        super().__init__(request.stop_sequences)
        self._model = model
        self._is_passed_on = False

    def head_of(self, chunk: Any) -> tuple[str, str]:
        """See `EventEncoder`."""
        return _id_of(getattr(chunk, "id", None)), self._model.shown(getattr(chunk, "model", None))

    def passed_on(self, sent: Sent) -> bytes:
        """See `PassingEvents`."""
        self._is_passed_on = True
        return sent.data

    def ending(self, usage: Usage | None) -> bytes:
        """The events after the last chunk; after an endpoint's events, the one that ends a message, which has not come."""
        return event("message_stop", {}) if self._is_passed_on else super().ending(usage)

    def go_on(self, answer: object, sent: bytes) -> None:
        """See `PassingEvents`: the event of an error does not depend on those before it."""

    def error_event(self, refusal: Refusal) -> bytes:
        """The event that ends a stream which failed."""
        if is_failure(refusal.beside, refusal.error):
            return event("error", {**refusal.beside, "error": refusal.error})
        _, fields = failure_of(refusal.status, refusal.error.get("message"), "")
        return event("error", {"error": fields["error"]})


def message_body(response: ModelResponse, model: Model, request: MessagesRequest) -> bytes:
    """The body of a whole answer."""
    shown = model.shown(response.model)
    fields = message_fields(response, id=_id_of(response.id), model=shown, stops=request.stop_sequences or ())
    return msgspec.json.encode(fields)


def message_tokens_body(count: TokenCount, *_: object) -> bytes:
    """The body of a token count."""
    return msgspec.json.encode({"input_tokens": count.input_tokens})


def messages_refusal(refusal: Refusal, request_id: str) -> tuple[int, bytes]:
    """A refusal in Anthropic's form, as status and body; an endpoint's error in that form is passed on as it came."""
    if is_failure(refusal.beside, refusal.error) and refusal.sent is not None:
        return refusal.status, refusal.sent
    status, fields = failure_of(refusal.status, refusal.error.get("message"), request_id)
    return status, msgspec.json.encode(fields)


def _id_of(given: object) -> str:
    known = id_of(given, "msg_")
    return known if known.startswith("msg_") else f"msg_{known}"
