"""The states of a streamed call, and its transitions.

::

    OPENING ─▶ HELD ─▶ COMMITTED ─▶ COMPLETE | TRUNCATED | ERROR | CANCELLED
       ▲────────┘

Until a stream is committed, its attempt may fail and be retried: chunks that have arrived are held back, so that the caller
never sees the beginning of a failed attempt. The first content commits. A stream ends once, in one of four states.
"""

from enum import Enum
from typing import TYPE_CHECKING

from ..types.attempts import Outcome


class StreamState(Enum):
    """The state of a streamed call."""

    OPENING = "opening"  # the attempt's response has not arrived yet
    HELD = "held"  # the head of a good response has arrived, but no content
    COMMITTED = "committed"
    COMPLETE = "complete"
    TRUNCATED = "truncated"
    ERROR = "error"
    CANCELLED = "cancelled"  # the caller closed or dropped it

    if not TYPE_CHECKING:  # a member is one object; Enum's own hash is a slow Python function, called at each step
        __hash__ = object.__hash__


_S = StreamState
OUTCOMES: dict[StreamState, Outcome] = {
    _S.COMPLETE: "complete",
    _S.TRUNCATED: "truncated",
    _S.ERROR: "error",
    _S.CANCELLED: "cancelled",
}
ENDINGS: frozenset[StreamState] = frozenset(OUTCOMES)
TRANSITIONS: dict[StreamState, frozenset[StreamState]] = {
    _S.OPENING: frozenset({_S.HELD, _S.TRUNCATED, _S.ERROR, _S.CANCELLED}),  # TRUNCATED: a handler's own call was truncated
    _S.HELD: frozenset({_S.OPENING, _S.COMMITTED}) | ENDINGS,
    _S.COMMITTED: ENDINGS,
    **dict.fromkeys(ENDINGS, frozenset()),
}


class IllegalTransition(RuntimeError):
    """A transition that the table does not have: a bug in this library."""


def checked(before: StreamState, after: StreamState) -> StreamState:
    """Returns `after`, if the transition from `before` is legal.

    Raises:
        IllegalTransition: it is not.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"a stream that is {before.value} can't become {after.value}")
    return after
