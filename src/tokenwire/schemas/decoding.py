"""JSON text → a value of a type, or an explanation of what does not fit, and where.

Decoded in one pass by msgspec, or by pydantic for one of its models. Only if that fails, the text is decoded again without
nulls for fields that may be absent: the strict schema has to allow null for these.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

_PLACE = re.compile(r"(.*) - at (?:`key` in )?`\$?([^`]*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_INSTEAD_OF_NOTHING = "got `null`"  # in msgspec's message for a null of the wrong type

# Raised by the two libraries for a text that does not fit: msgspec's error, and ValueError, which includes pydantic's errors
# and those about lone surrogates.
NOT_A_VALUE: Final = (msgspec.DecodeError, ValueError, RecursionError)


def is_json(text: str) -> bool:
    """Whether a text is a complete JSON document."""
    try:
        msgspec.json.decode(text)
    except NOT_A_VALUE:
        return False
    return True


class Misfit(Exception):
    """A text is not a value of the type.

    Attributes:
        expected: what was expected, and what was found.
        path: where, such as "lines[2].price"; "" for the root.
    """

    def __init__(self, expected: str, path: str) -> None:
        super().__init__(expected)
        self.expected: str = expected
        self.path: str = path


class Decoder:
    """Decodes texts into one type.

    Attributes:
        cls: the type.
        fast: decodes a text that fits, and raises one of `NOT_A_VALUE` if it does not: then call `explained`.
    """

    __slots__ = ("cls", "fast")

    def __init__(self, cls: object) -> None:
        self.cls: Any = cls
        self.fast: Callable[[str], Any] = _fast(cls)

    def decode(self, text: str) -> Any:
        """Decode a text.

        Raises:
            Misfit: the text is not a value of the type.
        """
        try:
            return self.fast(text)
        except NOT_A_VALUE as error:
            return self.explained(text, error)

    def explained(self, text: str, error: Exception) -> Any:
        """The value of a text for which `fast` raised an error, if removing nulls makes it fit.

        Raises:
            Misfit: it does not fit.
        """
        if isinstance(error, msgspec.DecodeError):
            return _without_nulls(text, self.cls, error)
        first = getattr(error, "errors", None)
        raise (Misfit(str(error), "") if first is None else Misfit(*first_of(error))) from error


def _fast(cls: Any) -> Callable[[str], Any]:
    if hasattr(cls, "model_validate_json"):
        return cls.model_validate_json
    if hasattr(cls, "__pydantic_validator__"):
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json
    return msgspec.json.Decoder(cls, dec_hook=_model).decode


def first_of(error: Any) -> tuple[str, str]:
    """The message and path of the first of pydantic's errors."""
    first = error.errors(include_url=False)[0]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return first["msg"], path.removeprefix(".")


def _model(cls: Any, value: object) -> object:
    """Decode a pydantic model within msgspec's types."""
    if not hasattr(cls, "model_validate"):
        raise NotImplementedError
    if value is None:
        raise ValueError(f"Expected `object`, {_INSTEAD_OF_NOTHING}")  # in the form of msgspec's messages
    try:
        return cls.model_validate(value)
    except ValueError as exc:
        expected, path = first_of(exc)
        raise ValueError(f"{expected} (there at {path})" if path else expected) from exc  # msgspec adds the path to here


def _misfit(error: msgspec.DecodeError) -> Misfit:
    found = _PLACE.fullmatch(str(error))
    return Misfit(str(error), "") if found is None else Misfit(found[1], found[2].removeprefix("."))


def _without_nulls(text: str, wanted: object, error: msgspec.DecodeError) -> Any:
    """The value without nulls for absent fields; raises `Misfit` if that does not help."""
    misfit = _misfit(error)
    if not isinstance(error, msgspec.ValidationError) or _INSTEAD_OF_NOTHING not in misfit.expected:
        raise misfit from error
    tree = msgspec.json.decode(text)
    dropped: dict[str, Misfit] = {}
    while _drop_nulls(tree, [found[1] for found in _STEP.finditer(f".{misfit.path}")]):
        dropped[misfit.path] = misfit
        try:
            return msgspec.convert(tree, wanted, str_keys=True, dec_hook=_model)
        except msgspec.ValidationError as exc:
            misfit = _misfit(exc)
            if (
                missing := _MISSING.search(misfit.expected)
            ) is not None:  # that field is required, so its null must not be removed
                misfit = dropped.get(f"{misfit.path}.{missing[1]}".removeprefix("."), misfit)
            if missing is not None or _INSTEAD_OF_NOTHING not in misfit.expected:
                raise misfit from exc
    raise misfit from error


def _drop_nulls(value: object, steps: list[str | None]) -> bool:
    """Remove every null at a field's path (a step of None is any item). Returns whether there was one."""
    step, *rest = steps or [None]
    if step is None:
        items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        return bool(rest) and sum(_drop_nulls(item, rest) for item in items) > 0
    if not isinstance(value, dict) or step not in value:
        return False
    if rest:
        return _drop_nulls(value[step], rest)
    return value[step] is None and value.pop(step) is None
