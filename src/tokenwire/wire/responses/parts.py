"""Content parts: what a message of the Responses API holds, as chat completions have it, and back.

A field that neither side names goes along as it came, such as a mark for the prompt cache.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

import msgspec

from ...exceptions import BadRequestError, refused, wrong
from ...types._source import Fields

_Make: TypeAlias = Callable[[Fields, str], Fields]

_OF_ANSWERS: Final = ("annotations", "logprobs")  # what an answer's text has beside it, and a prompt's has not


def chat_part(part: object, where: str) -> Fields:
    """A part of a message's or a tool result's content as chat completions have it.

    Args:
        part: the part.
        where: its place in the request, for errors.

    Raises:
        BadRequestError: it is not a part, or chat completions can't say it; the error names the place.
    """
    return _made(part, where, _TO_CHAT)


def responses_part(part: object, where: str, *, answered: bool) -> Fields:
    """The way back; `answered` says whether the message is the model's own.

    Raises:
        BadRequestError: as above.
    """
    made = _made(part, where, _TO_RESPONSES)
    if answered and made["type"] == "input_text":
        made |= {"type": "output_text", "annotations": []}
    return made


def _made(part: object, where: str, table: dict[str, _Make]) -> Fields:
    if not isinstance(part, dict):
        raise bad(where, "an object with a type", part)
    make = table.get(kind_of(part))
    if make is None:
        raise bad(f"{where}.type", f"one of {', '.join(map(repr, table))}", part.get("type"))
    return make(part, where)


def bad(where: str, expected: str, value: object) -> BadRequestError:
    """The error for a value of a request that is not what it should be; its `param` is the place."""
    error = wrong(where, expected, value)
    error.param = where
    return error


def no_more_than(known: Collection[str], fields: Fields, where: str) -> None:
    """Refuse a field that is not known, where it asks for something; each object has a type.

    Raises:
        BadRequestError: there is one; the error names it.
    """
    for name, value in fields.items():
        if name != "type" and name not in known and value is not None and value is not False:
            raise refused(f"{where}.{name}", f"{where}.{name}: this can't be done here; leave it out")


def kind_of(fields: Fields) -> str:
    """The type that an object says it is of; "" where it says none."""
    kind = fields.get("type")
    return kind if isinstance(kind, str) else ""


def objects_in(value: object) -> list[Fields]:
    """The objects in what should be a list of them."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """A text that may be there; other values as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def text_in(fields: Fields, name: str, where: str) -> str:
    """A text that must be there.

    Raises:
        BadRequestError: it is not.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        raise bad(f"{where}.{name}", "a text", value)
    return value


def beside(fields: Fields, *taken: str) -> Fields:
    """The fields that are not taken."""
    return {name: value for name, value in fields.items() if name not in taken}


def _text(part: Fields, where: str) -> Fields:
    return {"type": "text", "text": text_in(part, "text", where), **beside(part, "type", "text", *_OF_ANSWERS)}


def _refusal(part: Fields, where: str) -> Fields:
    return {"type": "refusal", "refusal": text_in(part, "refusal", where)}


def _image(part: Fields, where: str) -> Fields:
    if part.get("file_id") is not None:
        raise refused(f"{where}.file_id", f"{where}.file_id: files are not kept here; send the picture as image_url")
    image = {"url": text_in(part, "image_url", where)}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image, **beside(part, "type", "image_url", "detail", "file_id")}


def _file(part: Fields, where: str) -> Fields:
    if part.get("file_url") is not None:
        raise refused(f"{where}.file_url", f"{where}.file_url: files are not fetched here; send file_data")
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
