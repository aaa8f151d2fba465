"""Calls with a hedge, streamed and not. See `hedge` for how two concurrent attempts work.

The second attempt of a stream is a `StreamCall` of its own. If its content arrives first, the call continues with its source.
"""

import time
from functools import partial
from typing import Any

from ..exceptions import StreamClosedError
from ..llms.backend import Senders
from ..types import Usage
from ..types._response import Response
from .attempts import Attempts
from .hedge import Second, hedges_of, race, second_of
from .states import ENDINGS, checked
from .streamed import CLOSED_MEANWHILE, COMMITTED, HELD, OPENING, StreamCall
from .whole import answer


async def hedged_answer(attempts: Attempts, via: Senders) -> Response:
    """The answer of the attempt that has begun, or of its hedge. Raises as the first attempt does."""
    hedges, key, started = hedges_of(via), attempts.target.key, attempts.started
    hedges.called(key, started)
    second: Second[Response] | None = second_of(attempts, hedges)
    if second is None:
        response = await answer(attempts, via)
        hedges.answered(key, time.monotonic() - started)
        return response
    own, other_key = second.attempts, second.attempts.target.key

    async def attempt() -> Response:
        await own.start()
        return await answer(own, via)

    async def leave() -> None:
        own.release()

    response = await race(
        attempts,
        partial(answer, attempts, via),
        second,
        partial(own.until_answered, attempt, _never),
        leave=leave,
        usage=lambda: None if second.won else getattr(second.value, "usage", None),
    )
    now = time.monotonic()
    if not second.is_alone:
        hedges.answered(key, now - started)
    if second.won:
        hedges.answered(other_key, now - own.started)
    return response


async def _never(seconds: float) -> None:
    raise AssertionError("a second attempt is not tried again")


class HedgedCall(StreamCall):
    """A streamed call whose attempts may have a concurrent second one, until the first content of either."""

    __slots__ = ("_second",)
    _second: Second[list[Any]] | None  # the hedge of the current attempt, or of the last

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._second = None

    async def open(self) -> list[Any]:
        """See `StreamCall`. Once a second attempt has begun, waits for the first content."""
        attempt = partial(self._side_by_side, to_content=False)
        chunks = await self._traced(self._attempts.until_answered(attempt, self._pause))
        self._handed_over_at = self._clock()
        return chunks

    async def _until_content(self) -> list[Any]:
        return await self._unless_closed(self._side_by_side(to_content=True))

    async def _side_by_side(self, *, to_content: bool) -> list[Any]:
        """One attempt and its hedge, up to the first content; or up to a good response's head, unless `to_content`."""
        attempts = self._attempts
        await self._under_way()
        assert self._via is not None
        hedges = hedges_of(self._via)
        self._second = second = second_of(attempts, hedges, self._clock() - self._waiting_since)
        if second is None:
            return await self._first(to_content=to_content)
        key, other_key = attempts.target.key, second.attempts.target.key
        other = StreamCall(second.attempts, self._via, self._shape)
        other.started_at, other._bare_text = self.started_at, self._bare_text

        def usage() -> Usage | None:
            source = self.source if second.won else other.source
            return None if source is None else source.assembler.usage

        first = partial(self._first, to_content=to_content, beside=second.attempts)
        chunks = await race(attempts, first, second, other.begin, leave=other.aclose, usage=usage)
        if second.won:
            if not second.is_alone:
                hedges.answered(key, self._clock() - self._waiting_since)
            hedges.answered(other_key, time.monotonic() - attempts.started)
            await self._go_on_with(other)
        return chunks

    async def _under_way(self) -> None:
        """Begin an attempt, unless one is running. The time that the caller took since its head arrived does not count."""
        if self.state is OPENING:
            await self._begin_attempt()
            target = self._attempts.target
            if target.hedge is not None and self._via is not None:
                hedges_of(self._via).called(target.key, self._attempts.started)
        elif self._handed_over_at is not None:
            self._waiting_since += self._clock() - self._handed_over_at
            self._handed_over_at = None

    async def _first(self, *, to_content: bool, beside: Attempts | None = None) -> list[Any]:
        """The chunks of the running attempt. If its hedge has begun, the response's head alone is not enough."""
        if self.state is OPENING:
            await self._send()
        return await self._first_content() if to_content or (beside is not None and beside.is_under_way) else []

    async def _go_on_with(self, other: StreamCall) -> None:
        """Continue with the other call's source, whose content arrived first."""
        if self.state in ENDINGS:  # closed at the same moment
            await other.aclose()
            raise StreamClosedError(CLOSED_MEANWHILE)
        left, self.source, other.source = self.source, other.source, None
        if self.source is not None:
            self.source.bare_text = self._bare_text
        self._timeouts, self._choices = other._timeouts, other._choices
        self.opened_at, self.first_chunk_at = other.opened_at, other.first_chunk_at
        self.asked = other.asked
        self._waiting_since, self._handed_over_at = other._waiting_since, other._handed_over_at
        self._is_ending, self._deadline = other._is_ending, other._deadline
        if self.state is HELD:
            self.state = checked(HELD, OPENING)
        self.state = checked(OPENING, HELD)
        if other.state is COMMITTED:
            super()._commit()
        if left is not None:
            await left.aclose()

    def _commit(self) -> None:
        if self._second is not None and self._second.won:  # this attempt was cancelled, but continued
            raise StreamClosedError(CLOSED_MEANWHILE)
        target = self._attempts.target
        if target.hedge is not None and self._via is not None and self._handed_over_at is not None:
            hedges_of(self._via).answered(target.key, self._handed_over_at - self._waiting_since)
        super()._commit()
