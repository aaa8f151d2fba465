"""Many calls in Ray Data: a class for `Dataset.map_batches`. Needs `pip install 'tokenwire[ray]'`.

::

    from tokenwire.ray import Completions

    dataset.map_batches(
        Completions,
        fn_constructor_kwargs={"model": "openai/any-model", "input": "prompt", "max_concurrency": 512, "actors": 8},
        compute=ray.data.ActorPoolStrategy(size=8),
        batch_format="pyarrow",
        batch_size=256,
    )

How it works. Ray makes one `Completions` in each actor, and awaits several batches of it at the same time, on one event loop.
All rows of these batches share the actor's semaphore and its gate, so that the other batches do not wait for the slowest row of
one. A failed row has its `error`. If an actor is lost, Ray repeats its unfinished batches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio

from . import AsyncClient, Gate, ModelResponse, Result
from .exceptions import refused, wrong
from .jobs.map import CONCURRENCY, Results, asking

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .types.params import ChatParams

__all__ = ["Completions"]


def _text(result: Result[ModelResponse]) -> str | None:
    choices = () if result.response is None else result.response.choices
    return choices[0].message.content if choices else None


def _finish_reason(result: Result[ModelResponse]) -> str | None:
    choices = () if result.response is None else result.response.choices
    return choices[0].finish_reason if choices else None


def _used(name: str) -> Callable[[Result[ModelResponse]], int | None]:
    def used(result: Result[ModelResponse]) -> int | None:
        usage = None if result.response is None else result.response.usage
        return None if usage is None else getattr(usage, name)

    return used


# The columns that can be added: their Arrow type, which must not depend on a batch's rows, and the function that reads a value.
_VALUES: dict[str, tuple[str, Callable[[Result[ModelResponse]], object]]] = {
    "text": ("string", _text),
    "finish_reason": ("string", _finish_reason),
    "prompt_tokens": ("int64", _used("prompt_tokens")),
    "completion_tokens": ("int64", _used("completion_tokens")),
    "total_tokens": ("int64", _used("total_tokens")),
    "attempts": ("int64", lambda result: len(result.attempts)),
    "seconds": ("float64", lambda result: sum(attempt.seconds for attempt in result.attempts)),
    "waited": ("float64", lambda result: sum(attempt.waited for attempt in result.attempts)),
    "error": ("string", lambda result: None if result.error is None else type(result.error).__name__),
    "error_message": ("string", lambda result: None if result.error is None else str(result.error)),
    "response": ("string", lambda result: None if result.response is None else result.response.model_dump_json()),
}
_ON_REQUEST = "response"


class Completions:
    """Requests a completion for each row of a batch: a class for `map_batches`.

    Args:
        model: as for `acompletion`.
        input: the column of prompts (str) or message lists. In messages, nulls are left out, except for `content`: Arrow adds
            them for fields that other rows have.
        row_params: columns with keywords for their row's call, such as "temperature"; nulls are left out.
        columns: the columns to add, as a dict from a value to its column's name. The values are "text" and "finish_reason" (of
            the first choice), "prompt_tokens", "completion_tokens", "total_tokens", "attempts" (their number), "seconds" (their
            duration), "waited" (seconds before and between them), "error" (the exception's name, null for an answer),
            "error_message", and "response" (the whole answer as JSON). By default all except "response", under these names.
        actors: the largest number of actors. The next three limits are for all actors together, and each actor has an equal
            share: with max_concurrency=512, rpm=30_000 and 8 actors, 64 calls at the same time and 3750 requests per minute.
        max_concurrency: the most calls at the same time; by default 64 for each actor.
        rpm: requests per minute, limited as by `Gate`.
        tpm: tokens per minute.
        adaptive: find out how many calls the servers can take, as `Gate` does.
        on_error: "return" a row with its `error`, or "raise" the first error, which ends the whole job.
        handlers: as for `AsyncClient`; they are sent to the actors.
        **params: keywords for every call, such as `api_base`, `num_retries`, `timeout` or `temperature`. The default of
            `api_key` is `OPENAI_API_KEY` in the actor's environment.

    Raises:
        BadRequestError, UnknownProviderError, AuthenticationError: an argument is wrong; nothing was sent.
    """

    def __init__(
        self,
        model: str,
        *,
        input: str = "prompt",
        row_params: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
        actors: int = 1,
        max_concurrency: int | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        adaptive: bool = False,
        on_error: Literal["return", "raise"] = "return",
        handlers: Mapping[str, Any] | None = None,
        **params: "Unpack[ChatParams]",
    ) -> None:
        self._input = _checked_name("input", input)
        self._row_params = _checked_names("row_params", row_params)
        self._columns = _checked_columns(columns)
        most = _checked_count("actors", actors) * CONCURRENCY if max_concurrency is None else max_concurrency
        if _checked_count("max_concurrency", most) < actors:
            raise refused("max_concurrency", f"max_concurrency is for all actors: it must be at least {actors}, not {most}")
        self._actors = actors
        self._concurrency = most // actors
        self._sums = {"calls at once": self._concurrency * actors, "requests a minute": rpm, "tokens a minute": tpm}
        gate = Gate(max_concurrency=self._concurrency, rpm=_share(rpm, actors), tpm=_share(tpm, actors), adaptive=adaptive)
        self._client = AsyncClient(gate=gate, handlers=handlers)
        self._client.amap(model, (), on_error=on_error, **params)  # raises for a wrong argument, before any call
        self._on_error = on_error
        self._model = model
        self._make_call = asking(self._client.acompletion, model, {**params})
        # Waiting here does not count as part of a call's time, unlike waiting for the gate.
        self._places = anyio.Semaphore(self._concurrency)

    def __repr__(self) -> str:
        shares = (f"{total / self._actors:g} of {total:g} {of}" for of, total in self._sums.items() if total)
        return f"<Completions {self._model}, one of {self._actors} actors: {', '.join(shares)}>"

    async def __call__(self, batch: object) -> Any:
        """Make the calls of a batch.

        Args:
            batch: an Arrow table, a pandas frame, or a dict of columns: numpy arrays or lists.

        Returns:
            The batch with the columns added: a dict of lists if it was one, otherwise an Arrow table.

        Raises:
            BadRequestError: the batch lacks a column, or already has one of those to add.
            APIError: a row's, with `on_error="raise"`.
        """
        inputs = self._inputs(batch)
        results: list[Result[ModelResponse] | None] = [None] * len(inputs)
        calls = Results(self._ask, inputs, concurrency=self._concurrency, ordered=False, on_error=self._on_error)
        async with calls:
            async for result in calls:
                results[result.index] = result
        return _with_columns(batch, self._columns, cast("list[Result[ModelResponse]]", results))

    async def aclose(self) -> None:
        """Close the client. Not needed in Ray, where an actor's process ends with it."""
        await self._client.aclose()

    async def _ask(self, index: int, item: object) -> ModelResponse:
        async with self._places:
            return await self._make_call(index, item)

    def _inputs(self, batch: object) -> list[Any]:
        """An input of `amap` for each row."""
        names = _names_of(batch)
        taken = [column for column in self._columns.values() if column in names]
        if taken:
            raise refused(
                "columns",
                f"the batch already has the column {taken[0]!r}: rename the new one, columns={{'text': 'answer', ...}}",
            )
        if not names:  # Ray's empty blocks have no columns
            return []
        for argument, wanted in [("input", self._input), *(("row_params", name) for name in self._row_params)]:
            if wanted not in names:
                raise refused(argument, f"{argument} names the column {wanted!r}, but the batch has {', '.join(names)}")
        contents = _cells(batch, self._input)
        if not self._row_params:
            return contents
        rows = zip(*(_cells(batch, name) for name in self._row_params), strict=True)
        return [self._with_params(content, row) for content, row in zip(contents, rows, strict=True)]

    def _with_params(self, content: object, row: Iterable[Any]) -> Any:
        own = {name: value for name, value in zip(self._row_params, row, strict=True) if value is not None}
        return content if content is None else {"prompt" if isinstance(content, str) else "messages": content, **own}


def _names_of(batch: Any) -> list[str]:
    if isinstance(batch, Mapping):
        return list(cast("Mapping[str, Any]", batch))
    return list(batch.column_names if hasattr(batch, "column_names") else batch.columns)


def _cells(batch: Any, name: str) -> list[Any]:
    """A column's values as Python objects."""
    column = batch[name]
    return [_to_python(value) for value in (column.to_pylist() if hasattr(column, "to_pylist") else column)]


def _to_python(value: Any) -> object:
    """A value without numpy's types, and without the nulls that Arrow adds for fields that other rows have."""
    if hasattr(value, "tolist"):
        return _to_python(value.tolist())
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return {name: _to_python(item) for name, item in found.items() if item is not None or name == "content"}
    if isinstance(value, list | tuple):
        return [_to_python(item) for item in cast("Sequence[Any]", value)]
    return value


def _with_columns(batch: object, columns: Mapping[str, str], results: list[Result[ModelResponse]]) -> Any:
    found = {columns[name]: (kind, list(map(look, results))) for name, (kind, look) in _VALUES.items() if name in columns}
    if isinstance(batch, Mapping) and all(isinstance(column, list) for column in batch.values()):
        return {**batch, **{name: values for name, (_, values) in found.items()}}
    import pyarrow as pa  # pyright: ignore[reportMissingImports]

    table = _table_of(batch)
    for name, (kind, values) in found.items():
        table = table.append_column(name, pa.array(values, kind))
    return table


def _table_of(batch: object) -> Any:
    """A batch as an Arrow table, where a column of only nulls keeps its type: a job's files must have the same types."""
    if hasattr(batch, "append_column"):
        return batch
    from ray.data.block import BlockAccessor  # pyright: ignore[reportMissingImports]

    return BlockAccessor.for_block(BlockAccessor.batch_to_block(batch)).to_arrow()


def _share(total: float | None, actors: int) -> float | None:
    if total is None or isinstance(total, bool) or not isinstance(total, int | float):
        return total  # a wrong value: the gate will raise an error
    return total / actors


def _checked_name(argument: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise wrong(argument, "the name of a column", value)
    return value


def _checked_names(argument: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise wrong(argument, "a list of columns", value)
    return tuple(_checked_name(argument, name) for name in cast("Sequence[object]", value))


def _checked_columns(value: object) -> dict[str, str]:
    if value is None:
        return {name: name for name in _VALUES if name != _ON_REQUEST}
    if not isinstance(value, Mapping):
        raise wrong("columns", "a dict of column names, such as {'text': 'answer'}", value)
    found = cast("Mapping[object, object]", value)
    for name in found:
        if name not in _VALUES:
            raise refused("columns", f"columns has {name!r:.40}; its keys must be some of {', '.join(_VALUES)}")
    names = {str(name): _checked_name("columns", column) for name, column in found.items()}
    if len(set(names.values())) < len(names):
        raise refused("columns", f"columns must have different names, but has: {', '.join(names.values())}")
    return names


def _checked_count(argument: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(argument, "a whole number, 1 or more", value)
    return value
