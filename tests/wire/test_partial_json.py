"""JSON that arrives in pieces: the end is msgspec's, the way there is a second reader's, and it costs linear time."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from tokenwire import APIResponseValidationError, LimitExceededError, PartialJSON
from tokenwire.exceptions import APIError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
SPELLINGS = st.sampled_from([
    {},
    {"ensure_ascii": False},
    {"indent": 1},
    {"separators": (",", ":"), "ensure_ascii": False},
])  # fmt: skip
DOCUMENTS = st.builds(lambda value, spelling: json.dumps(value, **spelling), VALUES, SPELLINGS)


def parsed(pieces: Iterator[str] | list[str], **options: Any) -> Any:
    parser = PartialJSON(**options)
    for piece in pieces:
        parser.feed(piece)
    return parser.feed_eof()


# A second reader of prefixes: character by character, with json.loads for what is whole.


class Open(str):
    """The text so far of a string without an end."""

    __slots__ = ()


class OutOfText(Exception):
    pass


class Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.known = text, 0, msgspec.UNSET

    def read(self) -> Any:
        try:
            self.value(lambda value: setattr(self, "known", value))
        except OutOfText:
            pass
        return self.known

    def peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at] in " \n\r\t":
            self.at += 1
        return self.char(0)

    def char(self, ahead: int) -> str:
        if self.at + ahead >= len(self.text):
            raise OutOfText
        return self.text[self.at + ahead]

    def value(self, put: Callable[[Any], None]) -> None:
        first = self.peek()
        if first == '"':
            self.string(put)
        elif first in "{[":
            self.container(put, first == "{")
        else:
            self.token(put, first)

    def token(self, put: Callable[[Any], None], first: str) -> None:
        length = {"t": 4, "f": 5, "n": 4}.get(first, 0)
        if length:
            self.char(length - 1)
        else:
            while self.char(length) in "-+.0123456789eE":
                length += 1
        put(json.loads(self.text[self.at : self.at + length]))
        self.at += length

    def string(self, put: Callable[[Any], None]) -> None:
        self.at += 1
        built = ""
        put(Open(built))
        while (char := self.char(0)) != '"':
            length = 1
            if char == "\\":
                length = 6 if self.char(1) == "u" else 2
                self.char(length - 1)
                if length == 6 and self.text[self.at + 2 : self.at + 4].lower() in ("d8", "d9", "da", "db"):
                    length = 12
                    self.char(length - 1)
                char = json.loads(f'"{self.text[self.at : self.at + length]}"')
            built += char
            put(Open(built))
            self.at += length
        self.at += 1
        put(built)

    def container(self, put: Callable[[Any], None], is_object: bool) -> None:
        self.at += 1
        made: Any = {} if is_object else []
        put(made)
        while self.peek() not in "}]":
            if self.peek() == ",":
                self.at += 1
            key: list[str] = []
            if is_object:
                self.peek()
                self.string(key.append)
                self.peek()
                self.at += 1
                self.value(lambda value: made.__setitem__(key[-1], value))  # noqa: B023 - called at once
            else:
                place = len(made)
                self.value(lambda value: made.__setitem__(slice(place, None), [value]))  # noqa: B023
        self.at += 1


def agree(shown: Any, known: Any) -> bool:
    """Whether both say the same, but that an open string may lag by a sixteenth."""
    if isinstance(known, Open):
        return known.startswith(shown) and len(known) - len(shown) <= len(shown) // 16 + 1
    if isinstance(known, dict):
        return list(shown) == list(known) and all(agree(shown[key], known[key]) for key in known)
    if isinstance(known, list):
        return len(shown) == len(known) and all(map(agree, shown, known))
    return type(shown) is type(known) and (shown == known)


@given(DOCUMENTS)
@example('"\\ud83d\\ude00\\u00e9\\n\\/"')
@example('{"\\ud83d\\ude00": [[], {}, -0.0, 1e5, "", true, false, null]}')
@example(" 12 ")
def test_the_end_is_what_msgspec_says_wherever_the_text_is_cut(document: str) -> None:
    whole = msgspec.json.decode(document)
    assert agree(parsed([document]), whole)
    assert agree(parsed(list(document)), whole)
    for place in range(len(document) + 1):
        assert agree(parsed([document[:place], document[place:]]), whole)


@given(DOCUMENTS, st.integers(1, 7))
@example(json.dumps({"a": "x" * 500, "b": ["y" * 100]}), 1)
def test_what_is_known_so_far_is_what_a_second_reader_knows(document: str, step: int) -> None:
    parser = PartialJSON()
    for end in range(step, len(document) + step, step):
        shown = parser.feed(document[end - step : end])
        assert agree(shown, Reader(document[:end]).read()), document[:end]


@given(DOCUMENTS, st.data())
def test_it_refuses_what_msgspec_refuses(document: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(document)))
    put = data.draw(st.sampled_from(["", '"', "\\", "{", "}", "[", "]", ",", ":", "1", "-", ".", "e", "\\u12", "\n", "x"]))
    spoiled = document[:place] + put + document[place + data.draw(st.integers(0, 2)) :]
    try:
        expected = msgspec.json.decode(spoiled)
    except msgspec.DecodeError:
        for pieces in ([spoiled], list(spoiled)):
            with pytest.raises(APIResponseValidationError):
                parsed(pieces)
    else:
        assert agree(parsed(list(spoiled)), expected)


# By example.


def test_containers_are_live_and_grow() -> None:
    parser = PartialJSON()
    first = parser.feed('{"rows": [{"a"')
    assert first == {"rows": [{}]}
    rows = first["rows"]
    assert parser.feed(': 1}, "x') is first
    assert first["rows"] is rows
    assert rows == [{"a": 1}, "x"]


@pytest.mark.parametrize(
    "text, known",
    [
        ("", msgspec.UNSET),
        (" ", msgspec.UNSET),
        ("[", []),
        ("[1", []),
        ("[1 ", [1]),
        ("[1,", [1]),
        ("[tru", []),
        ("[true", [True]),
        ('["', [""]),
        ('["ab', ["ab"]),
        ('["ab\\', ["ab"]),
        ('["ab\\u00', ["ab"]),
        ('["\\ud83d', [""]),
        ('["\\ud83d\\ude00', ["😀"]),
        ('{"ke', {}),
        ('{"key"', {}),
        ('{"key": ', {}),
        ('{"key": "', {"key": ""}),
        ('"top', "top"),
        ("12", msgspec.UNSET),
        ("nul", msgspec.UNSET),
        ("null", None),
        ('{"a": 1, "a": [', {"a": []}),
    ],
)
def test_what_is_known_of(text: str, known: Any) -> None:
    parser = PartialJSON()
    assert parser.feed(text) == known
    assert parser.value == known


def test_done_says_whether_the_value_is_whole() -> None:
    parser = PartialJSON()
    parser.feed('{"a": [1]')
    assert not parser.done
    parser.feed("} ")
    assert parser.done
    number = PartialJSON()
    number.feed("12")
    assert not number.done
    assert number.feed_eof() == 12
    assert number.done


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"a": 1,}', "character 8: a key was expected, not '}'"),
        ("[1,]", "character 3: a value was expected, not ']'"),
        ('{"a" 1}', "character 5: ':' was expected, not '1}'"),
        ("[1 2]", "character 3: ',' or ']' was expected, not '2]'"),
        ('{"a": 1 "b"}', "character 8: ',' or '}' was expected"),
        ("{1}", "character 1: a key or '}' was expected"),
        ("[}", "character 1: a value or ']' was expected"),
        ("01 ", "a number, not 01 was expected"),
        ("[1e999]", "out of range"),
        ('"\\x"', "character 1: the rest of a string was expected, not '\\\\x\"'"),
        ('"\\ud800x"', "character 1: the rest of a string"),
        ('"a\nb"', "character 2: the rest of a string"),
        ("{} {}", "character 3: nothing more was expected"),
        ("nulx", "character 0: a value was expected, not 'nulx'"),
        ('{"\\q', "character 2: the rest of a key"),
    ],
)
def test_what_is_not_json_is_named_with_its_position(text: str, words: str) -> None:
    for pieces in ([text], list(text)):
        with pytest.raises(APIResponseValidationError) as caught:
            parsed(pieces)
        if len(pieces) == 1:
            assert words in caught.value.message
        assert words.partition(":")[0] in caught.value.message


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "0 characters, where a value was expected"),
        ('{"a": "b', "8 characters, where the rest of a string"),
        ('["\\u12', "6 characters"),
        ("[tr", "3 characters"),
        ("-", "a number, not -"),
    ],
)
def test_a_text_that_ends_too_early(text: str, words: str) -> None:
    with pytest.raises(APIResponseValidationError) as caught:
        parsed([text])
    assert words in caught.value.message


FENCED = [
    ('Here you are:\n```json\n{"a": [1]}\n```\nAnything else?', {"a": [1]}),
    ('```\n["a"]\n```', ["a"]),
    ('Sure: {"a": 1} and so on {', {"a": 1}),
    ("```json\n12\n```", 12),
    ('`code`: {"a": 2}', {"a": 2}),
    ('{"a": 3}', {"a": 3}),
]


@pytest.mark.parametrize("text, value", FENCED)
def test_text_and_fences_around_the_value_by_option(text: str, value: Any) -> None:
    for place in range(len(text) + 1):
        assert parsed([text[:place], text[place:]], fences=True) == value
    assert parsed(list(text), fences=True) == value


def test_text_around_the_value_is_refused_without_the_option() -> None:
    with pytest.raises(APIResponseValidationError):
        parsed(['```json\n{"a": 1}\n```'])


def test_limits() -> None:
    assert parsed(["[" * 3 + "]" * 3], max_depth=3) == [[[]]]
    with pytest.raises(LimitExceededError, match="max_depth=3"):
        parsed(["[" * 4], max_depth=3)
    with pytest.raises(LimitExceededError, match="max_depth=512"):
        parsed(["["] * 513)
    assert parsed(['"', "abc", '"'], max_chars=5) == "abc"
    with pytest.raises(LimitExceededError, match="max_chars=5"):
        parsed(['"', "abcd", '"'], max_chars=5)


def test_an_error_stays_an_error() -> None:
    parser = PartialJSON()
    for _ in range(2):
        with pytest.raises(APIError):
            parser.feed("}")


def renewals(text: str) -> int:
    """How often an open string was renewed."""
    parser, seen, count = PartialJSON(), "", 0
    for char in text:
        shown = parser.feed(char)
        if isinstance(shown, str) and shown is not seen:
            seen, count = shown, count + 1
    return count


def test_a_long_string_is_renewed_a_logarithmic_number_of_times() -> None:
    short, long = renewals('"' + "x" * 2_000), renewals('"' + "x" * 200_000)
    assert long - short < 16 * 7  # a hundredfold is 76 steps of a sixteenth


def test_text_that_is_bytes_is_refused_in_words() -> None:
    data: Any = b'{"a": 1}'
    with pytest.raises(TypeError, match="text must be a str, not bytes"):
        PartialJSON().feed(data)
