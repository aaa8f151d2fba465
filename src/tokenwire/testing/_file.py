"""Scripts in files: JSON or TOML to replies, without I/O."""

import binascii
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from ._script import Reply

SOURCES: Mapping[str, Any] = {".json": msgspec.json.decode, ".toml": lambda data: tomllib.loads(data.decode())}


class ScriptError(Exception):
    """A script that is not valid; the message says where and why."""


def replies_from(data: bytes, suffix: str) -> list[Reply]:
    """The replies in a script.

    Args:
        data: the file's contents: in JSON a list of replies, or an object with the list as `replies`; in TOML
            `[[replies]]` tables. A reply has the fields of `Reply`. Bytes (`body`, `raw`, an event) are written as an
            object: `{"raw": "text"}`, or `{"base64": "..."}` for data that is not text; for `body` and `raw` also as a
            string.
        suffix: ".json" or ".toml".

    Raises:
        ScriptError: the file is not valid JSON or TOML, has no reply, or one with wrong fields.
    """
    if suffix not in SOURCES:
        raise ScriptError(f"a script is a file called *.json or *.toml, not *{suffix}")
    try:
        script = SOURCES[suffix](data)
    except (msgspec.DecodeError, ValueError) as error:
        raise ScriptError(f"this is not {suffix[1:].upper()}: {error}") from error
    replies = script.get("replies") if isinstance(script, dict) else script
    if not isinstance(replies, list) or not replies:
        raise ScriptError("a script must have a list called replies, with at least one reply")
    return [_reply(fields, number) for number, fields in enumerate(replies, 1)]


def _reply(fields: object, number: int) -> Reply:
    if not isinstance(fields, dict):
        raise ScriptError(f"reply {number} must be a table of fields, not {type(fields).__name__}")
    unknown = fields.keys() - set(Reply.__struct_fields__)
    if unknown:
        raise ScriptError(f"reply {number}: there is no field {min(unknown)!r}")
    try:
        values = dict(fields)
        values.update((name, _bytes(values[name])) for name in ("body", "raw") if name in values)
        if "events" in values:
            values["events"] = [_event(item) for item in values["events"]]
        return _checked(Reply(**values))
    except (TypeError, ValueError) as error:
        raise ScriptError(f"reply {number}: {error}") from error


def _checked(reply: Reply) -> Reply:
    """Check the types, which structs leave to type checkers."""
    for name, kinds in _KINDS.items():
        value = getattr(reply, name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"{name} can't be {value!r}")
    return reply


_KINDS: Mapping[str, tuple[type, ...]] = {
    "status": (int,),
    "headers": (dict,),
    "text": (str, type(None)),
    "done": (bool,),
    "forever": (bool,),
    "stall": (bool,),
    "delay": (int, float),
    "first_delay": (int, float),
    "event_delay": (int, float),
    "after": (int, type(None)),
    "after_bytes": (int, type(None)),
    "drip": (int, type(None)),
}


def _event(item: object) -> Any:
    return _bytes(item) if isinstance(item, dict) and item.keys() in ({"raw"}, {"base64"}) else item


def _bytes(value: object) -> bytes:
    match value:
        case str() as text:
            return text.encode()
        case {"raw": str() as text}:
            return text.encode()
        case {"base64": str() as encoded}:
            try:
                return b64decode(encoded, validate=True)
            except binascii.Error as error:
                raise ValueError(f"{encoded[:20]!r} is not base64: {error}") from error
        case _:
            raise ValueError('bytes must be written as {"raw": "text"} or {"base64": "..."}')
