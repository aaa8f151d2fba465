"""The tool calls of a stream, each once as soon as it is complete; and partial calls before.

A call is complete when the next one begins and its arguments are complete JSON, or when the message ends. Complete arguments
alone are not enough: some servers send them again, or name the call late. `wire.tool_calls` decides which piece belongs to
which call.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from ..exceptions import APIResponseValidationError
from ..schemas.decoding import is_json
from ..types.tool_calls import ChatCompletionDeltaToolCall, ChatCompletionMessageToolCall
from ..wire.partial_json import PartialJSON
from ..wire.tool_calls import ToolCalls
from .answer import CUT
from .reading import calls_in
from .tools import incomplete

if TYPE_CHECKING:
    from .tools import Tools


class PartialToolCall:
    """A tool call that is arriving: one growing object for each call.

    Attributes:
        index: the server's index of the call in its message.
        id: the server's id of the call; None until it has arrived.
        name: the function's name; None until it has arrived.
        call: the complete call, None while it is arriving.
    """

    __slots__ = ("_parser", "_takes", "call", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index: int = index
        self.id: str | None = None
        self.name: str | None = None
        self.call: ChatCompletionMessageToolCall | None = None
        self._parser = PartialJSON()
        self._takes = True

    @property
    def value(self) -> Any:
        """The arguments so far, as JSON values; None before they begin. They grow in place: copy what must not change."""
        known = self._parser.value
        return None if known is UNSET else known

    @property
    def done(self) -> bool:
        """Whether the call is complete."""
        return self.call is not None

    def feed(self, piece: str) -> None:
        """Add a piece of the arguments."""
        if self._takes:
            try:
                self._parser.feed(piece)
            except APIResponseValidationError:  # not JSON, or sent in another way: the complete call will have the arguments
                self._takes = False

    def settle(self, arguments: str) -> None:
        """Set the final arguments, which may differ from the joined pieces."""
        if not self._takes:
            self._parser, self._takes = PartialJSON(), True
            self.feed(arguments)

    def __repr__(self) -> str:
        return f"<PartialToolCall {self.index} {self.name} {'done' if self.done else self.value!r}>"


class ArrivingCalls:
    """The tool calls of choice 0 of a stream.

    Args:
        tools: returns the functions that were offered, once the answering target is known; None if there are none.
        is_complete: whether the stream ended completely.
    """

    __slots__ = ("_calls", "_finish_reason", "_is_complete", "_latest", "_open", "_tools")

    def __init__(self, tools: "Callable[[], Tools | None]", is_complete: Callable[[], bool]) -> None:
        self._tools, self._is_complete = tools, is_complete
        self._calls = ToolCalls()
        self._open: dict[int, PartialToolCall | None] = {}  # by number; None once it is complete
        self._latest: int | None = None
        self._finish_reason: str | None = None

    def add_whole(self, chunks: Iterable[Any]) -> list[ChatCompletionMessageToolCall]:
        """Add chunks. Returns the calls that they complete."""
        return [partial.call for partial in self.add(chunks) if partial.call is not None]

    def add(self, chunks: Iterable[Any]) -> list[PartialToolCall]:
        """Add chunks. Returns the calls that they change, each once."""
        news: dict[int, PartialToolCall] = {}
        for chunk in chunks:
            pieces, finish_reason = calls_in(chunk)
            for piece in pieces:
                self._add_piece(piece, news)
            if finish_reason is not None:
                self._finish_reason = finish_reason
                self._end(finish_reason, news)
        return list(news.values())

    def finish_whole(self) -> list[ChatCompletionMessageToolCall]:
        """The same as `finish`, but returns complete calls."""
        return [partial.call for partial in self.finish() if partial.call is not None]

    def finish(self) -> list[PartialToolCall]:
        """End the stream. Returns the calls that this completes.

        Raises:
            OutputIncompleteError: a call was cut short.
        """
        news: dict[int, PartialToolCall] = {}
        self._end((self._finish_reason or "stop") if self._is_complete() else None, news)
        cut = next((partial for partial in self._open.values() if partial is not None), None)
        if cut is not None and not news:
            arguments = self._calls.call(cut.index)["function"].get("arguments") or ""
            raise incomplete(cut.name, self._finish_reason, arguments)
        return list(news.values())

    def _add_piece(self, piece: ChatCompletionDeltaToolCall, news: dict[int, PartialToolCall]) -> None:
        number = self._calls.add(piece, {})
        if number != self._latest and self._latest is not None:
            self._settle(self._latest, news, whole_if=is_json)
        self._latest = number
        partial = self._open.setdefault(number, PartialToolCall(number))
        if partial is None:  # sent again
            return
        if piece.id or piece.function is None or piece.function.name:
            known = self._calls.call(number)
            partial.id, partial.name = known.get("id"), (known.get("function") or known.get("custom") or {}).get("name")
        if piece.function is not None and piece.function.arguments:
            partial.feed(piece.function.arguments)
        news[number] = partial

    def _end(self, finish_reason: str | None, news: dict[int, PartialToolCall]) -> None:
        for number in sorted(self._open):
            self._settle(number, news, whole_if=is_json if finish_reason in CUT else None)

    def _settle(self, number: int, news: dict[int, PartialToolCall], whole_if: Callable[[str], bool] | None) -> None:
        """Mark a call as complete, if it is."""
        partial = self._open[number]
        fields = self._calls.call(number) if partial is not None else {}
        arguments = (fields.get("function") or {}).get("arguments") or ""
        if partial is None or (whole_if is not None and not whole_if(arguments)):
            return
        partial.call = ChatCompletionMessageToolCall(**fields)
        partial.call.id = fields.get("id")  # not generated if the server sent none
        if (tools := self._tools()) is not None:
            tools.mark([partial.call], "tool_calls")
        partial.settle(arguments)
        self._open[number] = None
        news[number] = partial
