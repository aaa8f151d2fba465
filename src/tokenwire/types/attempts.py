"""What became of a call and its attempts, and how a pool stands."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from ..exceptions import TokenwireError

if TYPE_CHECKING:
    from .chat import Usage

R = TypeVar("R", covariant=True)


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
        paused: by model and address, seconds until a server that asked for patience is asked again.
    """

    in_flight: int
    waiting: int
    limit: float
    paused: dict[str, float]


class DeploymentStats(msgspec.Struct, frozen=True, kw_only=True):
    """One of several deployments at one moment.

    Attributes:
        name: as its user called it, its model unless said.
        state: "up"; "cooling", after failures; "due", when one call may probe it; "probed", while that is under way.
        in_flight: attempts under way.
        cooling: seconds until the cool-down is over.
    """

    name: str
    state: str
    in_flight: int
    cooling: float
