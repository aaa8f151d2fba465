"""Functions as tools: their schemas, and the arguments of a received call converted for the function."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..exceptions import (
    APIResponseValidationError,
    BadRequestError,
    OutputIncompleteError,
    OutputValidationError,
    refused,
)
from ..schemas.decoding import is_json
from ..schemas.signature import Signature, signature_of
from ..types._response import want
from ..types._source import Fields
from ..types.chat import ModelResponse
from ..types.tool_calls import ChatCompletionMessageToolCall
from ..wire.partial_json import PartialJSON
from .answer import CUT
from .asked import tell


class Tools:
    """The tools that a call offers, functions among them.

    Args:
        tools: functions, and dicts in OpenAI's format.

    Attributes:
        sent: all of them as dicts.

    Raises:
        BadRequestError: a function can't be a tool, or two tools have the same name; the message says which.
    """

    __slots__ = ("_names", "_signatures", "sent")

    def __init__(self, tools: Iterable[Any]) -> None:
        self._signatures: dict[str, Signature] = {}
        self._names: set[str] = set()
        self.sent: list[Any] = [self._add(f"tools[{number}]", tool) for number, tool in enumerate(tools)]

    def _add(self, argument: str, tool: object) -> object:
        """Add a tool. Returns the dict to send."""
        signature = signature_of(tool, argument) if callable(tool) else None
        sent = tool if signature is None else msgspec.json.decode(signature.tool)
        name = _name_of(sent)
        if name is not None:
            if name in self._names:
                raise _twice(argument, name)
            self._names.add(name)
        if signature is not None:
            self._signatures[signature.name] = signature
        return sent

    def signature(self, name: str | None) -> Signature | None:
        """The signature of the function of this name, if it was offered."""
        return None if name is None else self._signatures.get(name)

    def mark(
        self, calls: Iterable[ChatCompletionMessageToolCall], finish_reason: str | None, seen: ModelResponse | None = None
    ) -> None:
        """Set the functions of tool calls.

        Args:
            finish_reason: why their message ended.
            seen: the response that they are part of, for errors.
        """
        for call in calls:
            name = None if call.function is None else call.function.name
            signature = self.signature(name)
            if signature is not None:
                want(call, _OfCall(signature, finish_reason, seen))
            elif name is not None and name not in self._names:
                want(call, _NotOffered(f"one of {', '.join(sorted(self._names))}", seen))


def _name_of(tool: object) -> str | None:
    """The name in a tool's dict, of any of OpenAI's types; None if it has none."""
    while isinstance(tool, Mapping) and not isinstance(tool.get("name"), str):
        tool = tool.get("function") or tool.get("custom")
    return tool["name"] if isinstance(tool, Mapping) else None


def _twice(argument: str, name: str) -> BadRequestError:
    return refused("tools", f"{argument} has the same name as another tool, {name!r}: a model's call would be ambiguous")


class _OfCall:
    """The function of a received tool call."""

    __slots__ = ("_finish_reason", "_made", "_seen", "_signature", "_text")

    def __init__(self, signature: Signature, finish_reason: str | None, seen: ModelResponse | None) -> None:
        self._signature, self._finish_reason, self._seen = signature, finish_reason, seen
        self._text: str | None = None  # the text that the arguments were decoded from
        self._made: Fields = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_call, (self._signature, self._finish_reason)

    def __deepcopy__(self, _: object) -> "_OfCall":
        return _OfCall(self._signature, self._finish_reason, self._seen)  # not by pickling, which would look the function up

    def parsed(self, call: ChatCompletionMessageToolCall) -> Fields:
        """See `Wanted`.

        Raises:
            OutputIncompleteError: the arguments were cut short.
            OutputValidationError: the function does not take them.
        """
        text = (call.function.arguments if call.function is not None else None) or ""
        if text is self._text:
            return self._made
        try:
            self._made, self._text = self._signature.arguments(text), text
            return self._made
        except OutputValidationError as misfit:
            is_cut = self._finish_reason in CUT and not is_json(text)
            error = incomplete(self._signature.name, self._finish_reason, text) if is_cut else misfit
            tell(error, self._seen)
            raise error from misfit.__cause__


class _NotOffered:
    """For a received tool call whose name is not that of an offered tool."""

    __slots__ = ("_expected", "_seen")

    def __init__(self, expected: str, seen: ModelResponse | None) -> None:
        self._expected, self._seen = expected, seen

    def __reduce__(self) -> tuple[Any, ...]:
        return _NotOffered, (self._expected, None)

    def parsed(self, call: ChatCompletionMessageToolCall) -> Fields:
        """See `Wanted`.

        Raises:
            OutputValidationError: always.
        """
        function = call.function
        name, text = (None, "") if function is None else (function.name, function.arguments)
        message = f"the model called {name!r}, but no tool has that name: expected {self._expected}"
        error = OutputValidationError(message, expected=self._expected, text=text)
        tell(error, self._seen)
        raise error


def _of_call(signature: Signature | None, finish_reason: str | None) -> _OfCall | None:
    """The function of a tool call from another process; None if this process has no such function."""
    return None if signature is None else _OfCall(signature, finish_reason, None)


def incomplete(name: str | None, finish_reason: str | None, text: str) -> OutputIncompleteError:
    """The error for a call whose arguments were cut short."""
    parser = PartialJSON()
    try:
        parser.feed(text)
    except APIResponseValidationError:
        pass  # the value before the error is kept
    why = "before the message had a finish reason" if finish_reason is None else f"by finish_reason={finish_reason!r}"
    value = None if parser.value is msgspec.UNSET else parser.value
    return OutputIncompleteError(f"the arguments of {name} were cut short {why}", text=text, value=value)
