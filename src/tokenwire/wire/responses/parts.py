"""The content parts of the Responses API ↔ those of chat completions.

A field that neither API names is passed on unchanged, such as a breakpoint for the prompt cache.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

import msgspec

from ...exceptions import BadRequestError, refused, wrong
from ...types._source import Fields

_Make: TypeAlias = Callable[[Fields, str], Fields]

_OF_ANSWERS: Final = ("annotations", "logprobs")  # fields of an answer's text, which a prompt's text does not have


def chat_part(part: object, where: str) -> Fields:
    """A part of a message or of a tool's result, in the format of chat completions.

    Args:
        part: the part.
        where: its path in the request, for errors.

    Raises:
        BadRequestError: it is not a part, or chat completions can't express it; the error has its path.
    """
    return _converted(part, where, _TO_CHAT)


def responses_part(part: object, where: str, *, is_answer: bool) -> Fields:
    """The opposite of `chat_part`; `is_answer`: whether the message is the model's own.

    Raises:
        BadRequestError: as above.
    """
    made = _converted(part, where, _TO_RESPONSES)
    if is_answer and made["type"] == "input_text":
        made |= {"type": "output_text", "annotations": []}
    return made


def _converted(part: object, where: str, table: dict[str, _Make]) -> Fields:
    if not isinstance(part, dict):
        raise bad(where, "an object with a type", part)
    make = table.get(kind_of(part))
    if make is None:
        raise bad(f"{where}.type", f"one of {', '.join(map(repr, table))}", part.get("type"))
    return make(part, where)


def bad(where: str, expected: str, value: object) -> BadRequestError:
    """The error for a wrong value in a request; its `param` is the value's path."""
    error = wrong(where, expected, value)
    error.param = where
    return error


def no_more_than(known: Collection[str], fields: Fields, where: str) -> None:
    """Refuse an unknown field, unless it is None or False; `type` is always known.

    Raises:
        BadRequestError: there is one; the error has its path.
    """
    for name, value in fields.items():
        if name != "type" and name not in known and value is not None and value is not False:
            raise refused(f"{where}.{name}", f"{where}.{name}: this server does not support it; leave it out")


def kind_of(fields: Fields) -> str:
    """An object's type; "" if it names none."""
    kind = fields.get("type")
    return kind if isinstance(kind, str) else ""


def objects_in(value: object) -> list[Fields]:
    """The objects in a value that should be a list of objects."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """An optional text; values of other types as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def text_in(fields: Fields, name: str, where: str) -> str:
    """A required text.

    Raises:
        BadRequestError: there is none; the error has its path.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        raise bad(f"{where}.{name}", "a text", value)
    return value


def beside(fields: Fields, *names: str) -> Fields:
    """The fields, without these."""
    return {name: value for name, value in fields.items() if name not in names}


def _text(part: Fields, where: str) -> Fields:
    return {"type": "text", "text": text_in(part, "text", where), **beside(part, "type", "text", *_OF_ANSWERS)}


def _refusal(part: Fields, where: str) -> Fields:
    return {"type": "refusal", "refusal": text_in(part, "refusal", where)}


def _image(part: Fields, where: str) -> Fields:
    if part.get("file_id") is not None:
        raise refused(f"{where}.file_id", f"{where}.file_id: this server stores no files; send the image as image_url")
    image = {"url": text_in(part, "image_url", where)}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image, **beside(part, "type", "image_url", "detail", "file_id")}


def _file(part: Fields, where: str) -> Fields:
    if part.get("file_url") is not None:
        raise refused(f"{where}.file_url", f"{where}.file_url: this server fetches no files; send file_data")
    inner = {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name) is not None}
    return {"type": "file", "file": inner, **beside(part, "type", "file_url", "file_data", "file_id", "filename")}


def _audio(part: Fields, where: str) -> Fields:
    return dict(part)


def _input_text(part: Fields, where: str) -> Fields:
    return {"type": "input_text", "text": text_in(part, "text", where), **beside(part, "type", "text")}


def _input_image(part: Fields, where: str) -> Fields:
    image: Any = part.get("image_url")
    image = {"url": image} if isinstance(image, str) else image
    if not isinstance(image, dict):
        raise bad(f"{where}.image_url", "an object with a url", image)
    made = {"type": "input_image", "image_url": text_in(image, "url", f"{where}.image_url")}
    return {**made, "detail": image.get("detail") or "auto", **beside(part, "type", "image_url")}


def _input_file(part: Fields, where: str) -> Fields:
    inner = part.get("file")
    if not isinstance(inner, dict):
        raise bad(f"{where}.file", "an object", inner)
    return {"type": "input_file", **inner, **beside(part, "type", "file")}


_TO_CHAT: dict[str, _Make] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}
_TO_RESPONSES: dict[str, _Make] = {
    "text": _input_text,
    "refusal": _refusal,
    "image_url": _input_image,
    "file": _input_file,
    "input_audio": _audio,
}
