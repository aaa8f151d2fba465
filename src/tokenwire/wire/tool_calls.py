"""Which piece of a stream belongs to which tool call, and how calls grow.

In OpenAI's format a piece has its call's index, and an id and a name only in the call's first piece. Many servers send other
formats. The rules, in the order in which they are tried, and the servers that need them:

====================================================  ==============================  =====================================
a piece with                                          belongs to                      sent so by
====================================================  ==============================  =====================================
neither id nor name                                   the call of its index           OpenAI, vLLM, SGLang, llama.cpp
neither id nor name nor index                         the call begun last             Gemini, Ollama, mistral.rs
an id that its index, or no index, has had            the call of that id             Qwen, MiniMax: id and name on each
another id, no name                                   the call of its index           LM Studio: a new id on each piece
another id and a name                                 a new call                      Dynamo, Gemini's proxies: every index 0
an id, where the call has none                        the call of its index           servers that name a call late
a name, no id and no index                            a new call                      handlers that yield whole calls
a name, after arguments that are complete             a new call                      Gemini's proxies: index 0, ids empty
any other name                                        the call of its index           Gemini: `get_` + `weather`
====================================================  ==============================  =====================================

- A negative index counts as missing. A call that begins at another's index, or without one, gets a new number; calls are
  ordered by number. Anthropic's gateways count content blocks, so that the first call may have the number 1.
- The first id is the call's. Empty ids and names count as missing.
- A name is joined from its pieces, unless a piece repeats the whole name.
- Arguments are joined. If that is not JSON, because they were sent again as a whole after their pieces (elizaOS), or because
  each piece repeated all before it (Baidu's Qianfan), the last whole counts. See `_as_meant`.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..types._record import Record
from ..types._source import Fields, has_source, unknown_fields
from ..types.chat import ChatCompletionDeltaToolCall, DeltaFunction
from .fields import OF_EVENTS
from .growing import Merged, Pieces, grow, settle, whole

_LOOKS: Final = 8  # the most checks whether a call's arguments are complete JSON, each of which parses all of them

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _ArrivingCall:
    """A call that is arriving.

    Attributes:
        number: its position among the choice's calls.
        fields: the collected fields.
        arguments: its function's arguments, also in `fields`; None before the first piece.
    """

    __slots__ = ("_looks", "arguments", "fields", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.fields = Merged()
        self.arguments: Pieces | None = None
        self._looks = _LOOKS

    @property
    def id(self) -> str | None:
        return self.fields.get("id")

    @property
    def name(self) -> str | None:
        function = self.fields.get("function") or self.fields.get("custom") or {}
        return function.get("name")

    def is_over(self, name: str, arguments: str | None) -> bool:
        """Whether a piece with this name begins another call, as the arguments of this one are complete."""
        is_same = name == self.name
        if not self._looks or self.arguments is None or (is_same and not (arguments or "").lstrip().startswith("{")):
            return False
        self._looks -= 1
        text = self.arguments.whole()
        return not (is_same and arguments == text) and _is_object(text)

    def add(self, part: ChatCompletionDeltaToolCall, decoded: dict[int, Any]) -> None:
        """Add a piece."""
        if part.id:
            self.fields.setdefault("id", part.id)
        if part.type:
            self.fields["type"] = part.type
        if part.function is not None:
            grow_function(self.fields, "function", part.function, decoded)
            self.arguments = self.fields["function"].get("arguments")
        if part.custom:
            grow(self.fields, "custom", part.custom)
        grow_unnamed(self.fields, part, decoded)

    def settle(self) -> int:
        """Join pieces to blocks, unless they must stay separate. Returns the number of fields examined."""
        return 1 if self.arguments and _is_each_the_last(self.arguments) else settle(self.fields.values())

    def whole(self) -> Fields:
        found: Fields = {"type": "custom" if "custom" in self.fields else "function", **whole(self.fields)}
        if self.arguments is not None:
            found["function"]["arguments"] = _as_meant(self.arguments)
        return found


class ToolCalls:
    """The tool calls of one choice."""

    __slots__ = ("_calls", "_known", "_next")

    def __init__(self) -> None:
        self._calls: dict[int, _ArrivingCall] = {}  # by number
        self._known: dict[Any, _ArrivingCall] = {}  # by index, by id, by both; and by None for the call that began last
        self._next = 0  # a number above all that are in use

    def add(self, part: ChatCompletionDeltaToolCall, decoded: dict[int, Any] | None) -> int:
        """Take in a piece.

        Args:
            part: the piece.
            decoded: see `unknown_fields`; None for a piece that has no fields but those that its struct names.

        Returns:
            The number of its call: the index, unless the server has given that to another call, or none.
        """
        function = part.function
        if function is not None and not (part.id or function.name or part.custom):
            call = self._known.get(part.index)
            is_named = decoded is None or not (has_source(part) or has_source(function))
            if call is not None and call.arguments is not None and is_named:  # a common piece: only arguments
                if function.arguments:
                    call.arguments.append(function.arguments)
                return call.number
        call = self._call_of(part)
        call.add(part, {} if decoded is None else decoded)
        return call.number

    def add_arguments(self, index: int, arguments: str) -> bool:
        """Add a piece that has only arguments; False, with nothing added, if no call with this index as its number has any yet."""
        call = self._known.get(index)
        if call is None or call.arguments is None or call.number != index:
            return False
        call.arguments.append(arguments)
        return True

    def extend(self, part: ChatCompletionDeltaToolCall, arguments: Sequence[str]) -> bool:
        """Add many common pieces of the call whose number is their index, in order.

        Args:
            part: one of them; it has no unknown fields.
            arguments: the arguments in each, which has nothing else.

        Returns:
            Whether they are such pieces; otherwise nothing was added.
        """
        function, call = part.function, self._known.get(part.index)
        if function is None or part.id or function.name or part.custom:
            return False
        if call is None or call.arguments is None or call.number != part.index:
            return False
        call.arguments.extend(arguments)
        if not arguments[-1].startswith(arguments[0]):  # pieces that repeat all before them must stay separate
            call.arguments.settle()
        return True

    def _call_of(self, part: ChatCompletionDeltaToolCall) -> _ArrivingCall:
        """The call of a piece, which is also indexed by the piece's index and id."""
        index = part.index if part.index is not None and part.index >= 0 else None
        id, name = part.id or None, _name_of(part)
        call = self._find(index, id, name, part.function and part.function.arguments)
        if call is None:
            call = self._begin(index)
        if id or name:
            self._known[None] = self._known[part.index] = call
        if id:
            self._known[id] = self._known[index, id] = call
        return call

    def _find(self, index: int | None, id: str | None, name: str | None, arguments: str | None) -> _ArrivingCall | None:
        by_id = self._known.get(id if index is None else (index, id)) if id else None
        call = by_id or self._known.get(index)
        if call is None and id and not name:
            return self._known.get(id)  # at another index
        if call is None or not name or not call.name:
            return call
        is_new = by_id is None and (index is None or (id and call.id))
        return None if is_new or call.is_over(name, arguments) else call

    def _begin(self, index: int | None) -> _ArrivingCall:
        number = self._next if index is None or index in self._calls else index
        self._next = max(self._next, number + 1)
        call = self._calls[number] = self._known[None] = _ArrivingCall(number)
        self._known[number if index is None else index] = call
        return call

    def settle(self) -> int:
        """Join pieces to blocks. Returns the number of fields examined."""
        return sum(call.settle() for call in self._calls.values())

    def call(self, number: int) -> Fields:
        """A call so far."""
        return self._calls[number].whole()

    def whole(self) -> list[Fields]:
        """The calls so far, in the order of their numbers."""
        return [call.whole() for _, call in sorted(self._calls.items())]


def _name_of(part: ChatCompletionDeltaToolCall) -> str | None:
    name = part.function.name if part.function is not None else None
    return name or (part.custom.get("name") if part.custom else None)


def _as_meant(pieces: Pieces) -> str:
    """The arguments in these pieces: all joined, or what they repeat."""
    text = pieces.whole()
    half = text[: len(text) // 2]
    if text == half + half and _is_object(half):
        return half
    # Pieces of an object that each begin with all before it do not join to JSON.
    is_cumulative = len(pieces) > 1 and not pieces.blocks and text.startswith("{") and _is_each_the_last(pieces)
    return pieces[-1] if is_cumulative and _is_object(pieces[-1]) and not _is_object(text) else text


def _is_each_the_last(pieces: Pieces) -> bool:
    """Whether each of the pieces may be the beginning of the last."""
    return all(map(pieces[-1].startswith, pieces))


def _is_object(text: str) -> bool:
    try:
        _decode_object(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def grow_unnamed(fields: Fields, piece: Record, decoded: dict[int, Any]) -> None:
    """Add the unknown fields of a piece."""
    if has_source(piece):
        grow_all(fields, unknown_fields(piece, decoded))


def grow_all(fields: Fields, unnamed: Fields) -> None:
    """Add unknown fields."""
    for name, value in unnamed.items():
        if name not in OF_EVENTS:
            grow(fields, name, value, by_index=True)


def grow_function(fields: Fields, name: str, part: DeltaFunction, decoded: dict[int, Any]) -> None:
    """Add a piece of the function in a field."""
    function = fields.setdefault(name, Merged())
    if part.name and part.name != function.get("name"):
        function["name"] = function.get("name", "") + part.name
    if part.arguments:
        grow(function, "arguments", part.arguments)
    grow_unnamed(function, part, decoded)
