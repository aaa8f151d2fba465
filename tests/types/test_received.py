"""Records as they were received: nothing a server sent is lost, and nothing of it outlives its record."""

import copy
import gc
import pickle
import sys
from typing import Any

import msgspec
import pytest

from tokenwire.testing import chunk, completion
from tokenwire.types import GenericStreamingChunk, ModelResponse, ModelResponseStream, _source
from tokenwire.wire.bodies import decode_body
from tokenwire.wire.chunks import ChunkDecoder


def received(**fields: Any) -> ModelResponse:
    """A completion as it is decoded from a server's body."""
    body = msgspec.json.encode(completion("Hi", **fields.pop("message", {})) | fields)
    return decode_body(body, ModelResponse)


def decoded(shape: Any, *events: dict[str, Any]) -> list[Any]:
    """Chunks as they are decoded from a server's events."""
    decoder = ChunkDecoder(shape, text=False, model="m")
    return decoder.decode([msgspec.json.encode(event) for event in events])


def test_fields_that_no_struct_names_stay_reachable() -> None:
    response = received(x_region="eu", message={"x_mood": "fine"}, usage={"total_tokens": 3, "x_joules": 5})

    assert response["x_region"] == response.get("x_region") == response.x_region == "eu"  # type: ignore[attr-defined]
    assert response.provider_specific_fields == {"x_region": "eu"}
    message = response.choices[0].message
    assert (message["x_mood"], message.provider_specific_fields) == ("fine", {"x_mood": "fine"})
    assert "x_mood" in message
    assert response.usage is not None
    assert response.usage["x_joules"] == 5
    dumped = response.model_dump()
    assert dumped["x_region"] == "eu"
    assert dumped["provider_specific_fields"] is None
    assert dumped["choices"][0]["message"]["x_mood"] == "fine"
    assert dumped["usage"]["x_joules"] == 5


def test_unknown_fields_of_every_choice() -> None:
    choices = [{"index": index, "message": {"content": "Hi", "x": index}, "y": index} for index in range(3)]
    response = received(choices=choices)

    assert [choice["y"] for choice in response.choices] == [0, 1, 2]
    assert [choice.message["x"] for choice in response.choices] == [0, 1, 2]


def test_what_the_server_left_out_has_no_unknown_fields() -> None:
    """The last chunk of some servers has no delta, and a filtered answer no message."""
    ending = {"index": 0, "finish_reason": "content_filter"}
    [piece] = decoded(ModelResponseStream, {"id": "1", "choices": [ending]})
    response = received(choices=[ending])

    for left_out in (piece.choices[0].delta, response.choices[0].message):
        assert left_out.provider_specific_fields is None
        assert "x" not in left_out
        assert left_out.get("x") is None
    assert piece.model_dump()["choices"][0]["delta"]["content"] is None
    assert response.model_dump()["choices"][0]["message"]["content"] is None


def test_a_dump_decodes_its_document_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records it has: or a thousand embeddings would take minutes."""
    choices = [{"index": index, "message": {"content": "Hi", "x": index}, "y": index} for index in range(30)]
    response = received(choices=choices)
    decode, decoded = _source._decode_json, []
    monkeypatch.setattr(_source, "_decode_json", lambda data: decoded.append(data) or decode(data))

    dumped = response.model_dump()
    assert [(choice["y"], choice["message"]["x"]) for choice in dumped["choices"]] == [(index, index) for index in range(30)]
    assert len(decoded) == 1


def test_raw_is_what_was_sent() -> None:
    response = received(x_region="eu")

    assert response.raw is not None
    assert msgspec.json.decode(response.raw)["x_region"] == "eu"
    assert ModelResponse().raw is None


def test_numbers_and_ids_are_kept_as_sent() -> None:
    response = received(id=7, created=1699290237.408061)

    assert (response.id, response.created) == (7, 1699290237.408061)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_both_names_of_reasoning(name: str) -> None:
    delta: Any = {name: "hm"}
    event = chunk(**delta)

    assert received(message=delta).choices[0].message.reasoning_content == "hm"
    [piece] = decoded(ModelResponseStream, event)
    assert piece.choices[0].delta.reasoning_content == "hm"
    [flat] = decoded(GenericStreamingChunk, event)
    assert flat.reasoning_content == "hm"


@pytest.mark.parametrize("position", [0, 1, 5], ids=["first", "second", "on the hot path"])
def test_chunks_keep_what_was_sent(position: int) -> None:
    events = [chunk("Hi", x_mood=index) | {"x_region": index} for index in range(6)]

    piece = decoded(ModelResponseStream, *events)[position]
    assert piece["x_region"] == position
    assert piece.provider_specific_fields == {"x_region": position}
    assert piece.choices[0].delta["x_mood"] == position
    assert piece.choices[0].delta.provider_specific_fields == {"x_mood": position}
    assert msgspec.json.decode(piece.raw) == events[position]
    assert piece.model_dump()["choices"][0]["delta"]["x_mood"] == position

    flat = decoded(GenericStreamingChunk, *events)[position]
    assert (flat.text, flat.provider_specific_fields) == ("Hi", {"x_mood": position})
    assert msgspec.json.decode(flat.raw) == events[position]


@pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk])
def test_chunks_twins(shape: Any) -> None:
    for piece in decoded(shape, chunk("Hi", x_mood=1), chunk("Ho", x_mood=2)):
        for twin in (pickle.loads(pickle.dumps(piece)), copy.copy(piece), copy.deepcopy(piece)):
            assert twin == piece
            assert twin.raw == piece.raw
            assert twin.provider_specific_fields == piece.provider_specific_fields
            assert twin.model_dump() == piece.model_dump()


def test_a_responses_twins_know_the_call() -> None:
    response = received(x_region="eu")
    response._hidden_params["region_name"] = "eu"

    for twin in (pickle.loads(pickle.dumps(response)), copy.deepcopy(response)):
        assert twin == response
        assert twin.raw == response.raw
        assert twin._hidden_params == {"region_name": "eu"}
        assert twin["x_region"] == "eu"
        assert twin.choices[0].message.model_dump() == response.choices[0].message.model_dump()


def test_the_callers_own_fields_win_over_unknown_ones() -> None:
    message = received(message={"x_mood": "fine"}).choices[0].message
    message.provider_specific_fields = {"mine": 1}

    assert message.provider_specific_fields == {"mine": 1}
    assert message.model_dump()["provider_specific_fields"] == {"mine": 1}


# Memory


def test_hidden_slots_are_released() -> None:
    """The bytes behind a record live as long as the record: msgspec frees slots that a plain base class has as well."""
    data = msgspec.json.encode(completion("Hi") | {"x": 1})
    sentinel = object()
    before = sys.getrefcount(data), sys.getrefcount(sentinel)

    for _ in range(100):
        response = decode_body(data, ModelResponse)
        response._hidden_params["sentinel"] = sentinel
        response.choices[0].message.get("x_nothing")
        copy.copy(response)
        del response

    assert (sys.getrefcount(data), sys.getrefcount(sentinel)) == before


@pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk])
def test_a_chunks_bytes_are_released_with_it(shape: Any) -> None:
    events = [msgspec.json.encode(chunk("Hi", x=index)) for index in range(100)]
    before = [sys.getrefcount(event) for event in events]
    decoder = ChunkDecoder(shape, text=False, model="m")

    pieces = decoder.decode(list(events))
    assert [piece.raw for piece in pieces] == events
    del pieces

    assert [sys.getrefcount(event) for event in events] == before


def test_records_need_no_garbage_collector() -> None:
    """They are freed at once, by their last reference: gc=False makes them cheap and must not make them leak."""

    def use_many() -> int:
        for _ in range(100):
            response = received(x=1, usage={"total_tokens": 1})
            pickle.loads(pickle.dumps(response))
            copy.deepcopy(response).model_dump(exclude_unset=True)
            del response
        return sys.getallocatedblocks()

    use_many()
    gc.collect()  # what is made once for each class
    gc.disable()
    try:
        for _ in range(4):  # fills the free lists, which the collector empties
            use_many()
        before = use_many()
        assert use_many() - before < 300
        assert gc.collect() == 0
    finally:
        gc.enable()
