"""What continues an answer in LiteLLM's flat form takes the quick way, and comes to what the long way makes of it."""

from typing import Any

import msgspec
import pytest

from tokenwire.llms.handler_items import GivenItems
from tokenwire.llms.handler_source import HandlerSource
from tokenwire.types import Addition, GenericStreamingChunk, ModelResponseStream, TextCompletionResponse

SHAPES = (ModelResponseStream, GenericStreamingChunk, TextCompletionResponse)
LOGPROBS = {"content": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}], "refusal": None}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
CALL = {"index": 0, "function": {"arguments": "1"}}


def flat(text: str = "", **fields: Any) -> dict[str, Any]:
    own = {"text": text, "is_finished": False, "finish_reason": "", "usage": None, "index": 0, "tool_use": None}
    return {**own, **fields}


ITEMS: dict[str, Any] = {
    "reasoning": flat(reasoning_content="r"),
    "no-keys": {"text": "", "reasoning_content": "r"},
    "logprobs": flat("a", logprobs=LOGPROBS),
    "infinite": flat("a", logprobs={"content": [{"token": "a", "logprob": float("-inf")}]}),
    "usage": flat("a", usage=USAGE),
    "other-choice": flat("b", index=1),
    "call": flat(tool_use=CALL),
    "call-of-litellm": flat(
        tool_use={"id": None, "type": "function", "function": {"name": None, "arguments": "1"}, "index": 0}
    ),
    "call-named": flat(tool_use={**CALL, "id": "a", "function": {"name": "f", "arguments": "1"}}),
    "call-of-other-choice": flat(tool_use=CALL, index=1),
    "call-and-text": flat("a", tool_use=CALL),
    "both": flat("a", reasoning_content="r"),
    "seventh-unknown": flat("a", refusal="no"),
    "logprobs-and-more": flat("a", logprobs=LOGPROBS, x=1),
    "logprobs-of-texts": flat("a", logprobs={"tokens": ["a"], "token_logprobs": [None]}),
    "logprobs-unsayable": flat("a", logprobs={"content": [{"token": "a", "logprob": 1j}]}),
    "reasoning-odd": flat(reasoning_content=["r"]),
    "call-typed": flat(tool_use={**CALL, "type": None}),
    "call-elsewhere": flat(tool_use={"function": {"arguments": "1"}}),
    "new-call": flat(tool_use={"id": "b", "function": {"name": "g", "arguments": "{}"}}),
    "call-unknown": flat(tool_use={**CALL, "x": 1}),
    "struct": GenericStreamingChunk(text="a", reasoning_content="r", usage=USAGE),  # type: ignore[arg-type]
    "struct-unknown": GenericStreamingChunk(text="a", x=1),  # type: ignore[call-arg]
    "struct-fields": GenericStreamingChunk(text="a", provider_specific_fields={"x": 1}),
    "usage-details": flat("a", usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 1}}),
    "usage-unknown": flat("a", usage={**USAGE, "x": 1}),
    "usage-text": flat("a", usage={"prompt_tokens": "1"}),
    "unknown": flat("a", x=1),
    "named": flat("a", id="i", model="n"),
    "nothing": flat(),
    "role-late": flat("c", index=2),
    "finish": flat("a", is_finished=True, finish_reason="end_turn"),
    "nulls": {"text": "a", "index": None, "usage": None},
}
OPENING = [
    flat("", tool_use={"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}),
    flat("x"),
    flat("y", index=1),
]


def streamed(shape: Any, item: Any) -> tuple[list[Any], Any]:
    source = HandlerSource(GivenItems([*OPENING, item, item]), "h", "m", shape)
    chunks: list[Any] = []
    while found := source.take():
        chunks += found
    return chunks, source.assembler.response()


def seen(outcome: tuple[list[Any], Any]) -> Any:
    chunks, response = outcome
    dumped = [chunk.model_dump() for chunk in [*chunks, response]]
    for fields in dumped:
        if "choices" in fields:
            fields.update(id="", created=0)
    return dumped


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_a_piece_comes_to_what_the_long_way_makes_of_it(item: Any, shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = repr(item)
    quick = streamed(shape, item)
    monkeypatch.setattr(HandlerSource, "_quick", lambda *_: None)
    assert repr(seen(quick)) == repr(seen(streamed(shape, item)))
    assert repr(item) == before


ADDITIONS = ["reasoning", "no-keys", "logprobs", "usage", "other-choice", "call", "call-of-litellm"]


@pytest.mark.parametrize("name", ITEMS)
def test_additions_come_bare_to_who_takes_them(name: str) -> None:
    """And nothing else does; as chunks they are the same."""
    source, plain = (HandlerSource(GivenItems([*OPENING]), "h", "m", ModelResponseStream) for _ in range(2))
    for each in (source, plain):
        assert each.take()
        each._items = GivenItems([ITEMS[name]])
    source.bare_text = True
    bare, chunks = source.take() or [], plain.take() or []
    assert [type(one) is Addition for one in bare] == [name in ADDITIONS] * len(chunks)
    if name in ADDITIONS:
        assert [one.chunk().choices for one in bare] == [chunk.choices for chunk in chunks]
        assert [one.chunk().usage for one in bare] == [chunk.usage for chunk in chunks]
    assert repr(source.assembler.response()).split("choices", 1)[1] == repr(plain.assembler.response()).split("choices", 1)[1]


@pytest.mark.parametrize("shape", SHAPES[:2], ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("name", ["reasoning", "logprobs", "usage", "other-choice", "call", "struct"])
def test_the_quick_way_is_taken(name: str, shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HandlerSource(GivenItems([*OPENING]), "h", "m", shape)
    assert source.take()
    source._items = GivenItems([ITEMS[name]])
    monkeypatch.setattr(HandlerSource, "_chunks_of", lambda *_: pytest.fail("the long way"))
    assert len(source.take() or ()) == 1
    assert source.had_content


def test_what_a_handler_changes_later_is_not_in_the_answer() -> None:
    logprobs = {"content": [{"token": "a"}], "refusal": None}
    item = flat("a", logprobs=logprobs)

    def items() -> Any:
        yield from OPENING
        yield item
        logprobs["content"] = [{"token": "b"}]
        yield item

    source = HandlerSource(GivenItems([]), "h", "m", GenericStreamingChunk)
    for one in items():
        source._items = GivenItems([one])
        source.take()
        source._ended = False
    response: Any = source.assembler.response()
    assert [entry["token"] for entry in response.choices[0].logprobs["content"]] == ["a", "b"]
    assert msgspec.json.encode(item)
