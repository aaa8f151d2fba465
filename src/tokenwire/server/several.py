"""Several calls that answer one request; `plans` decides which.

They run in task groups of the request's own task, a few at a time, and begin in the order of the prompts. When one fails, the
others are cancelled, and the request fails.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import anyio

from tokenwire import (
    APIResponseValidationError,
    Choices,
    Delta,
    Message,
    StreamingChoices,
    TextChoices,
    UnsupportedParamsError,
    Usage,
)

from .plans import Plan
from .route import Events
from .slots import Slots
from .visit import Visit

T = TypeVar("T")

AT_ONCE = 8  # calls for one request


class Several:
    """Makes the calls of one plan, once.

    Args:
        call: is called with the plan's keywords.
        slots: the request holds one of them, for its first call; as many more calls may run at the same time as are free.
    """

    def __init__(self, call: Callable[..., Awaitable[Any]], plan: Plan, slots: Slots) -> None:
        self._call, self._plan, self._slots = call, plan, slots
        self._more = min(len(plan.prompts) * plan.n, AT_ONCE) - 1
        self._places = anyio.CapacityLimiter(1)
        self._sending = anyio.Lock()
        self._usages: list[Usage | None] = []
        self._begun: set[int] = set()  # the indexes of choices that have begun
        self._proven: set[int] = set()  # the indexes of choices that have log probabilities

    async def whole(self) -> Any:
        """All answers as one. Raises the error of the first call that fails."""
        answers = await self._for_each_prompt([partial(self._answers, prompt) for prompt in self._plan.prompts])
        parts = [part for of_prompt in answers for part in of_prompt]
        placed = [choice for number, of_prompt in enumerate(answers) for choice in self._placed_whole(number, of_prompt)]
        if len(parts) == 1 and not self._plan.echo and [each.index for each in parts[0].choices] == [*range(len(placed))]:
            return parts[0]
        usage = summed([part.usage for part in parts])
        return parts[0].model_copy(update={"choices": placed, "usage": usage})

    async def stream(self, visit: Visit, new_events: Callable[..., Events]) -> None:
        """Send all chunks as they come, and the end of the stream. Raises the error of the first call that fails."""
        events = visit.events = new_events()
        relay = partial(self._relay_prompt, visit, events)
        await self._for_each_prompt([partial(relay, number, prompt) for number, prompt in enumerate(self._plan.prompts)])
        await visit.end_stream(events.ending(summed(self._usages)))
        visit.end("complete")

    async def _answers(self, prompt: object, place: "Place") -> list[Any]:
        """The answers to one prompt, with `n` choices in all."""
        first = await self._answer(prompt, place)
        missing = self._plan.n - max(len(first.choices), 1)
        return [first, *await self._together(partial(self._answer, prompt, n=None) for _ in range(missing))]

    async def _answer(self, prompt: object, place: "Place", **others: object) -> Any:
        with place:
            return await self._call(**self._keywords(prompt, **others))

    async def _relay_prompt(self, visit: Visit, events: Events, number: int, prompt: object, place: "Place") -> None:
        """Send the chunks of one prompt's choices, until there are `n`."""
        relay, start = partial(self._relay, visit, events, number, prompt), number * self._plan.n
        await relay(start, place)
        missing = [index for index in range(start, start + self._plan.n) if index not in self._begun]
        await self._together(partial(relay, index, n=None) for index in missing)

    async def _relay(
        self, visit: Visit, events: Events, number: int, prompt: object, start: int, place: "Place", **others: object
    ) -> None:
        with place:
            async with await self._call(**self._keywords(prompt, **others), stream=True) as stream:
                async for chunk in stream:
                    choices = [self._placed(number, choice, start + (choice.index or 0)) for choice in chunk.choices]
                    data = events.encode(chunk.model_copy(update={"choices": choices}))
                    if data:
                        async with self._sending:
                            await visit.send_event(data)
                self._usages.append(stream.usage)

    def _keywords(self, prompt: object, **others: object) -> dict[str, Any]:
        return {**self._plan.keywords, self._plan.content: prompt, **others}

    def _placed_whole(self, number: int, parts: list[Any]) -> list[Any]:
        """The choices of one prompt's answers, numbered. Those that a handler leaves at index 0 stay in their order."""
        choices = [choice for part in parts for choice in sorted(part.choices, key=lambda choice: choice.index or 0)]
        start = number * self._plan.n
        return [self._placed(number, choice, start + position) for position, choice in enumerate(choices)]

    def _placed(self, number: int, choice: Any, index: int) -> Any:
        """A copy of a choice, or of the next piece of one, with its index among all choices."""
        plan = self._plan
        if len(plan.prompts) > 1 and index // plan.n != number:
            raise APIResponseValidationError(f"an answer to one of several prompts has more than n={plan.n} choices")
        text = choice.text if isinstance(choice, TextChoices) else _message_of(choice).content
        self._check_logprobs(index, choice, text)
        changes: dict[str, Any] = {"index": index}
        if plan.echo and index not in self._begun:
            changes["text"] = plan.prompts[number] + (text or "")
        self._begun.add(index)
        return choice.model_copy(update=changes)

    def _check_logprobs(self, index: int, choice: Any, text: str | None) -> None:
        if not self._plan.logprobs or index in self._proven:
            return
        if choice.logprobs is not None:
            self._proven.add(index)
        elif text:
            raise UnsupportedParamsError("logprobs: this model gives none; leave it out", param="logprobs")

    async def _for_each_prompt(self, works: Iterable[Callable[["Place"], Awaitable[T]]]) -> list[T]:
        with self._slots.up_to(self._more) as more:
            self._places.total_tokens = 1 + more
            return await self._together(works)

    async def _together(self, works: Iterable[Callable[["Place"], Awaitable[T]]]) -> list[T]:
        """Run all works, each as soon as there is a place for its first call. Returns their results, in order.

        When one fails, the others are cancelled, and its error is raised.
        """
        results: list[Any] = []
        failures: list[Exception] = []

        async def run(work: Callable[[Place], Awaitable[T]], place: Place, index: int) -> None:
            try:
                results[index] = await work(place)
            except Exception as error:  # noqa: BLE001  (a task group would wrap it in a group)
                failures.append(error)
                tasks.cancel_scope.cancel("another call failed")

        async with anyio.create_task_group() as tasks:
            for index, work in enumerate(works):
                place = Place(self._places)
                await self._places.acquire_on_behalf_of(place)  # here, since tasks begin in any order
                results.append(None)
                tasks.start_soon(run, work, place, index)
        if failures:
            raise failures[0]
        return results


class Place:
    """A place for one call, given back at the end of the context."""

    def __init__(self, places: anyio.CapacityLimiter) -> None:
        self._places = places

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._places.release_on_behalf_of(self)


def summed(usages: list[Usage | None]) -> Usage | None:
    """The sum of all usages; None if one is missing."""
    known = [usage.model_dump(exclude_none=True) for usage in usages if usage is not None]
    return Usage(**_sum(known)) if known and len(known) == len(usages) else None


def _sum(values: list[Any]) -> Any:
    """The sum of numbers, and of objects field by field; None if a value is not a number."""
    if all(isinstance(value, dict) for value in values):
        fields = {name: _sum([value.get(name) for value in values]) for name in values[0]}
        return {name: value for name, value in fields.items() if value is not None}
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return sum(values) if are_numbers else None


def _message_of(choice: Choices | StreamingChoices) -> Message | Delta:
    return choice.message if isinstance(choice, Choices) else choice.delta
