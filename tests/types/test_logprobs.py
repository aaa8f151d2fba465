"""Log probabilities are objects, made when somebody looks; keys work too, and what is odd is readable as it came."""

import copy
import pickle
from typing import Any

import msgspec
import pytest

from tokenwire import ModelResponse, ModelResponseStream, StreamingChoices, TextCompletionResponse
from tokenwire.types import (
    ChatCompletionTokenLogprob,
    ChoiceLogprobs,
    GenericStreamingChunk,
    Logprobs,
    TopLogprob,
    logprobs as module,
)
from tokenwire.wire.bodies import decode_body
from tokenwire.wire.chunks import ChunkDecoder

TOP = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
ENTRY = {**TOP, "top_logprobs": [TOP, {"token": " \ud83d", "logprob": -2.5, "bytes": None}]}
CHAT: dict[str, Any] = {"content": [{**ENTRY, "top_logprobs": [TOP]}], "refusal": None}
TEXT = {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": [{"a": -1.0}], "text_offset": [0]}


def body(logprobs: Any, cls: Any = ModelResponse) -> Any:
    content = {"text": "a"} if cls is TextCompletionResponse else {"message": {"content": "a"}}
    data = msgspec.json.encode({"id": "c", "choices": [{"index": 0, "finish_reason": "stop", **content, "logprobs": logprobs}]})
    return decode_body(data, cls).choices[0]


def chunk(logprobs: Any, shape: Any = ModelResponseStream, count: int = 1) -> tuple[list[Any], Any]:
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": logprobs}
    decoder = ChunkDecoder(shape, text=False, model="m")
    data = msgspec.json.encode({"id": "c", "model": "m", "choices": [choice]})
    found = [part for _ in range(count) for part in decoder.decode([data])]
    response: Any = decoder.assembler.response()
    return found, response.choices[0]


def test_a_whole_chat_completion_s_are_objects() -> None:
    found = body(CHAT).logprobs
    assert isinstance(found, ChoiceLogprobs)
    assert found.content is not None
    (entry,) = found.content
    assert isinstance(entry, ChatCompletionTokenLogprob)
    assert (entry.token, entry.logprob, entry.bytes) == ("Hi", -0.5, [72, 105])
    assert entry.top_logprobs is not None
    assert isinstance(entry.top_logprobs[0], TopLogprob)
    assert entry.top_logprobs[0].logprob == -0.5
    assert found["content"][0]["top_logprobs"][0]["token"] == "Hi"
    assert found.refusal is None


@pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk])
def test_those_of_chunks_and_of_what_they_come_to_are_objects(shape: Any) -> None:
    chunks, choice = chunk(CHAT, shape, count=3)
    for part in chunks:
        own = part if shape is GenericStreamingChunk else part.choices[0]
        assert own.logprobs.content[0].token == "Hi"
    assert [entry.token for entry in choice.logprobs.content] == ["Hi"] * 3
    assert choice.logprobs.refusal is None


def test_a_text_completion_s_are_lists() -> None:
    found = body(TEXT, TextCompletionResponse).logprobs
    assert isinstance(found, Logprobs)
    assert (found.tokens, found.token_logprobs, found.text_offset) == (["a"], [None], [0])
    assert found["top_logprobs"] == [{"a": -1.0}]


def test_a_text_completion_s_may_have_the_form_of_a_chat_s() -> None:
    found = body({"content": [{"id": 7, "token": "a", "bytes": [97], "logprob": -1}]}, TextCompletionResponse).logprobs
    assert (found.content[0].token, found.content[0].id, found.content[0]["id"]) == ("a", 7, 7)


@pytest.mark.parametrize("cls", [ModelResponse, TextCompletionResponse])
@pytest.mark.parametrize("odd", [[], [1, "a"], "text", 7, True, {"x": 1}, {}])
def test_what_is_odd_is_readable_as_it_came(odd: Any, cls: Any) -> None:
    found = body(odd, cls).logprobs
    assert found == odd
    if isinstance(odd, dict) and odd:
        assert found["x"] == 1


@pytest.mark.parametrize(
    "entry, read",
    [
        ({"logprob": -1.0}, lambda entry: entry.token is None and entry.logprob == -1.0),
        ({"token": "a", "bytes": None}, lambda entry: entry.bytes is None),
        ({"token": 7, "top_logprobs": {"a": -1}}, lambda entry: entry.token == 7),
        ({"token": "a", "id": 5}, lambda entry: entry.id == 5 and entry["id"] == 5),
        ("a", lambda entry: entry == "a"),
        (None, lambda entry: entry is None),
    ],
)
def test_odd_entries_are_readable(entry: Any, read: Any) -> None:
    found = body({"content": [entry, ENTRY | {"top_logprobs": []}]}).logprobs
    assert read(found.content[0])
    assert found.content[1].token == "Hi"


def test_null_is_none() -> None:
    assert body(None).logprobs is None
    chunks, choice = chunk(None, count=2)
    assert chunks[0].choices[0].logprobs is choice.logprobs is None


@pytest.mark.parametrize("token", [b'"\\ud83d"', b'"\xff"'])
def test_a_token_may_be_half_a_letter(token: bytes) -> None:
    data = (
        b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":%b}]}}]}' % token
    )
    decoder = ChunkDecoder(ModelResponseStream, text=False, model="m")
    chunks: Any = decoder.decode([data, data])
    assert decoder.error is None
    assert len(chunks[0].choices[0].logprobs.content[0].token) == 1
    response: Any = decoder.assembler.response()
    assert len(response.choices[0].logprobs.content) == 2


def test_nothing_is_decoded_before_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_decode_chat", "json_of"):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("nobody has looked"))
    chunks, choice = chunk(CHAT, count=20)
    assert len(chunks) == 20
    assert choice.message.content == "a" * 20


def test_they_are_equal_copied_and_pickled() -> None:
    for looked_at in (False, True):
        choice = body(CHAT)
        if looked_at:
            assert choice.logprobs.content
        for same in (copy.copy(choice), copy.deepcopy(choice), pickle.loads(pickle.dumps(choice)), body(CHAT)):
            assert same == choice
            assert same.logprobs.content[0].token == "Hi"
        assert choice.model_dump()["logprobs"] == CHAT
        assert choice.logprobs == CHAT
        assert choice.logprobs != {**CHAT, "content": []}


def test_they_can_be_given_and_set() -> None:
    choice: Any = StreamingChoices(logprobs=CHAT)
    assert choice.logprobs.content[0].top_logprobs[0].token == "Hi"
    choice.logprobs = None
    assert choice.logprobs is None
    choice["logprobs"] = ChoiceLogprobs(content=[ChatCompletionTokenLogprob(token="x")])
    entries: Any = CHAT["content"]
    assert entries[0]["token"] == "Hi"
    assert CHAT["content"][0]["token"] == "Hi"
