"""The types that a call requested: of its answer, and of the functions that the model may call. Responses refer to them.

The object in a message is decoded when it is read, and so are the arguments of a tool call. The error for one that does not
fit has the whole response: a copy, as a message that refers to its response would be a reference cycle.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import force_setattr

from ..exceptions import APIResponseValidationError, OutputValidationError
from ..types._record import copy_with_source
from ..types._response import call_of, share_call, want
from ..types.chat import Message, ModelResponse
from .answer import Answer

if TYPE_CHECKING:
    from .tools import Tools


class Asked(NamedTuple):
    """The types that a call requested; None for none.

    Attributes:
        answer: the type of the answer.
        tools: the functions that the model may call.
        retries: how often to ask again after an answer that does not fit.
    """

    answer: Answer | None = None
    tools: "Tools | None" = None
    retries: int = 0

    def mark(self, response: object) -> None:
        """Set the requested types on the messages of a response, and on their tool calls."""
        if not isinstance(response, ModelResponse):
            return
        seen = _copy_of(response)
        for choice in response.choices:
            if self.answer is not None:
                want(choice.message, _OfMessage(self.answer, choice.finish_reason, bool(choice.message.refusal), seen))
            if self.tools is not None and choice.message.tool_calls:
                self.tools.mark(choice.message.tool_calls, choice.finish_reason, seen)

    def misfit(self, response: object) -> OutputValidationError | None:
        """Why a marked response does not fit; None if it does, or was cut short, or the model refused."""
        for choice in response.choices if isinstance(response, ModelResponse) else ():
            try:
                _ = choice.message.parsed
            except OutputValidationError as error:
                return error
            except APIResponseValidationError:
                pass  # asking again would not help
        return None


class _OfMessage:
    """The type requested for a received message: a `WantedText`."""

    __slots__ = ("_answer", "_finish_reason", "_seen", "fast", "made", "text")

    def __init__(self, answer: Answer, finish_reason: str | None, is_refused: bool, seen: ModelResponse | None = None) -> None:
        self._answer, self._finish_reason, self._seen = answer, finish_reason, seen
        self.fast: Callable[[Any], Any] = _nothing if is_refused else answer.fast
        self.text: str | None | UnsetType = UNSET
        self.made: object = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _OfMessage, (self._answer, self._finish_reason, self.fast is _nothing)

    def parsed(self, message: Message) -> object:
        """The object of a message that `fast` could not decode; or raises what is wrong with it."""
        try:
            return self._answer.parsed(message, self._finish_reason)
        except APIResponseValidationError as error:
            tell(error, self._seen)
            raise


def _nothing(_: object) -> Any:
    """`fast` for a message that is a refusal."""
    raise ValueError


def _copy_of(response: ModelResponse) -> ModelResponse:
    """A copy of the response whose messages do not refer to the requested types."""
    seen = copy_with_source(response)
    share_call(seen, response)
    choices = [copy_with_source(choice) for choice in response.choices]
    for choice in choices:
        force_setattr(
            choice, "message", copy_with_source(choice.message)
        )  # bypasses the records' own `__setattr__`, which costs more
    force_setattr(seen, "choices", choices)
    return seen


def tell(error: APIResponseValidationError, seen: ModelResponse | None) -> None:
    """Set the response that an error is about."""
    if seen is None:
        return
    about = call_of(seen)
    error.partial, error.attempts = seen, about.attempts
    error.headers, error.request_id = about.headers, seen.request_id
    if about.attempts:
        error.llm_provider, _, error.model = about.attempts[-1].target.partition("/")
