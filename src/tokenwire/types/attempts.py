"""Records of attempts and of the ends of calls, the observer that receives them, and statistics of pools and gates."""

from collections.abc import Awaitable
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from ..exceptions import APIError, TokenwireError
from ._response import Response
from .chat import Usage

R = TypeVar("R", covariant=True)

Outcome: TypeAlias = Literal["complete", "truncated", "error", "cancelled"]


class RequestInfo(msgspec.Struct, frozen=True, gc=False):
    """Where an attempt was sent: for developers and logs, as it may name internal machines.

    Attributes:
        method: such as "POST".
        url: without user, password, query and fragment, in which keys can be.
    """

    method: str
    url: str

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result of one attempt of a call.

    Attributes:
        number: 1 for the first to begin. Attempts are listed in the order in which they ended, the successful one last.
        target: provider and model, such as "openai/gpt-4o-mini".
        status: the HTTP status, or the one of the exception's class; None if there is none, as for a stream still open or
            a cancelled attempt.
        error: the name of the exception's class; "Cancelled" if a concurrent attempt (hedge) was faster; None for
            success.
        seconds: how long it took.
        waited: seconds of waiting before it.
        usage: the tokens that a cancelled attempt used, if known.
        deployment: the name of the deployment, if the target is `Deployments`; else None.
    """

    number: int
    target: str
    status: int | None
    error: str | None
    seconds: float
    waited: float
    usage: Usage | None = None
    deployment: str | None = None


class AttemptDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that begins; nothing has been sent yet.

    Attributes:
        call: the call's number; all calls in this process are numbered in the order in which they began.
        number: the attempt's number; the call's first is 1.
        target: provider and model, such as "openai/gpt-4o-mini".
        address: where it is sent: "POST https://..." without secrets, or a handler.
        stream: whether the call is streamed.
        beside: whether it is a hedge, concurrent with another attempt.
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
        call: the call's number, as in `AttemptDetails`.
        target: the last target, such as "openai/gpt-4o-mini".
        stream: whether it was streamed.
        outcome: "complete", "truncated", "error" or "cancelled" (by the caller).
        error: the error that ended it; None if no error of this library did.
        seconds: the duration of the call.
        first_content: seconds until a stream's first content; None for a call that is not streamed, or had no content.
        usage: the tokens used, as counted by the server or handler; None if it sent none.
        request_id: the server's id for the request, None if it sent none.
        response: the answer, or the part of it that arrived; None if there is none.
        attempts: the attempts that have ended, oldest first.
        remarks: further notes, as in the log: fields with values of wrong types, parameters that the server ignored.
    """

    call: int
    target: str
    stream: bool
    outcome: Outcome
    error: APIError | None
    seconds: float
    first_content: float | None
    usage: Usage | None
    request_id: str | None
    response: Response | None
    attempts: tuple[Attempt, ...]
    remarks: tuple[str, ...]


class Observer(Protocol):
    """Is notified of calls: an entry of `callbacks`. A subclass need not define both methods.

    A sync method runs in the event loop's thread and must be quick. An `async` one is awaited, for at most five seconds.
    An exception in either is logged, and does not affect the call. Chunks are not notified.
    """

    def on_attempt(self, details: AttemptDetails) -> Awaitable[object] | None:
        """An attempt begins. Nothing is sent before this returns."""

    def on_end(self, details: EndDetails) -> Awaitable[object] | None:
        """A call has ended. Called once for each call, however it ended; not for a stream that was never read."""


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Times of a stream's events, in seconds since the call was made; None for an event that has not happened.

    Attributes:
        opened: the head of the response arrived.
        first_chunk: the first chunk of the successful attempt arrived, even if it only had a role.
        first_content: the first text, reasoning or tool call arrived.
        total: the stream ended, in any way.
    """

    opened: float | None
    first_content: float | None
    total: float | None
    first_chunk: float | None = None


class Result(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """The result of one of many calls.

    Attributes:
        index: the position of its input, 0 for the first.
        input: the input itself.
        response: the answer; an open stream if the calls are streamed. None if the call failed.
        error: why it failed, else None.
        attempts: the call's attempts, oldest first.
        timings: times of the call; for a stream, until it was opened: see `response.timings` for the rest.
    """

    index: int
    input: Any
    response: R | None
    error: TokenwireError | None
    attempts: tuple[Attempt, ...]
    timings: Timings


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a connection pool.

    Attributes:
        open: connections in use, idle, or being opened.
        idle: how many of them wait for a request.
        waiting: requests that wait for a connection.
    """

    open: int
    idle: int
    waiting: int


class GateStats(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a gate.

    Attributes:
        in_flight: attempts that are running, those with an open stream included.
        waiting: attempts that wait for a place.
        limit: how many may run now; infinite without a limit.
        paused: by model and address, seconds until a paused one is called again.
    """

    in_flight: int
    waiting: int
    limit: float
    paused: dict[str, float]


class DeploymentStats(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one of several deployments.

    Attributes:
        name: its name, by default its model.
        state: "up"; "cooling", after failures; "due", when a call may probe it; "probed", while that call is running.
        in_flight: attempts that are running, those with an open stream included.
        cooling: seconds until its cool-down ends.
    """

    name: str
    state: str
    in_flight: int
    cooling: float
