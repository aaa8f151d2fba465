"""A function's parameters as the schema of a tool, and the arguments of a tool call converted to their types.

The parameters become the fields of a struct, so they support the same types and annotations as a class's fields. In the
schema a parameter with a default may be null, as OpenAI's strict mode requires every parameter; a null is then left out of
the arguments, so that the function's own default applies.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from operator import attrgetter
from types import MethodType, SimpleNamespace
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

import msgspec
from msgspec import UNSET

from ..exceptions import BadRequestError, OutputValidationError, wrong
from .decoding import Decoder, Misfit
from .described import Schema, unfit
from .docstring import docstring_of
from .strict import strict_schema

Tool: TypeAlias = Callable[..., Any]  # a function that a model may call, async or not

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # OpenAI's rule for names
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_DICT_INSTEAD = "or pass the tool as a dict"


class Signature:
    """A function's signature; does not keep the function alive.

    Args:
        function: a function with a name, whose parameters have annotations and can be passed by keyword.
        argument: the name of the argument with the function, for messages.

    Attributes:
        name: its name.
        home: its module and its qualified name, by which another process may find it.
        tool: the tool to send, as JSON.

    Raises:
        BadRequestError: it can't be a tool; the message says why, and names the parameter.
    """

    __slots__ = ("_decoder", "home", "name", "tool")

    def __init__(self, function: Tool, argument: str) -> None:
        self.name: str = _name_of(function, argument)
        self.home: tuple[str, str] = function.__module__ or "", function.__qualname__
        said = docstring_of(inspect.getdoc(function))
        struct = msgspec.defstruct(self.name, _fields(function, self.name, said.parameters, argument), kw_only=True)
        parameters = strict_schema(struct, argument)
        parameters.pop("title", None)
        described: Schema = {"name": self.name, "description": said.description, "parameters": parameters, "strict": True}
        if not said.description:
            del described["description"]
        self.tool: bytes = msgspec.json.encode({"type": "function", "function": described})
        self._decoder = Decoder(struct)

    def __reduce__(self) -> "tuple[Callable[[str, str], Signature | None], tuple[str, str]]":
        return _signature_at, self.home

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in a call's JSON, as keywords for the function.

        Raises:
            OutputValidationError: the function does not take them.
        """
        try:
            found = self._decoder.decode(text or "{}")
        except Misfit as misfit:
            raise OutputValidationError(
                f"the arguments do not fit {self.name}: {misfit.expected} at {misfit.path or 'their root'}: {text[:200]!r}",
                path=misfit.path,
                expected=misfit.expected,
                text=text,
            ) from misfit.__cause__
        values = ((name, getattr(found, name)) for name in found.__struct_fields__)
        return {name: value for name, value in values if value is not UNSET}


# By function, and by the function of a bound method: weak references, which keep neither alive.
_of_functions: "WeakKeyDictionary[Tool, Signature]" = WeakKeyDictionary()
_of_methods: "WeakKeyDictionary[Tool, Signature]" = WeakKeyDictionary()


def signature_of(function: Tool, argument: str = "function") -> Signature:
    """The `Signature` of a function, cached.

    Raises:
        BadRequestError: as `Signature`.
    """
    if not callable(function):
        raise wrong(argument, "a function", function)
    known, key = (_of_methods, function.__func__) if isinstance(function, MethodType) else (_of_functions, function)
    try:
        if (found := known.get(key)) is None:
            found = known[key] = Signature(function, argument)
        return found
    except TypeError:  # not hashable
        return Signature(function, argument)


def _signature_at(module: str, name: str) -> Signature | None:
    """The signature of a function by its name; None if this process can't find it, such as a local function."""
    try:
        return signature_of(attrgetter(name)(import_module(module)))
    except (ImportError, AttributeError, ValueError, BadRequestError):
        return None


def _name_of(function: Tool, argument: str) -> str:
    name = getattr(function, "__name__", None)
    if isinstance(function, type) or not isinstance(name, str) or not _NAME.fullmatch(name):
        raise unfit(
            argument,
            f"{function!r:.80} is not a function with a name of up to 64 of A-Z, a-z, 0-9, _ and -: "
            f"define one around it with def, {_DICT_INSTEAD}",
        )
    return name


def _fields(function: Tool, name: str, said: dict[str, str], argument: str) -> Iterable[Any]:
    """The parameters as fields for `msgspec.defstruct`."""
    parameters = inspect.signature(function).parameters
    hints = _hints(function, name, argument, parameters)
    for parameter in parameters.values():
        where = f"the parameter {parameter.name} of {name}"
        if parameter.kind not in _BY_KEYWORD:
            raise unfit(argument, f"{where} can't be passed by keyword, as a model's arguments are")
        if parameter.name not in hints:
            raise unfit(argument, f"{where} has no annotation, which is needed for the schema: add its type, {_DICT_INSTEAD}")
        hint = hints[parameter.name]
        description = _description(hint) or said.get(parameter.name, "")
        if parameter.default is inspect.Parameter.empty:
            yield parameter.name, Annotated[hint, msgspec.Meta(description=description)] if description else hint
        else:
            words = " ".join(filter(None, (description, _default(parameter.default))))
            may_be_absent = Union[hint, msgspec.UnsetType]  # noqa: UP007  (not every hint has an operator |)
            yield parameter.name, Annotated[may_be_absent, msgspec.Meta(description=words)] if words else may_be_absent, UNSET


def _hints(function: Tool, name: str, argument: str, parameters: Iterable[str]) -> dict[str, Any]:
    """The parameters' annotations; the return type's is not evaluated, as it may not be importable."""
    unwrapped: Any = inspect.unwrap(function)
    try:
        own = {key: value for key, value in unwrapped.__annotations__.items() if key in parameters}
        return get_type_hints(
            SimpleNamespace(__annotations__=own), globalns=getattr(unwrapped, "__globals__", None), include_extras=True
        )
    except (NameError, TypeError, AttributeError) as error:
        raise unfit(argument, f"the annotations of {name} can't be read: {error}") from error


def _description(hint: object) -> str:
    """A parameter's description in `Annotated`: a str, or the description of msgspec's or pydantic's object."""
    said = ""
    for extra in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        words = next((getattr(extra, name, None) for name in ("description", "documentation") if hasattr(extra, name)), extra)
        said = words if isinstance(words, str) else said
    return said


def _default(value: object) -> str:
    if value is None:
        return ""
    try:
        return f"(default: {msgspec.json.encode(value).decode()})"
    except (TypeError, ValueError, RecursionError):
        return ""
