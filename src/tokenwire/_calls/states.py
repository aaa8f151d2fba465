"""The states of a streamed call, and the ways between them.

::

    OPENING ─▶ HELD ─▶ COMMITTED ─▶ COMPLETE | TRUNCATED | ERROR | CANCELLED
       ▲────────┘

Until it is committed, a stream's attempt may fail and another begin: what has arrived is held back, so that no caller
sees the beginning of an attempt that came to nothing. The first content commits. A stream ends in one of four ways, once.
"""

from enum import Enum
from typing import TYPE_CHECKING

from ..types.attempts import Outcome


class StreamState(Enum):
    """Where a streamed call is."""

    OPENING = "opening"  # no good response's head has arrived yet, of this attempt
    HELD = "held"  # it has, and no content
    COMMITTED = "committed"
    COMPLETE = "complete"
    TRUNCATED = "truncated"
    ERROR = "error"
    CANCELLED = "cancelled"  # the caller has left

    if not TYPE_CHECKING:  # a member is one object; Enum's own hash is written in Python, and asked for at each step
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
    _S.OPENING: frozenset({_S.HELD, _S.TRUNCATED, _S.ERROR, _S.CANCELLED}),  # truncated: a handler says so of its own call
    _S.HELD: frozenset({_S.OPENING, _S.COMMITTED}) | ENDINGS,
    _S.COMMITTED: ENDINGS,
    **dict.fromkeys(ENDINGS, frozenset()),
}


class IllegalTransition(RuntimeError):
    """A stream was to go from one state to another that does not follow it: a mistake of this library's."""


def checked(before: StreamState, after: StreamState) -> StreamState:
    """`after`, if it may follow `before`.

    Raises:
        IllegalTransition: it may not.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"a stream that is {before.value} can't become {after.value}")
    return after
