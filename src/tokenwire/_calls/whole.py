"""A call that is not streamed."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from .. import _loops
from .._reading import FOREVER
from ..exceptions import APIError, OutputValidationError, Timeout
from ..llms.backend import Request, Senders
from ..types._response import Response, call_of
from ..types._source import odd_places
from .attempts import Attempts, late, named
from .observers import observer_of
from .targets import Target, stamp, target_of, with_content

if TYPE_CHECKING:
    from .gate import Gate


async def answer(attempts: Attempts, via: Senders) -> Response:
    """The answer of the attempt that has begun, by the sooner of the call's deadline and the `first_content` time-out."""
    now, by, budget = attempts.target, attempts.deadline, "total"
    first_content = now.timeouts.first_content
    if first_content is not None and (first := _loops.now() + first_content) < by:
        by, budget = first, "first_content"
    try:
        return await attempts.prepared.answer(via, by)
    except Timeout as error:
        raise named(error, by, lambda: late(now.timeouts, budget, stream=False)) from error.__cause__


async def call(request: Request, via: Senders, gate: "Gate | None" = None) -> Response:
    """Make a call.

    Args:
        via: sends HTTP requests.
        gate: limits it together with other calls.

    Raises:
        APIError: the last attempt's; `attempts` lists all of them. Or an argument is wrong, and nothing was sent.
    """
    target = target_of(request)
    total = target.timeouts.total_for(stream=False)
    deadline = FOREVER if total is None else _loops.now() + total
    observer = observer_of(request, target.prepared)
    attempts = Attempts(
        target, deadline, stream=False, observer=observer, gate=gate, tokens=0.0 if gate is None else gate.tokens_of(request)
    )

    async def attempt() -> Response:
        await attempts.start()
        if attempts.target.hedge is None:
            return await answer(attempts, via)
        from .hedged import hedged_answer

        return await hedged_answer(attempts, via)

    def traced(work: Awaitable[Response]) -> Awaitable[Response]:
        return work if observer is None or observer.span is None else observer.span.around(work)

    try:
        response = await traced(attempts.until_answered(attempt, anyio.sleep))
        if request.asked is not None:
            response = await traced(_until_it_fits(response, attempts, attempt))
    except BaseException as error:
        attempts.release()
        observer = attempts.observer
        failure = error if isinstance(error, APIError) else None
        if failure is not None:
            stamp(failure, attempts.provider, attempts.model, attempts.target.prepared.request)
        if observer is not None:
            if observer.span is not None:
                observer.span.gated = attempts.gated
            partial = None if failure is None else failure.partial
            observer.ends("cancelled" if failure is None else "error", failure, attempts.made, answer=partial)
            if observer.pending and not isinstance(error, GeneratorExit):  # else this can't await
                await observer.settle()
        raise
    attempts.succeeded(200)
    about = call_of(response)
    _release(attempts, response)
    about.attempts = attempts.made
    if about.provider is None:  # else a handler returned the answer of a call that it made
        about.provider, about.api_base = attempts.provider, attempts.target.prepared.api_base
    asked = attempts.target.request.asked
    if asked is not None:
        asked.mark(response)
    if (observer := attempts.observer) is not None:
        if observer.span is not None:
            observer.span.gated = attempts.gated
        usage, odd = getattr(response, "usage", None), odd_places(response)
        request_id = response.request_id
        observer.ends("complete", None, attempts.made, usage=usage, request_id=request_id, answer=response, odd=odd)
        if observer.pending:
            await observer.settle()
    return response


async def _until_it_fits(response: Response, attempts: Attempts, attempt: Callable[[], Awaitable[Response]]) -> Response:
    """The first answer that fits the schema, with up to `retry_invalid` further attempts. Raises as an attempt does.

    An error has the answer that did not fit in `partial`.
    """
    for _ in range(_retries(attempts.target)):
        asked = attempts.target.request.asked
        assert asked is not None
        asked.mark(response)
        misfit = asked.misfit(response)
        if misfit is None:
            break
        _release(attempts, response)
        attempts.rejected(misfit, with_content(attempts.target, _objection(attempts.target, misfit)))
        try:
            response = await attempts.until_answered(attempt, anyio.sleep)
        except APIError as error:
            error.partial = error.partial or response
            raise
    return response


def _retries(target: Target) -> int:
    return 0 if target.request.asked is None else target.request.asked.retries


def _objection(target: Target, misfit: OutputValidationError) -> list[object]:
    """The conversation so far, with the answer and a message about what is wrong with it."""
    where = f" at {misfit.path}" if misfit.path else ""
    wrong = f"That answer does not fit the schema{where}: {misfit.expected}. Answer again, with the whole corrected JSON alone."
    said = {"role": "assistant", "content": misfit.text}
    return [*target.request.content, said, {"role": "user", "content": wrong}]


def _release(attempts: Attempts, response: Response) -> None:
    attempts.release(response=lambda: (getattr(response, "usage", None), call_of(response).headers))
