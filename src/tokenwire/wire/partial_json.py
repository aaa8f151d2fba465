"""An incremental JSON parser: the value so far, in time linear in the text, however small the pieces.

How it works: the value's dicts and lists are created when they begin and then grow in place, so each call returns the same
value, with more in it. Between calls it keeps a state, a stack of open containers and the pieces of the open string or
number; only an escape or a literal that is split between two pieces is read twice.

An open string is in its container from its quotation mark on. Its text is updated when it has grown by a sixteenth, or has
ended: joining it at every piece would take quadratic time. A number, `true`, `false` and `null` appear when they have ended,
a key together with the beginning of its value.

The grammar is RFC 8259's, and the final value is the same as `msgspec.json.decode` of the whole text, except for limits.
"""

import enum
import re
from collections.abc import Callable
from typing import Any, ClassVar, Final, NoReturn

import msgspec
from msgspec import UNSET

from ..exceptions import APIResponseValidationError, LimitExceededError

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"([^"\\\x00-\x1f]*)"')
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_is_plain = _PLAIN.fullmatch
_DIGITS = re.compile(r"[-+.0-9eE]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_PREFACE = re.compile(r"[^`{\[]*")
_FENCE = re.compile(r"```[^\n`]*\n")

# An escape, or the beginning of one; a character above U+FFFF is one escape of two surrogates.
_ESCAPE = re.compile(
    r'\\(?:(["\\/bfnrt])|u((?![dD][89a-fA-F])[0-9a-fA-F]{4})|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2}))'
)
_CUT_ESCAPE = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?"
)
_LONGEST_ESCAPE = 12
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}

_RENEWED_BY: Final = 16  # an open string is updated when it has grown by 1/16

_decode_number = msgspec.json.Decoder().decode


class _State(enum.Enum):
    """What is expected next."""

    PREFACE = "the value, maybe after other text"
    VALUE = "a value"
    FIRST_ITEM = "a value or ']'"
    FIRST_KEY = "a key or '}'"
    KEY = "a key"
    COLON = "':'"
    AFTER_ITEM = "',' or ']'"
    AFTER_VALUE = "',' or '}'"
    IN_KEY = "the rest of a key"
    IN_STRING = "the rest of a string"
    IN_NUMBER = "the rest of a number"
    END = "nothing more"

    __hash__ = object.__hash__  # Enum's own hash is a slow Python function, and each step looks up a state


_IN_STRING = _State.IN_STRING


class PartialJSON:
    """Parses JSON piece by piece, and has the value so far.

    Args:
        fences: skip text before the first `{` or `[`, including a Markdown fence, and any text after the value.
        max_depth: the deepest nesting of containers.
        max_chars: the most characters of text.

        Attributes:
            value: the value so far, `msgspec.UNSET` before it begins. Its dicts and lists grow in place: copy what must not
                change.
            done: whether the value is complete. A number at the top level is complete only after `feed_eof`.
    """

    __slots__ = (
        "_container", "_due", "_fed", "_fences", "_key", "_length", "_max_chars", "_max_depth", "_pieces", "_stack",
        "_state", "_tail", "value",
    )  # fmt: skip

    def __init__(self, *, fences: bool = False, max_depth: int = 512, max_chars: int = 64 * 1024 * 1024) -> None:
        self.value: Any = UNSET
        self._fences = fences
        self._max_depth, self._max_chars = max_depth, max_chars
        self._state = _State.PREFACE if fences else _State.VALUE
        self._stack: list[dict[str, Any] | list[Any]] = []  # the containers around the open one
        self._container: dict[str, Any] | list[Any] | None = None  # the innermost open one
        self._key = ""  # the key of the next or the open value in an object
        self._pieces: list[str] = []  # pieces of the open string, key or number
        self._length = 0  # of all pieces
        self._due = 0  # the length at which the open string is updated next
        self._tail = ""  # the beginning of an escape or a literal, to be read again with the next piece
        self._fed = 0  # characters before `_tail`

    @property
    def done(self) -> bool:
        """Whether the value is complete."""
        return self._state is _State.END

    def feed(self, text: str) -> Any:
        """Parse more text.

        Returns:
            `value`.

        Raises:
            APIResponseValidationError: it is not JSON; the message says where and what was expected.
            LimitExceededError: it is nested too deeply, or too long.
            TypeError: it is not a str. Decode bytes by `codecs.getincrementaldecoder("utf-8")()`, as they may end within a
                character.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"text must be a str, not {type(text).__name__}")
        if self._tail:
            text, self._tail = self._tail + text, ""
        end = len(text)
        if self._fed + end > self._max_chars:
            raise LimitExceededError(f"the JSON text is longer than max_chars={self._max_chars} characters")
        if self._state is _IN_STRING and _is_plain(text):  # only characters of an open string, as in most pieces
            self._pieces.append(text)
            self._fed += end
            self._length = length = self._length + end
            if length >= self._due:
                self._show()
            return self.value
        position = 0
        steps = self._STEPS
        while position < end:
            position = steps[self._state](self, text, position)
        self._fed += end - len(self._tail)
        return self.value

    def feed_eof(self) -> Any:
        """The text has ended.

        Returns:
            The complete value.

        Raises:
            APIResponseValidationError: the text ended before the value did, or is not JSON.
        """
        if self._state is _State.IN_NUMBER and self._container is None:
            self._end_number("", 0)
        if not self.done:
            raise APIResponseValidationError(
                f"the JSON text ends after {self._fed + len(self._tail)} characters, where {self._state.value} was expected"
            )
        return self.value

    def grows(self, container: object) -> bool:
        """Whether a dict or list in `value` has not ended."""
        return any(container is one for one in (self._container, *self._stack))

    def is_arriving(self, container: dict[str, Any] | list[Any], key: str | int) -> bool:
        """Whether the value at a key, or an index, of a dict or list in `value` has not ended."""
        if container is self._container and self._state is _IN_STRING:
            return key == (self._key if isinstance(container, dict) else len(container) - 1)
        return self.grows(container[key])  # pyright: ignore[reportArgumentType, reportCallIssue]  (the key is the container's)

    # One method for each state. Each gets the text and a position in it, and returns the position after what it parsed.

    def _preface(self, text: str, position: int) -> int:
        position = _matched(_PREFACE, text, position)
        if text.startswith("`", position):
            fence = _FENCE.match(text, position)
            if fence is not None:
                self._state = _State.VALUE
                return fence.end()
            if "```".startswith(text[position:]) or (text.startswith("```", position) and "\n" not in text[position:]):
                return self._wait(text, position)
            return position + 1
        if position < len(text):
            self._state = _State.VALUE
        return position

    def _before_value(self, text: str, position: int) -> int:
        first = text[position]
        if first == '"':
            return self._string(text, position)
        if first in "{[":
            return self._open_container({} if first == "{" else [], position)
        if first in "-0123456789":
            return self._begin(_State.IN_NUMBER, position)
        if first in _WORDS:
            return self._word(text, position, *_WORDS[first])
        if first == "]" and self._state is _State.FIRST_ITEM:
            return self._close(position)
        return self._space(text, position)

    def _string(self, text: str, position: int) -> int:
        found = _STRING.match(text, position)
        if found is None:  # it ends in a later piece, or has escapes
            self._put("")
            return self._begin(_State.IN_STRING, position + 1)
        self._put(found[1])
        self._after()
        return found.end()

    def _word(self, text: str, position: int, word: str, value: object) -> int:
        if text.startswith(word, position):
            self._put(value)
            self._after()
            return position + len(word)
        if word.startswith(text[position:]):
            return self._wait(text, position)
        return self._fail(text, position)

    def _before_key(self, text: str, position: int) -> int:
        first = text[position]
        if first == '"':
            found = _STRING.match(text, position)
            if found is None:
                return self._begin(_State.IN_KEY, position + 1)
            self._key = found[1]
            self._state = _State.COLON
            return found.end()
        if first == "}" and self._state is _State.FIRST_KEY:
            return self._close(position)
        return self._space(text, position)

    def _before_colon(self, text: str, position: int) -> int:
        if text[position] != ":":
            return self._space(text, position)
        self._state = _State.VALUE
        return position + 1

    def _between(self, text: str, position: int) -> int:
        in_object = self._state is _State.AFTER_VALUE
        if text[position] == ",":
            self._state = _State.KEY if in_object else _State.VALUE
            return position + 1
        if text[position] == ("}" if in_object else "]"):
            return self._close(position)
        return self._space(text, position)

    def _in_string(self, text: str, position: int) -> int:
        stop = self._collect(_PLAIN, text, position)
        if stop < len(text):
            if text[stop] == '"':
                self._show()
                self._after()
                return stop + 1
            stop = self._escape(text, stop)
        if self._length >= self._due:
            self._show()
        return stop

    def _in_key(self, text: str, position: int) -> int:
        stop = self._collect(_PLAIN, text, position)
        if stop == len(text):
            return stop
        if text[stop] == '"':
            self._key = "".join(self._pieces)
            self._state = _State.COLON
            return stop + 1
        return self._escape(text, stop)

    def _in_number(self, text: str, position: int) -> int:
        stop = self._collect(_DIGITS, text, position)
        if stop < len(text):
            self._end_number(text, stop)
        return stop

    def _after_end(self, text: str, position: int) -> int:
        return len(text) if self._fences else self._space(text, position)

    _STEPS: ClassVar[dict[_State, Callable[["PartialJSON", str, int], int]]] = {
        _State.PREFACE: _preface,
        _State.VALUE: _before_value,
        _State.FIRST_ITEM: _before_value,
        _State.FIRST_KEY: _before_key,
        _State.KEY: _before_key,
        _State.COLON: _before_colon,
        _State.AFTER_ITEM: _between,
        _State.AFTER_VALUE: _between,
        _State.IN_KEY: _in_key,
        _State.IN_STRING: _in_string,
        _State.IN_NUMBER: _in_number,
        _State.END: _after_end,
    }

    def _space(self, text: str, position: int) -> int:
        """Skip white space; anything else is an error."""
        stop = _matched(_SPACE, text, position)
        return stop if stop > position else self._fail(text, position)

    def _begin(self, state: _State, position: int) -> int:
        """Begin a string, a key or a number."""
        self._state = state
        self._pieces = []
        self._length = self._due = 0
        return position

    def _collect(self, characters: "re.Pattern[str]", text: str, position: int) -> int:
        stop = _matched(characters, text, position)
        if stop > position:
            self._pieces.append(text[position:stop])
            self._length += stop - position
        return stop

    def _escape(self, text: str, position: int) -> int:
        found = _ESCAPE.match(text, position)
        if found is None:
            if len(text) - position < _LONGEST_ESCAPE and _CUT_ESCAPE.fullmatch(text, position):
                return self._wait(text, position)
            return self._fail(text, position)
        self._pieces.append(_unescaped(*found.groups()))
        self._length += 1
        return found.end()

    def _wait(self, text: str, position: int) -> int:
        """Keep the rest of the text until more arrives."""
        self._tail = text[position:]
        return len(text)

    def _show(self) -> None:
        """Update the open string in its container."""
        joined = "".join(self._pieces)
        self._pieces = [joined]
        self._due = self._length + (self._length // _RENEWED_BY or 1)
        if self._container is None:
            self.value = joined
        elif isinstance(self._container, dict):
            self._container[self._key] = joined
        else:
            self._container[-1] = joined

    def _end_number(self, text: str, position: int) -> None:
        number = "".join(self._pieces)
        try:
            if not _NUMBER.fullmatch(number):
                self._fail(text, position, f"a number, not {number[:40]}")
            value = _decode_number(number)
        except msgspec.DecodeError as exc:  # too large for a float
            self._fail(text, position, str(exc), exc)
        self._put(value)
        self._after()

    def _put(self, value: object) -> None:
        """Put a new value into its container."""
        if self._container is None:
            self.value = value
        elif isinstance(self._container, dict):
            self._container[self._key] = value
        else:
            self._container.append(value)

    def _open_container(self, container: dict[str, Any] | list[Any], position: int) -> int:
        if self._container is not None:
            self._stack.append(self._container)
        if len(self._stack) >= self._max_depth:
            raise LimitExceededError(f"the JSON text is nested more deeply than max_depth={self._max_depth}")
        self._put(container)
        self._container = container
        self._state = _State.FIRST_KEY if isinstance(container, dict) else _State.FIRST_ITEM
        return position + 1

    def _close(self, position: int) -> int:
        self._container = self._stack.pop() if self._stack else None
        self._after()
        return position + 1

    def _after(self) -> None:
        """Note that a value has ended."""
        if self._container is None:
            self._state = _State.END
        else:
            self._state = _State.AFTER_VALUE if isinstance(self._container, dict) else _State.AFTER_ITEM

    def _fail(self, text: str, position: int, expected: str = "", cause: Exception | None = None) -> NoReturn:
        found = repr(text[position : position + 20]) if position < len(text) else "the end"
        raise APIResponseValidationError(
            f"invalid JSON at character {self._fed + position}: {expected or self._state.value} was expected, not {found}"
        ) from cause


def _matched(pattern: "re.Pattern[str]", text: str, position: int) -> int:
    """The end of the match of a pattern that always matches."""
    found = pattern.match(text, position)
    assert found is not None
    return found.end()


def _unescaped(short: str | None, unit: str | None, high: str | None, low: str | None) -> str:
    if short is not None:
        return _ESCAPED[short]
    if unit is not None:
        return chr(int(unit, 16))
    assert high is not None
    assert low is not None
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
