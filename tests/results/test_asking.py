"""How an object is asked for: by schema or in the prompt, again where it does not fit, of others, of many; and what is known of its call."""

import dataclasses
import pickle
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

import tokenwire
from tokenwire import (
    AsyncClient,
    BadRequestError,
    CustomLLM,
    Gate,
    InternalServerError,
    ModelResponse,
    OutputIncompleteError,
    OutputRefusedError,
    OutputValidationError,
)
from tokenwire.testing import Endpoint, Reply, chunks, completion

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


POINT = '{"x": 1, "y": 2}'
MESSAGES = [{"role": "user", "content": "Where?"}]


def asked(endpoint: Endpoint, number: int = 0) -> dict[str, Any]:
    return endpoint.requests[number].json()


# Modes.


def test_the_schema_goes_into_response_format_where_nobody_says_otherwise() -> None:
    with Endpoint(Reply(text=POINT)) as endpoint:
        for keywords in ({}, {"json_mode": "schema"}):
            own: dict[str, Any] = {"api_base": endpoint.url, "response_format": Point, **keywords}
            assert tokenwire.completion("openai/m", MESSAGES, **own).choices[0].message.parsed == Point(1, 2)
    for number in range(2):
        assert asked(endpoint, number)["response_format"]["type"] == "json_schema"
        assert asked(endpoint, number)["messages"] == MESSAGES
        assert "json_mode" not in asked(endpoint, number)


def test_any_object_with_the_schema_in_the_prompt() -> None:
    messages = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    with Endpoint(Reply(text=POINT)) as endpoint:
        response = tokenwire.completion("openai/m", messages, api_base=endpoint.url, response_format=Point, json_mode="object")
    assert response.choices[0].message.parsed == Point(1, 2)
    assert asked(endpoint)["response_format"] == {"type": "json_object"}
    system, user = asked(endpoint)["messages"]
    assert system == messages[0]
    assert user["content"].startswith("Where?\n\nAnswer with one JSON object")
    assert '"x":{"type":"integer"}' in user["content"]
    assert messages[1]["content"] == "Where?"


@pytest.mark.parametrize(
    "answer",
    [
        POINT,
        f"```json\n{POINT}\n```",
        f"Here you are:\n\n```\n{POINT}\n```\nAnything else?",
        f"With {{x}} as the first coordinate: {POINT}",
        f"{POINT} {{that's all}}",
        f'```python\nf({{"x": None}})\n```\n```json\n{POINT}\n```',
    ],
)
async def test_the_prompt_alone_and_what_stands_around_the_answer(answer: str) -> None:
    with Endpoint(lambda request: Reply(text=answer)) as endpoint:
        own: dict[str, Any] = {"api_base": endpoint.url, "response_format": Point, "json_mode": "prompt"}
        response = await tokenwire.acompletion("openai/m", MESSAGES, **own)
        stream = await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **own)
        assert (await stream.collect()).choices[0].message.parsed == Point(1, 2)  # type: ignore[union-attr]
    assert response.choices[0].message.parsed == Point(1, 2)
    assert response.choices[0].message.content == answer
    assert "response_format" not in asked(endpoint)
    (user,) = asked(endpoint)["messages"]
    assert "JSON schema" in user["content"]


@pytest.mark.parametrize(
    "messages, place",
    [
        ([{"role": "user", "content": [{"type": "text", "text": "Where?"}]}], 0),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "tool", "content": "c"}], 0),
        ([{"role": "system", "content": "a"}], 1),
    ],
)
def test_the_instruction_is_part_of_what_the_user_said_last(messages: list[Any], place: int) -> None:
    with Endpoint(Reply(text=POINT)) as endpoint:
        tokenwire.completion("openai/m", messages, api_base=endpoint.url, response_format=Point, json_mode="prompt")
    sent = asked(endpoint)["messages"]
    assert ["JSON schema" in str(message["content"]) for message in sent] == [number == place for number in range(len(sent))]
    assert sent[place]["role"] == "user"


async def test_partials_skip_what_stands_before_an_answer() -> None:
    with Endpoint(Reply(text=f"Sure:\n```json\n{POINT}\n```")) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, json_mode="prompt")
        partials = [partial async for partial in stream.partials()]
    assert partials[-1].parsed == Point(1, 2)


@pytest.mark.parametrize("mode", ["schema", "object"])
def test_elsewhere_an_answer_is_json_alone(mode: str) -> None:
    with Endpoint(Reply(text=f"```json\n{POINT}\n```")) as endpoint:
        keywords: dict[str, Any] = {"api_base": endpoint.url, "response_format": Point, "json_mode": mode}
        response = tokenwire.completion("openai/m", MESSAGES, **keywords)
    with pytest.raises(OutputValidationError, match="malformed"):
        _ = response.choices[0].message.parsed


def test_what_is_wrong_with_an_answer_in_fences_is_said() -> None:
    with Endpoint(Reply(text='I think:\n```json\n{"x": "one"}\n```')) as endpoint:
        response = tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, json_mode="prompt")
    with pytest.raises(OutputValidationError) as caught:
        _ = response.choices[0].message.parsed
    assert caught.value.path == "x"


def test_a_cut_answer_in_fences() -> None:
    body = completion('Here:\n```json\n{"x": 1, "y', finish_reason="length")
    with Endpoint(Reply(json=body)) as endpoint:
        response = tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, json_mode="prompt")
    with pytest.raises(OutputIncompleteError) as caught:
        _ = response.choices[0].message.parsed
    assert caught.value.value == {"x": 1}


def test_a_provider_whose_api_knows_no_schema_is_asked_in_the_prompt() -> None:
    body = {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [{"text": POINT, "index": 0}]}
    with Endpoint(Reply(json=body)) as endpoint:
        own: dict[str, Any] = {"api_base": endpoint.url, "response_format": Point}
        response = tokenwire.completion("text-completion-openai/m", MESSAGES, **own)
    assert response.choices[0].message.parsed == Point(1, 2)
    assert "response_format" not in asked(endpoint)
    assert "JSON schema" in asked(endpoint)["prompt"]


@pytest.mark.parametrize(
    "keywords, param, words",
    [
        ({"json_mode": "yaml", "response_format": Point}, "json_mode", '"schema", "object" or "prompt", not \'yaml\''),
        ({"json_mode": 1, "response_format": Point}, "json_mode", "not 1"),
        ({"json_mode": "prompt"}, "json_mode", "needs a type as response_format"),
        ({"json_mode": "object", "response_format": {"type": "json_object"}}, "json_mode", "needs a type as response_format"),
        ({"retry_invalid": 1}, "retry_invalid", "needs a type as response_format"),
        ({"retry_invalid": -1, "response_format": Point}, "retry_invalid", "must be a whole number, 0 or more, not -1"),
        ({"retry_invalid": True, "response_format": Point}, "retry_invalid", "must be a whole number, 0 or more, not True"),
        ({"retry_invalid": 1, "response_format": Point, "stream": True}, "retry_invalid", "retry_invalid is for calls"),
    ],
)
async def test_what_makes_no_sense_is_refused(keywords: dict[str, Any], param: str, words: str) -> None:
    with Endpoint(Reply(text=POINT)) as endpoint, pytest.raises(BadRequestError) as caught:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, **keywords)
    assert (caught.value.param, caught.value.fault) == (param, "caller")
    assert words in caught.value.message
    assert endpoint.requests == []


def test_a_prompt_has_no_place_for_instructions() -> None:
    with pytest.raises(BadRequestError, match='json_mode must be "schema" for a text completion'):
        tokenwire.text_completion(
            "openai/m", "Where?", api_base="http://localhost:1", response_format=Point, json_mode="object"
        )  # type: ignore[call-overload]


async def test_what_a_client_says_for_all_calls_counts_for_those_that_ask_for_a_type() -> None:
    with Endpoint(lambda request: Reply(text=POINT)) as endpoint:
        client = AsyncClient(api_base=endpoint.url, json_mode="object", retry_invalid=1)
        await client.acompletion("openai/m", MESSAGES)
        await (await client.acompletion("openai/m", MESSAGES, response_format=Point, stream=True)).until_done()
    assert "response_format" not in asked(endpoint)
    assert asked(endpoint, 1)["response_format"] == {"type": "json_object"}


# Asked again.


async def test_an_answer_that_does_not_fit_is_asked_for_again() -> None:
    with Endpoint([Reply(text='{"x": "one"}'), Reply(text=POINT)]) as endpoint:
        response = await tokenwire.acompletion(
            "openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, retry_invalid=1
        )
    assert response.choices[0].message.parsed == Point(1, 2)
    assert [(each.number, each.status, each.error) for each in response.attempts] == [
        (1, 200, "OutputValidationError"),
        (2, 200, None),
    ]
    question, answer, objection = asked(endpoint, 1)["messages"]
    assert question == MESSAGES[0]
    assert answer == {"role": "assistant", "content": '{"x": "one"}'}
    assert objection["role"] == "user"
    assert "at x: Expected `int`, got `str`" in objection["content"]
    assert "retry_invalid" not in asked(endpoint, 1)


async def test_an_answer_that_never_fits_is_the_last_one() -> None:
    with Endpoint([Reply(text="no"), Reply(text="not yet"), Reply(text="never")]) as endpoint:
        response = await tokenwire.acompletion(
            "openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, retry_invalid=2
        )
    assert [each.error for each in response.attempts] == ["OutputValidationError", "OutputValidationError", None]
    assert [message["content"] for message in asked(endpoint, 2)["messages"][1::2]] == ["no", "not yet"]
    with pytest.raises(OutputValidationError) as caught:
        _ = response.choices[0].message.parsed
    assert caught.value.text == "never"


@pytest.mark.parametrize(
    "body, error",
    [
        (completion('{"x": 1, ', finish_reason="length"), OutputIncompleteError),
        (completion(None, refusal="No."), OutputRefusedError),
    ],
)
async def test_what_asking_again_would_not_help_is_not_asked_again(body: dict[str, Any], error: type[Exception]) -> None:
    with Endpoint(Reply(json=body)) as endpoint:
        response = await tokenwire.acompletion(
            "openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, retry_invalid=3
        )
    assert len(endpoint.requests) == 1
    with pytest.raises(error):
        _ = response.choices[0].message.parsed


async def test_an_error_of_the_second_attempt_has_the_first_answer() -> None:
    with Endpoint([Reply(text="no"), Reply(status=400, json={})]) as endpoint, pytest.raises(BadRequestError) as caught:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, retry_invalid=1)
    assert caught.value.partial.text == "no"
    assert [each.error for each in caught.value.attempts] == ["OutputValidationError", "BadRequestError"]


async def test_the_second_attempt_has_retries_of_its_own_and_each_a_place_at_the_gate() -> None:
    replies = [Reply(text="no"), Reply(status=503, headers={"retry-after": "0"}), Reply(text=POINT)]
    with Endpoint(replies) as endpoint:
        gate = Gate(max_concurrency=1)
        async with AsyncClient(gate=gate, api_base=endpoint.url, num_retries=1) as client:
            response = await client.acompletion("openai/m", MESSAGES, response_format=Point, retry_invalid=1)
    assert response.choices[0].message.parsed == Point(1, 2)
    assert [each.status for each in response.attempts] == [200, 503, 200]
    assert gate.stats.in_flight == 0


async def test_handlers_are_asked_again_too() -> None:
    class Handler(CustomLLM):
        async def acompletion(self, *args: Any, messages: Any, **kwargs: Any) -> ModelResponse:
            response: ModelResponse = kwargs["model_response"]
            response.choices[0].message.content = POINT if len(messages) > 1 else "?"
            return response

    client = AsyncClient(handlers={"mine": Handler()})
    response = await client.acompletion("mine/m", MESSAGES, response_format=Point, retry_invalid=1)
    assert response.choices[0].message.parsed == Point(1, 2)
    assert [each.error for each in response.attempts] == ["OutputValidationError", None]


# Of others, and of many.


async def test_a_fallback_is_asked_in_its_own_way() -> None:
    with Endpoint(Reply(status=400, json={})) as first, Endpoint(lambda request: Reply(text=f"```\n{POINT}\n```")) as second:
        keywords: dict[str, Any] = {
            "api_base": first.url,
            "response_format": Point,
            "fallbacks": [{"model": "openai/small", "api_base": second.url, "json_mode": "prompt"}],
        }
        response = await tokenwire.acompletion("openai/big", MESSAGES, **keywords)
        assert response.choices[0].message.parsed == Point(1, 2)
        stream = await tokenwire.acompletion("openai/big", MESSAGES, stream=True, **keywords)
        partials = [partial async for partial in stream.partials()]
        assert partials[-1].parsed == Point(1, 2)
        assert (await stream.collect()).choices[0].message.parsed == Point(1, 2)  # type: ignore[union-attr]
    assert asked(first)["response_format"]["type"] == "json_schema"
    assert "response_format" not in asked(second)


async def test_many_answers_are_objects() -> None:
    with Endpoint(lambda request: Reply(text=POINT)) as endpoint:
        async with tokenwire.amap("openai/m", ["a", "b"], api_base=endpoint.url, response_format=Point) as results:
            found = [result.response async for result in results]
        sync = list(tokenwire.map("openai/m", ["a", "b"], api_base=endpoint.url, response_format=Point))
    for response in (*found, *(result.response for result in sync)):
        assert response is not None
        assert response.choices[0].message.parsed == Point(1, 2)


# What an error says of its call.


async def test_an_error_about_an_answer_has_the_response() -> None:
    body = completion('{"x": "one"}') | {"extra": 1}
    with Endpoint(Reply(json=body, headers={"x-request-id": "req-9"})) as endpoint:
        response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point)
        with pytest.raises(OutputValidationError) as caught:
            _ = response.choices[0].message.parsed
    error = caught.value
    assert error.partial == response
    assert (error.partial["extra"], error.partial.raw, error.partial.usage) == (1, response.raw, response.usage)
    assert (error.llm_provider, error.model, error.request_id) == ("openai", "m", "req-9")
    assert error.headers == response.headers
    assert error.attempts == response.attempts
    assert str(error).startswith("openai/m: the answer does not fit Point")
    assert pickle.loads(pickle.dumps(error)).partial == response


async def test_so_has_one_about_a_streamed_answer() -> None:
    with Endpoint(Reply(events=chunks('{"x": ', finish_reason="length"), headers={"x-request-id": "req-9"})) as endpoint:
        stream = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, stream=True)
        response: Any = await stream.collect()
    with pytest.raises(OutputIncompleteError) as caught:
        _ = response.choices[0].message.parsed
    assert caught.value.partial == response
    assert (caught.value.model, caught.value.request_id) == ("m", "req-9")


# Dicts.


async def test_a_dict_is_asked_for_as_pairs() -> None:
    text = '{"value": [{"key": "a", "value": {"x": 1, "y": 2}}, {"key": "b", "value": {"x": 3, "y": 4}}]}'
    with Endpoint(lambda request: Reply(text=text)) as endpoint:
        for cls in (dict[str, Point], Mapping[str, Point]):
            own: dict[str, Any] = {"api_base": endpoint.url, "response_format": cls}
            response = await tokenwire.acompletion("openai/m", MESSAGES, **own)
            assert response.choices[0].message.parsed == {"a": Point(1, 2), "b": Point(3, 4)}
            stream = await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **own)
            found: list[Any] = [(len(partial.value or {}), partial) async for partial in stream.partials()]
            sizes, latest = [size for size, _ in found], found[-1][1]
            assert latest.value == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 4}}
            assert latest.parsed == {"a": Point(1, 2), "b": Point(3, 4)}
            assert sizes == sorted(sizes)
    sent = asked(endpoint)["response_format"]["json_schema"]
    assert sent["name"] == "dict_str_Point"
    items = sent["schema"]["properties"]["value"]["items"]
    assert items["$ref"] if "$ref" in items else list(items["properties"]) == ["key", "value"]


def test_a_dict_that_does_not_fit_and_one_cut_short() -> None:
    bad = completion('{"value": [{"key": "a", "value": "x"}]}')
    cut = completion('{"value": [{"key": "a", "value": 1}, {"key": "b"', finish_reason="length")
    with Endpoint([Reply(json=bad), Reply(json=cut)]) as endpoint:
        own: dict[str, Any] = {"api_base": endpoint.url, "response_format": dict[str, int]}
        first, second = (tokenwire.completion("openai/m", MESSAGES, **own) for _ in range(2))
    with pytest.raises(OutputValidationError) as caught:
        _ = first.choices[0].message.parsed
    assert caught.value.path == "[0].value"
    with pytest.raises(OutputIncompleteError) as cut_short:
        _ = second.choices[0].message.parsed
    assert cut_short.value.value == {"a": 1}


# The response itself.


async def test_text_status_headers_and_bytes_of_a_whole_answer_and_of_a_stream() -> None:
    body = completion("Hello")
    with Endpoint(lambda request: reply(request.json(), body)) as endpoint:
        response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
        stream = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, stream=True)
        assert (stream.status_code, stream.headers["x-kind"]) == (200, "test")
        collected = await stream.collect()
        sync = tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, stream=True)
        assert (sync.status_code, sync.headers["x-kind"]) == (200, "test")
        sync.until_done()
    for found in (response, collected, pickle.loads(pickle.dumps(response))):
        assert (found.text, found.status_code, found.headers["x-kind"]) == ("Hello", 200, "test")
        assert found.response_headers == found.headers
        assert [each.status for each in found.attempts] == [200]
    assert response.raw == msgspec.json.encode(body)


def reply(request: dict[str, Any], body: dict[str, Any]) -> Reply:
    headers = {"x-kind": "test"}
    return Reply(events=chunks("Hello"), headers=headers) if request.get("stream") else Reply(json=body, headers=headers)


def test_text_where_there_is_none() -> None:
    assert ModelResponse().text == ""
    assert ModelResponse(choices=[]).text == ""
    assert tokenwire.TextCompletionResponse(choices=[]).text == ""
    assert (ModelResponse().status_code, ModelResponse().headers) == (None, {})


async def test_nobody_answered_by_http() -> None:
    response = await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi")
    assert (response.text, response.status_code, response.headers, response.raw) == ("Hi", None, {}, None)


def test_errors_of_servers_stay_as_they_are() -> None:
    with Endpoint(Reply(status=500, json={})) as endpoint, pytest.raises(InternalServerError):
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, retry_invalid=1, num_retries=0)
