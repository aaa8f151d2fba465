"""Replies and the values they carry."""

import json

import pytest

from tokenwire.testing import Received, Reply, chunk, chunks, completion
from tokenwire.testing._script import in_order

REQUEST = Received("GET", "/v1/models", {}, b"", 1)


def test_a_chunk_is_openais():
    assert chunk("Hi", role="assistant", index=1, finish_reason="stop", usage={"total_tokens": 1}) == {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "test-model",
        "choices": [{"index": 1, "delta": {"content": "Hi", "role": "assistant"}, "finish_reason": "stop"}],
        "usage": {"total_tokens": 1},
    }


def test_a_chunk_without_content_or_usage_has_no_such_fields():
    built = chunk()
    assert built["choices"][0]["delta"] == {}
    assert "usage" not in built


def test_chunks_are_the_role_the_pieces_and_the_end():
    built = [item["choices"][0] for item in chunks("Hello!", size=4, finish_reason="length")]
    assert [choice["delta"] for choice in built] == [
        {"content": "", "role": "assistant"},
        {"content": "Hell"},
        {"content": "o!"},
        {},
    ]
    assert [choice["finish_reason"] for choice in built] == [None, None, None, "length"]


def test_a_completion_is_openais():
    built = completion("Hi", refusal=None)
    assert built["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hi", "refusal": None}, "finish_reason": "stop"}
    ]
    assert built["object"] == "chat.completion"
    assert built["usage"]["total_tokens"] == built["usage"]["prompt_tokens"] + built["usage"]["completion_tokens"]
    assert "usage" not in completion(usage=None)


def test_each_kind_of_event_becomes_bytes():
    pieces = list(Reply(events=[{"a": 1}, "Hi", b": comment\n\n"]).pieces())
    assert pieces[0] == b'data: {"a":1}\n\n'
    assert json.loads(pieces[1].removeprefix(b"data: ")) == chunk("Hi")
    assert pieces[2:] == [b": comment\n\n", b"data: [DONE]\n\n"]


def test_done_can_be_left_out():
    assert list(Reply(events=[], done=False).pieces()) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"json": None, "body": b""},
        {"body": b"", "events": []},
        {"json": {}, "events": []},
        {"framing": "gzip"},
        {"cut": "syn"},
        {"cut": "fin", "stall": True},
        {"drip": 0},
        {"delay": -1},
        {"event_delay": -0.1},
    ],
    ids=str,
)
def test_a_reply_that_makes_no_sense_is_refused_where_it_is_written(fields):
    with pytest.raises(ValueError):
        Reply(**fields)


def test_an_event_of_another_type_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="not int"):
        Reply(events=["Hi", 1])  # pyright: ignore[reportArgumentType]


def test_replies_come_in_order_and_the_last_one_repeats():
    answer = in_order(Reply(status=status) for status in (200, 429, 500))
    assert [answer(REQUEST).status for _ in range(5)] == [200, 429, 500, 500, 500]


def test_an_endless_script_is_not_read_to_its_end():
    def replies():
        status = 200
        while True:
            yield Reply(status=status)
            status += 1

    answer = in_order(replies())
    assert [answer(REQUEST).status for _ in range(3)] == [200, 201, 202]


def test_no_reply_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        in_order([])
