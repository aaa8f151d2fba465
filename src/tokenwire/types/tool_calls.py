"""Tool calls, whole and in pieces: which function a model calls, and with which arguments."""

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
        arguments: JSON text, as the model wrote it; `ChatCompletionMessageToolCall.parsed` has the values.
        name: the function's.
    """

    arguments: str = ""
    name: str | None = None

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _encode_arguments(fields)


class FunctionCall(Function):
    """The function a model called, in OpenAI's older form."""


class ChatCompletionMessageToolCall(OpenRecord, HasParsed):
    """One whole tool call.

    Attributes:
        function: what is called, and with what.
        id: to be named by the message that answers it, as `result` does.
        type: "function", or "custom".
        custom: in place of `function`, the name and the input of one of OpenAI's custom tools.
        index: its place among the calls, where the server numbers them.
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
        """The arguments, as the function that is called takes them: `function(**call.parsed)`.

        None where the call's `tools` had no function of this name, but a dict, or where nothing is known of them.

        Raises:
            OutputValidationError: the function does not take these arguments, or no tool has this name.
            OutputIncompleteError: they were cut short.
        """
        wanted = getattr(self, "_wanted", None)
        return None if wanted is None else wanted.parsed(self)

    def parse(self, function: Callable[..., Any]) -> Fields:
        """The arguments, as a function takes them, whichever tools were offered.

        Args:
            function: one that could be a tool.

        Raises:
            OutputValidationError: the function does not take these arguments.
            BadRequestError: it is not a function with annotations.
        """
        from ..schemas.signature import signature_of

        text = self.function.arguments if self.function is not None else ""
        return signature_of(function).arguments(text)

    def result(self, value: object) -> Fields:
        """The message that answers this call, for the next call's `messages`.

        Args:
            value: what the tool returned: a str is sent as it is, anything else as JSON.

        Raises:
            BadRequestError: the value can't be said in JSON.
        """
        try:
            text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=_of_model).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise refused("value", f"value can't be sent as JSON: {type(value).__name__}: {error}") from error
        return {"role": "tool", "tool_call_id": self.id, "content": text}


class DeltaFunction(Record, forbid_unknown_fields=True):
    """A piece of a tool call's function: the name once, then its arguments bit by bit.

    Attributes:
        arguments: the next piece of the JSON text.
        name: the function's, on the call's first piece.
    """

    arguments: str | None = None
    name: str | None = None

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _encode_arguments(fields)


class ChatCompletionDeltaToolCall(Record, forbid_unknown_fields=True):
    """A piece of a tool call.

    Attributes:
        id: the call's, on its first piece.
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
