"""An endpoint that speaks another API than the model's name says: an error that says so, not an answer or a cut stream."""

import json
from typing import Any

import pytest

import tokenwire
from tokenwire.testing import Endpoint, Reply, chunks

MESSAGES = [{"role": "user", "content": "Hi"}]


def events_of(*fields: dict[str, Any]) -> Reply:
    text = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in fields)
    return Reply(body=text.encode(), headers={"content-type": "text/event-stream"})


SPOKEN = {
    "openai": Reply(events=chunks("Hello")),
    "anthropic": events_of(
        {"type": "message_start", "message": {"id": "a", "type": "message", "role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_stop"},
    ),
    "responses": events_of(
        {"type": "response.created", "response": {"id": "a", "status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", "item_id": "b", "output_index": 0, "content_index": 0, "delta": "Hello"},
        {"type": "response.completed", "response": {"id": "a", "status": "completed", "output": []}},
    ),
}


@pytest.mark.parametrize(
    "asked, spoken, words",
    [
        ("openai", "anthropic", "it has no choices"),
        ("openai", "responses", "it has no choices"),
        ("anthropic", "openai", 'an event of chat completions: call the model as "openai/...", not "anthropic/..."'),
        ("responses", "openai", 'an event of chat completions: call the model as "openai/...", not "responses/..."'),
    ],
)
def test_a_stream_of_another_api(asked: str, spoken: str, words: str) -> None:
    with Endpoint(SPOKEN[spoken]) as endpoint, pytest.raises(tokenwire.APIResponseValidationError) as caught:
        list(tokenwire.streaming(f"{asked}/m", MESSAGES, api_base=endpoint.url))
    assert words in str(caught.value)
    assert len(endpoint.requests) == 1  # asking again would not help
