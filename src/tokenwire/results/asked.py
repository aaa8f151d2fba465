"""What a call asked for: a type that its answer should be, functions that the model may call. Known to what was received.

The object in a message is made when somebody reads it, and so are the arguments of a tool call. The error for one that does
not fit has the whole response: a copy, for a message that held its response would be held by it, and never be freed.
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
    """What a call asked for; None for what it did not.

    Attributes:
        answer: the type that the answer should be.
        tools: the functions that the model may call.
        retries: how often a whole answer that does not fit is asked for once more.
    """

    answer: Answer | None = None
    tools: "Tools | None" = None
    retries: int = 0

    def mark(self, response: object) -> None:
        """Let the messages of a response, and the tool calls in them, know what was asked for."""
        if not isinstance(response, ModelResponse):
            return
        seen = _copy_of(response)
        for choice in response.choices:
            if self.answer is not None:
                want(choice.message, _OfMessage(self.answer, choice.finish_reason, bool(choice.message.refusal), seen))
            if self.tools is not None and choice.message.tool_calls:
                self.tools.mark(choice.message.tool_calls, choice.finish_reason, seen)

    def misfit(self, response: object) -> OutputValidationError | None:
        """Why a marked response is not what was asked for; None where it is, or was cut short, or the model refused."""
        for choice in response.choices if isinstance(response, ModelResponse) else ():
            try:
                _ = choice.message.parsed
            except OutputValidationError as error:
                return error
            except APIResponseValidationError:
                pass  # asking again would not help
        return None


class _OfMessage:
    """What a received message knows of its call: a `WantedText`."""

    __slots__ = ("_answer", "_finish_reason", "_seen", "fast", "made", "text")

    def __init__(self, answer: Answer, finish_reason: str | None, is_refused: bool, seen: ModelResponse | None = None) -> None:
        self._answer, self._finish_reason, self._seen = answer, finish_reason, seen
        self.fast: Callable[[Any], Any] = _nothing if is_refused else answer.fast
        self.text: str | None | UnsetType = UNSET
        self.made: object = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _OfMessage, (self._answer, self._finish_reason, self.fast is _nothing)

    def parsed(self, message: Message) -> object:
        """The object of a message that is not simply the text of one; or what is wrong with it."""
        try:
            return self._answer.parsed(message, self._finish_reason)
        except APIResponseValidationError as error:
            tell(error, self._seen)
            raise


def _nothing(_: object) -> Any:
    """What a message that is a refusal has at first sight."""
    raise ValueError


def _copy_of(response: ModelResponse) -> ModelResponse:
    """The response, whose messages know nothing of what was asked for."""
    seen = copy_with_source(response)
    share_call(seen, response)
    choices = [copy_with_source(choice) for choice in response.choices]
    for choice in choices:
        force_setattr(choice, "message", copy_with_source(choice.message))  # past the records' own, which costs more
    force_setattr(seen, "choices", choices)
    return seen


def tell(error: APIResponseValidationError, seen: ModelResponse | None) -> None:
    """Say on an error which response it is about."""
    if seen is None:
        return
    about = call_of(seen)
    error.partial, error.attempts = seen, about.attempts
    error.headers, error.request_id = about.headers, seen.request_id
    if about.attempts:
        error.llm_provider, _, error.model = about.attempts[-1].target.partition("/")
