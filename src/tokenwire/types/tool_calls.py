"""Tool calls, complete and in pieces: which function a model calls, with which arguments."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import uuid4

import msgspec

from ..exceptions import refused
from ._record import OpenRecord, Record
from ._response import HasParsed
from ._source import Fields


def _encode_arguments(fields: Fields) -> None:
    arguments = fields.get("arguments")
    if not isinstance(arguments, str | None):
        fields["arguments"] = msgspec.json.encode(arguments).decode()


def _of_model(value: Any) -> Any:
    """The fields of a pydantic model."""
    if not hasattr(value, "model_dump"):
        raise TypeError(f"objects of type {type(value).__name__} are not JSON")
    return value.model_dump(mode="json")


class Function(OpenRecord):
    """The function that a tool call names.

    Attributes:
        arguments: JSON text, as written by the model; `ChatCompletionMessageToolCall.parsed` has the values.
        name: the function's name.
    """

    arguments: str = ""
    name: str | None = None

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _encode_arguments(fields)


class FunctionCall(Function):
    """The function that a model called, in OpenAI's older form."""


class ChatCompletionMessageToolCall(OpenRecord, HasParsed):
    """One complete tool call.

    Attributes:
        function: the function's name and arguments.
        id: the call's id, which the message with its result must have; see `result`.
        type: "function", or "custom".
        custom: in place of `function`, the name and the input of one of OpenAI's custom tools.
        index: its position among the calls, if the server numbers them.
    """

    function: Function | None = None
    id: str | None = None
    type: str | None = "function"
    custom: Fields | None = None
    index: int | None = None

    _slots: ClassVar[tuple[str, ...]] = (*OpenRecord._slots, "_wanted")

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if fields.get("id") is None:
            fields["id"] = str(uuid4())

    @property
    def parsed(self) -> Any:
        """The arguments, converted to the types of the function's parameters: `function(**call.parsed)`.

        None if the call's `tools` had a dict, not a function, of this name, or if the tools are not known.

        Raises:
            OutputValidationError: the function does not take these arguments, or no tool has this name.
            OutputIncompleteError: the arguments were cut short.
        """
        wanted = getattr(self, "_wanted", None)
        return None if wanted is None else wanted.parsed(self)

    def parse(self, function: Callable[..., Any]) -> Fields:
        """The arguments, converted to the types of a function's parameters, whatever `tools` the call had.

        Args:
            function: a function with annotated parameters.

        Raises:
            OutputValidationError: the function does not take these arguments.
            BadRequestError: it is not a function with annotations.
        """
        from ..schemas.signature import signature_of

        text = self.function.arguments if self.function is not None else ""
        return signature_of(function).arguments(text)

    def result(self, value: object) -> Fields:
        """The message with the result of this tool call, for the `messages` of the next call.

        Args:
            value: what the tool returned: a str is sent as it is, anything else as JSON.

        Raises:
            BadRequestError: JSON can't represent the value.
        """
        try:
            text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=_of_model).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise refused("value", f"value can't be sent as JSON: {type(value).__name__}: {error}") from error
        return {"role": "tool", "tool_call_id": self.id, "content": text}


class DeltaFunction(Record, forbid_unknown_fields=True):
    """A piece of a tool call's function: first its name, then its arguments in pieces.

    Attributes:
        arguments: the next piece of the JSON text.
        name: the function's name, in the call's first piece.
    """

    arguments: str | None = None
    name: str | None = None

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _encode_arguments(fields)


class ChatCompletionDeltaToolCall(Record, forbid_unknown_fields=True):
    """A piece of a tool call.

    Attributes:
        id: the call's id, in its first piece.
        function: a piece of the function.
        type: "function", or "custom".
        index: which of the message's calls it belongs to.
        custom: a piece of one of OpenAI's custom tools.
    """

    id: str | None = None
    function: DeltaFunction | None = None
    type: str | None = None
    index: int | None = None
    custom: Fields | None = None

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        fields.setdefault("type", "custom" if fields.get("custom") else "function")
