"""Which piece belongs to which tool call: as each server has it, streamed in every shape, and through handlers."""

from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest
from hypothesis import assume, given, settings, strategies as st

import tokenwire
from tokenwire.types.chat import DeltaFunction, GenericStreamingChunk, ModelResponseStream
from tokenwire.wire.chunks import ChunkDecoder

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Piece: TypeAlias = dict[str, Any]


class Call(NamedTuple):
    id: str | None
    name: str
    arguments: str


def piece(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: str | None = None) -> Piece:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"index": index, "id": id, "function": function or None}
    return {key: value for key, value in fields.items() if value is not None}


def event(*pieces: Piece) -> bytes:
    choice = {"index": 0, "delta": {"tool_calls": list(pieces)}, "finish_reason": None}
    return msgspec.json.encode({"id": "c", "created": 1, "model": "m", "choices": [choice]})


def assembled(pieces: list[Piece], shape: Any = ModelResponseStream) -> tuple[list[Call], list[Any]]:
    """The calls of a stream that sends these, one a chunk; and the chunks."""
    decoder: Any = ChunkDecoder(shape, text=False, model="m")
    chunks = [chunk for part in pieces for chunk in decoder.decode([event(part)])]
    assert decoder.error is None
    found = decoder.assembler.response().choices[0].message.tool_calls or []
    return [Call(call.id, call.function.name, call.function.arguments) for call in found], chunks


each_shape = pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk], ids=["chat", "flat"])

# name: (what is sent, what was meant)
RULES: dict[str, tuple[list[Piece], list[tuple[str | None, str | None, str]]]] = {
    "a name in two pieces": ([piece(0, "a", "get_"), piece(name="weather", arguments="{}")], [("a", "get_weather", "{}")]),
    "a name in pieces with the same id": ([piece(0, "a", "get_", ""), piece(0, "a", "weather", "{}")], [("a", "get_weather", "{}")]),
    "a name in pieces beside arguments": ([piece(0, "a", "get_", '{"c'), piece(name="weather", arguments='":1}')], [("a", "get_weather", '{"c":1}')]),
    "a whole name on each piece": ([piece(0, "a", "f", "{"), piece(0, "a", "f", "}")], [("a", "f", "{}")]),
    "a name in pieces, then whole": ([piece(0, "a", "get_"), piece(name="it"), piece(name="get_it", arguments="{}")], [("a", "get_it", "{}")]),
    "an empty name": ([piece(0, "a", "f", "{"), piece(name="", arguments="}")], [("a", "f", "{}")]),
    "a name that comes late": ([piece(0, "a", None, "{"), piece(name="f", arguments="}")], [("a", "f", "{}")]),
    "a new id on each piece": ([piece(0, "1", "f", ""), piece(0, "2", "", "{"), piece(0, "3", None, "}")], [("1", "f", "{}")]),
    "a new id on each piece, no index": ([piece(None, "1", "f", ""), piece(None, "2", "", "{"), piece(None, "3", None, "}")], [("1", "f", "{}")]),
    "a new id on each piece of two": (
        [piece(0, "1", "f", ""), piece(0, "2", "", "{}"), piece(1, "3", "g", ""), piece(1, "4", "", "{"), piece(1, "5", "", "}")],
        [("1", "f", "{}"), ("3", "g", "{}")],
    ),
    "a new id on each piece, the name on the second": ([piece(0, "1", "", ""), piece(0, "2", "f", "{}")], [("1", "f", "{}")]),
    "an id that comes late": ([piece(0, None, "f", "{"), piece(0, "a", None, "}")], [("a", "f", "{}")]),
    "an id that comes late, with the name": ([piece(0, None, "f", "{"), piece(0, "a", "f", "}")], [("a", "f", "{}")]),
    "every index 0": ([piece(0, "a", "f", "{}"), piece(0, "b", "f", "{}"), piece(0, "c", "g", "[]")], [("a", "f", "{}"), ("b", "f", "{}"), ("c", "g", "[]")]),
    "every index 0, in pieces": (
        [piece(0, "a", "f", ""), piece(arguments="{}"), piece(0, "b", "g", ""), piece(arguments="{"), piece(arguments="}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "every index 0, back to the first": (
        [piece(0, "a", "f", "{"), piece(0, "b", "g", "{}"), piece(0, "a", None, '"x":'), piece(arguments="1}")],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "no index, after a piece with one": (
        [piece(0, "a", "f", "{"), piece(1, "b", "g", "{}"), piece(0, "a", None, '"x":'), piece(None, None, None, "1}")],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "every index 0, no ids": ([piece(0, "", "f", '{"a":1}'), piece(0, "", "f", '{"a":2}'), piece(0, "", "g", "{}")], [(None, "f", '{"a":1}'), (None, "f", '{"a":2}'), (None, "g", "{}")]),
    "every index 0, one id": ([piece(0, "a", "f", "{}"), piece(0, "a", "g", "{}")], [("a", "f", "{}"), ("a", "g", "{}")]),
    "every index 0, no ids, in pieces": (
        [piece(0, None, "f", '{"a"'), piece(arguments=":1}"), piece(0, None, "f", '{"a"'), piece(arguments=":2}")],
        [(None, "f", '{"a":1}'), (None, "f", '{"a":2}')],
    ),
    "every index -1": ([piece(-1, "a", "f", "{"), piece(-1, None, None, "}"), piece(-1, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
    "from 1 on": ([piece(1, "a", "f", "{}"), piece(2, "b", "g", "{"), piece(2, None, None, "}")], [("a", "f", "{}"), ("b", "g", "{}")]),
    "out of order": ([piece(3, "b", "g", "{"), piece(0, "a", "f", "{}"), piece(3, None, None, "}")], [("a", "f", "{}"), ("b", "g", "{}")]),
    "no index on later pieces": ([piece(0, "a", "f", "{"), piece(None, None, None, "}"), piece(1, "b", "g", "{"), piece(None, None, None, "}")], [("a", "f", "{}"), ("b", "g", "{}")]),
    "no index on first pieces": (
        [piece(None, "a", "f", ""), piece(None, "b", "g", ""), piece(0, None, None, "{}"), piece(1, None, None, "[]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "no index, ids on each piece": (
        [piece(None, "a", "f", "{"), piece(None, "b", "g", "["), piece(None, "a", None, "}"), piece(None, "b", "", "]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "neither index nor id": ([piece(None, None, "f"), piece(None, None, "g", "{"), piece(None, None, None, "}")], [(None, "f", ""), (None, "g", "{}")]),
    "an index of its own for each piece": ([piece(0, "a", "f", "{"), piece(1, "a", None, "}")], [("a", "f", "{}")]),
    "arguments once more": ([piece(0, "a", "f", '{"a":'), piece(arguments="1}"), piece(arguments='{"a":1}')], [("a", "f", '{"a":1}')]),
    "arguments once more, with id and name": ([piece(0, "a", "f", "{"), piece(arguments="}"), piece(0, "a", "f", "{}")], [("a", "f", "{}")]),
    "arguments whole, and again": ([piece(0, None, "f", '{"a":1}'), piece(0, None, "f", '{"a":1}')], [(None, "f", '{"a":1}')]),
    "arguments with all before them": ([piece(0, "a", "f", '{"a'), piece(arguments='{"a":'), piece(arguments='{"a":1}')], [("a", "f", '{"a":1}')]),
    "arguments that only look repeated": ([piece(0, "a", "f", '{"a":"xx'), piece(arguments='xx"}')], [("a", "f", '{"a":"xxxx"}')]),
    "text that is no JSON": ([piece(0, "a", "f", "ab"), piece(arguments="ab")], [("a", "f", "abab")]),
    "arguments that were cut": ([piece(0, "a", "f", '{"code":"{'), piece(arguments="{}")], [("a", "f", '{"code":"{{}')]),
}  # fmt: skip


@each_shape
@pytest.mark.parametrize("pieces, expected", RULES.values(), ids=RULES)
def test_a_rule(pieces: list[Piece], expected: list[Any], shape: Any) -> None:
    found, _ = assembled(pieces, shape)
    assert found == expected


@pytest.mark.parametrize("pieces, expected", RULES.values(), ids=RULES)
def test_flat_pieces_show_the_number_of_their_call(pieces: list[Piece], expected: list[Any]) -> None:
    """So whoever puts them together by that alone gets the right calls."""
    _, chunks = assembled(pieces, GenericStreamingChunk)
    by_index: dict[int, list[str]] = {}
    for sent, chunk in zip(pieces, chunks, strict=True):
        assert chunk.raw == event(sent)
        by_index.setdefault(chunk.tool_use.index, []).append(chunk.tool_use.function.arguments or "")
    assert len(by_index) == len(expected)
    assert min(by_index) >= 0
    for number, (_, _, arguments) in zip(sorted(by_index), expected, strict=True):
        assert "".join(by_index[number]).endswith(arguments)


@pytest.mark.parametrize("pieces, expected", RULES.values(), ids=RULES)
def test_a_server_s_own_chunks_are_shown_as_they_came(pieces: list[Piece], expected: list[Any]) -> None:
    _, chunks = assembled(pieces)
    for sent, chunk in zip(pieces, chunks, strict=True):
        (call,) = chunk.choices[0].delta.tool_calls
        assert (call.index, call.id) == (sent.get("index"), sent.get("id"))


def test_several_pieces_in_one_chunk() -> None:
    decoder: Any = ChunkDecoder(GenericStreamingChunk, text=False, model="m")
    chunks = decoder.decode([event(piece(0, "a", "f", "{}"), piece(0, "b", "g", "{}"), piece(None, "c", "h", "{}"))])
    assert [(chunk.tool_use.id, chunk.tool_use.index) for chunk in chunks] == [("a", 0), ("b", 1), ("c", 2)]


def test_two_choices_number_their_calls_apart() -> None:
    decoder: Any = ChunkDecoder(GenericStreamingChunk, text=False, model="m")
    delta = {"tool_calls": [piece(0, "a", "f", "{}")]}
    data = {"id": "c", "choices": [{"index": index, "delta": delta} for index in range(2)]}
    chunks = decoder.decode([msgspec.json.encode(data)])
    assert [(chunk.index, chunk.tool_use.index) for chunk in chunks] == [(0, 0), (1, 0)]


def test_calls_of_custom_tools_are_told_apart() -> None:
    pieces: list[Piece] = [
        {"index": 0, "id": id, "type": "custom", "custom": {"name": name, "input": text}}
        for id, name, text in (("a", "sh", "l"), ("a", "", "s"), ("b", "py", "1"), ("x", "", "2"))
    ]
    decoder: Any = ChunkDecoder(ModelResponseStream, text=False, model="m")
    decoder.decode(list(map(event, pieces)))
    found = decoder.assembler.response().choices[0].message.tool_calls
    assert [(call.id, call.type, call.custom) for call in found] == [
        ("a", "custom", {"name": "sh", "input": "ls"}),
        ("b", "custom", {"name": "py", "input": "12"}),
    ]


def test_many_looks_at_arguments_do_not_cost_quadratic_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenwire.wire import tool_calls

    looks: list[str] = []
    monkeypatch.setattr(tool_calls, "_is_object", lambda text: looks.append(text))
    calls = tool_calls.ToolCalls()
    decoder = msgspec.json.Decoder(tool_calls.ChatCompletionDeltaToolCall)
    for number in range(1_000):
        calls.add(decoder.decode(msgspec.json.encode(piece(0, "a", "f", f'{{"{number}":'))), {})
    assert len(looks) < 20


# Handlers.


class Yields(tokenwire.CustomLLM):
    """Yields what it was made with."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for item in self.items:
            yield item


def flat(call: Piece) -> dict[str, Any]:
    return {"text": "", "is_finished": False, "finish_reason": "", "usage": None, "index": 0, "tool_use": call}


def in_a_delta(call: Piece) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


END = {"text": "", "is_finished": True, "finish_reason": "tool_calls", "usage": None, "index": 0}


def handled(items: list[Any], call: Any) -> tuple[list[tuple[int, str | None]], list[tuple[str | None, str]]]:
    """The indexes and names that a caller sees in the pieces, and the calls in the end."""
    tokenwire.register("calls-of-handlers", Yields([*items, END]))
    stream = call("calls-of-handlers/m", [{"role": "user", "content": "x"}], stream=True)
    seen: list[tuple[int, str | None]] = []
    for chunk in stream:
        flat_call = getattr(chunk, "tool_use", None)
        calls = [flat_call] if flat_call else (chunk.choices[0].delta.tool_calls or []) if "choices" in chunk else []
        seen += [(part.index, part.function.name) for part in calls]
    found = stream.response.choices[0].message.tool_calls
    return seen, [(part.function.name, part.function.arguments) for part in found]


@pytest.mark.parametrize("made", [flat, in_a_delta])
@pytest.mark.parametrize("call", [tokenwire.completion, tokenwire.streaming], ids=["chat", "flat"])
def test_a_handler_s_calls_without_index_are_numbered(made: Any, call: Any) -> None:
    calls = [piece(None, "a", "f", "{}"), piece(None, "b", "f", "[1]"), piece(None, "c", "g", "{}")]
    seen, found = handled(list(map(made, calls)), call)
    assert seen == [(0, "f"), (1, "f"), (2, "g")]
    assert found == [("f", "{}"), ("f", "[1]"), ("g", "{}")]


def test_a_handler_s_calls_without_index_and_id_are_numbered() -> None:
    calls = [flat(piece(None, None, "f", "{}")), flat(piece(None, None, "f", "{}")), flat(piece(None, None, "g", ""))]
    seen, found = handled(calls, tokenwire.completion)
    assert seen == [(0, "f"), (1, "f"), (2, "g")]
    assert found == [("f", "{}"), ("f", "{}"), ("g", "")]


def test_a_handler_s_own_objects_are_not_changed() -> None:
    item = GenericStreamingChunk(**flat(piece(None, "b", "g", "{}")))
    seen, _ = handled([flat(piece(None, "a", "f", "{}")), item], tokenwire.streaming)
    assert seen == [(0, "f"), (1, "g")]
    assert item.tool_use is not None
    assert item.tool_use.index is None


def test_a_handler_s_arguments_may_be_an_object() -> None:
    call: Any = {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
    _, found = handled([flat(call), in_a_delta({**call, "id": "b"})], tokenwire.completion)
    assert found == [("f", '{"x":1}')] * 2
    function: Any = DeltaFunction(arguments={"x": 1})  # type: ignore[arg-type]
    assert function.arguments == '{"x":1}'


# Any calls, cut into pieces in the manner of any server, come back.

TEXTS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3)
ARGUMENTS = TEXTS.map(lambda fields: msgspec.json.encode(fields).decode())
NAMES = st.text("abc_", min_size=1, max_size=6)


@st.composite
def lists_of_calls(draw: st.DrawFn) -> list[Call]:
    pairs = draw(st.lists(st.tuples(NAMES, ARGUMENTS), min_size=1, max_size=4))
    return [Call(f"call-{number}", name, arguments) for number, (name, arguments) in enumerate(pairs)]


def cut(draw: Draw, text: str) -> list[str]:
    places = sorted(set(draw(st.lists(st.integers(1, len(text)), max_size=4))))
    return [part for part in map(slice, [0, *places], [*places, None]) if text[part] for part in [text[part]]]


def in_any_order(draw: Draw, queues: list[list[Piece]]) -> list[Piece]:
    order = draw(st.permutations([number for number, queue in enumerate(queues) for _ in queue]))
    iterators = [iter(queue) for queue in queues]
    return [next(iterators[number]) for number in order]


def one_after_another(draw: Draw, queues: list[list[Piece]]) -> list[Piece]:
    return [part for queue in queues for part in queue]


def openai(draw: Draw, number: int, call: Call) -> list[Piece]:
    return [piece(number, call.id, call.name, ""), *(piece(number, arguments=part) for part in cut(draw, call.arguments))]


def from_one(draw: Draw, number: int, call: Call) -> list[Piece]:
    return openai(draw, number + 1, call)


def all_on_each(draw: Draw, number: int, call: Call) -> list[Piece]:
    return [piece(number, call.id, call.name, part) for part in cut(draw, call.arguments)]


def empty_on_each(draw: Draw, number: int, call: Call) -> list[Piece]:
    first, *rest = openai(draw, number, call)
    return [first, *({**part, "id": "", "type": "function", "function": {"name": "", **part["function"]}} for part in rest)]


def names_in_pieces(draw: Draw, number: int, call: Call) -> list[Piece]:
    first, *names = cut(draw, call.name)
    sofar = first
    for part in names:
        assume(part != sofar)  # or it says the name once more
        sofar += part
    pieces = [piece(number, name=part) for part in names] + [
        piece(number, arguments=part) for part in cut(draw, call.arguments)
    ]
    return [piece(number, call.id, first, ""), *pieces]


def new_id_on_each(draw: Draw, number: int, call: Call) -> list[Piece]:
    parts = cut(draw, call.arguments)
    later = (piece(number, f"{call.id}-{place}", draw(st.sampled_from(["", None])), part) for place, part in enumerate(parts))
    return [piece(number, call.id, call.name, ""), *later]


def index_0(draw: Draw, number: int, call: Call) -> list[Piece]:
    return openai(draw, 0, call)


def index_below_0(draw: Draw, number: int, call: Call) -> list[Piece]:
    return openai(draw, -1, call)


def no_index(draw: Draw, number: int, call: Call) -> list[Piece]:
    return [{key: value for key, value in part.items() if key != "index"} for part in openai(draw, 0, call)]


def ids_alone(draw: Draw, number: int, call: Call) -> list[Piece]:
    return [{**part, "id": call.id} for part in no_index(draw, number, call)]


def late_id(draw: Draw, number: int, call: Call) -> list[Piece]:
    first, *rest = openai(draw, number, call)
    return [{**first, "id": ""}, *rest[:-1], {**rest[-1], "id": call.id}]


def once_more(draw: Draw, number: int, call: Call) -> list[Piece]:
    return [*openai(draw, number, call), piece(number, arguments=call.arguments)]


def cumulative(draw: Draw, number: int, call: Call) -> list[Piece]:
    parts = cut(draw, call.arguments)
    grown = ["".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return [piece(number, call.id, call.name, ""), *(piece(number, arguments=part) for part in grown)]


def whole_at_0(draw: Draw, number: int, call: Call) -> list[Piece]:
    return [piece(0, call.id, call.name, call.arguments)]


def index_on_the_first(draw: Draw, number: int, call: Call) -> list[Piece]:
    first, *rest = openai(draw, number, call)
    return [first, *({"function": part["function"]} for part in rest)]


MANNERS = [
    (openai, in_any_order), (from_one, in_any_order), (all_on_each, in_any_order), (empty_on_each, in_any_order),
    (names_in_pieces, in_any_order), (new_id_on_each, in_any_order), (ids_alone, in_any_order), (late_id, in_any_order),
    (once_more, in_any_order), (cumulative, in_any_order), (index_0, one_after_another), (index_below_0, one_after_another),
    (no_index, one_after_another), (whole_at_0, one_after_another), (index_on_the_first, one_after_another),
]  # fmt: skip


@each_shape
@pytest.mark.parametrize("manner, order", MANNERS, ids=[manner.__name__ for manner, _ in MANNERS])
@settings(max_examples=20)  # of each of thirty
@given(data=st.data())
def test_calls_cut_in_the_manner_of_a_server_come_back(manner: Any, order: Any, shape: Any, data: st.DataObject) -> None:
    calls = data.draw(lists_of_calls())
    queues = [manner(data.draw, number, call) for number, call in enumerate(calls)]
    pieces = order(data.draw, queues)
    if order is in_any_order and manner is not ids_alone:  # by index
        expected = calls
    else:  # by their beginning
        begun = dict.fromkeys(part["id"] for part in pieces if part.get("id"))
        expected = sorted(calls, key=lambda call: list(begun).index(call.id))
    found, _ = assembled(pieces, shape)
    assert found == expected


@given(st.data())
def test_whole_calls_without_ids_come_back(data: st.DataObject) -> None:
    calls = [call._replace(id=None) for call in data.draw(lists_of_calls())]
    assume(all(one != other for one, other in pairwise(calls)))  # or the latter says the former once more
    index = data.draw(st.sampled_from([0, None]))
    found, _ = assembled([piece(index, data.draw(st.sampled_from(["", None])), call.name, call.arguments) for call in calls])
    assert found == calls
