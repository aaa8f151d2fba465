"""What became of a call and its attempts, who is told of that, and how a pool stands."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from ..exceptions import APIError, TokenwireError

if TYPE_CHECKING:
    from ._response import Response
    from .chat import Usage

R = TypeVar("R", covariant=True)

Outcome: TypeAlias = Literal["complete", "truncated", "error", "cancelled"]


class RequestInfo(msgspec.Struct, frozen=True, gc=False):
    """Where an attempt went: for developers and logs, for it may name machines that no user should know of.

    Attributes:
        method: such as "POST".
        url: without user, password, query and fragment, in which keys can be.
    """

    method: str
    url: str

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt of a call came to.

    Attributes:
        number: 1 for the first to begin. Attempts are listed as they ended, the one that succeeded last.
        target: who was asked, as "openai/gpt-4o-mini".
        status: the HTTP status, or the one that the failure's class stands for; None where there is none, as for a stream
            still open or an attempt that was cancelled.
        error: the name of the exception's class; "Cancelled" where a hedge or the attempt beside it was faster; None for
            success.
        seconds: how long it took.
        waited: seconds of waiting before it.
        usage: what one that was cancelled used, where that is known.
        deployment: which of several `Deployments` it was; None where there are none.
    """

    number: int
    target: str
    status: int | None
    error: str | None
    seconds: float
    waited: float
    usage: "Usage | None" = None
    deployment: str | None = None


class AttemptDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that begins; nothing of it has been sent.

    Attributes:
        call: the call's number, of all calls in this process in the order of their beginning.
        number: the attempt's; 1 is the call's first.
        target: who is asked, as "openai/gpt-4o-mini".
        address: where: "POST https://..." without secrets, or a handler.
        stream: whether the call is streamed.
        beside: whether it is a hedge, and another attempt goes on beside it.
        elapsed: seconds since the call began.
    """

    call: int
    number: int
    target: str
    address: str
    stream: bool
    beside: bool
    elapsed: float


class EndDetails(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended.

    Attributes:
        call: the call's number, as `AttemptDetails` has it.
        target: who was asked last, as "openai/gpt-4o-mini".
        stream: whether it was streamed.
        outcome: "complete", "truncated", "error" or "cancelled" (the caller left).
        error: what ended it; None where no error of this library's did.
        seconds: since the call began.
        first_content: seconds from there to a stream's first content; None for a call that is not streamed, or had none.
        usage: the tokens used, as the server or handler counted them; None where it did not.
        request_id: the server's for the request, None where it has none.
        response: the answer; what has been assembled of it where it was cut short; None where there is none.
        attempts: those that are over, oldest first.
        remarks: what the log says beside: fields that were odd, parameters that were passed over.
    """

    call: int
    target: str
    stream: bool
    outcome: Outcome
    error: APIError | None
    seconds: float
    first_content: float | None
    usage: "Usage | None"
    request_id: str | None
    response: "Response | None"
    attempts: tuple[Attempt, ...]
    remarks: tuple[str, ...]


class Observer(Protocol):
    """One who wants to know of calls: an entry of `callbacks`. A subclass need not have both methods.

    A plain method runs in the event loop's thread and should be quick. An `async` one is awaited, for five seconds at most.
    An exception in either is logged, and changes nothing. None is called for a chunk.
    """

    def on_attempt(self, details: AttemptDetails) -> Awaitable[object] | None:
        """An attempt begins: nothing is sent before this returns."""

    def on_end(self, details: EndDetails) -> Awaitable[object] | None:
        """A call is over. Called once for each, whichever way it ended; not for a stream that nobody began to read."""


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """When what happened, in seconds since the call was made; None for what has not.

    Attributes:
        opened: the head of the response arrived.
        first_chunk: the first chunk arrived, be it the role alone, of the attempt whose content came.
        first_content: the first text, reasoning or tool call arrived.
        total: the stream ended, one way or another.
    """

    opened: float | None
    first_content: float | None
    total: float | None
    first_chunk: float | None = None


class Result(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """What became of one of many calls.

    Attributes:
        index: the input's place among the inputs, 0 for the first.
        input: the input itself.
        response: the answer; an open stream, where streams were asked for. None where the call failed.
        error: why it failed, else None.
        attempts: what each attempt came to, oldest first.
        timings: when what happened; of a stream, up to where it was opened: `response.timings` goes on.
    """

    index: int
    input: Any
    response: R | None
    error: TokenwireError | None
    attempts: tuple[Attempt, ...]
    timings: Timings


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """A pool at one moment.

    Attributes:
        open: connections in use, idle, or being opened.
        idle: those of them that wait for a request.
        waiting: requests that wait for a connection.
    """

    open: int
    idle: int
    waiting: int


class GateStats(msgspec.Struct, frozen=True, kw_only=True):
    """A gate at one moment.

    Attributes:
        in_flight: attempts under way.
        waiting: those that wait for their turn.
        limit: how many may be under way now; infinite where nothing bounds them.
        paused: by model and address, seconds until a server that asked to wait is asked again.
    """

    in_flight: int
    waiting: int
    limit: float
    paused: dict[str, float]


class DeploymentStats(msgspec.Struct, frozen=True, kw_only=True):
    """One of several deployments at one moment.

    Attributes:
        name: the one that it was given; its model by default.
        state: "up"; "cooling", after failures; "due", when one call may probe it; "probed", while that is under way.
        in_flight: attempts under way.
        cooling: seconds until the cool-down is over.
    """

    name: str
    state: str
    in_flight: int
    cooling: float
