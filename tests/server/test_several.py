"""Requests that take several calls of a handler: several prompts, several choices, and parameters that it may not know."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from openai.types import Completion

import tokenwire
from tokenwire import (
    Choices,
    CustomLLM,
    CustomLLMError,
    Delta,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)
from tokenwire.server import create_app

pytestmark = pytest.mark.anyio

TEXT, CHAT = "/v1/completions", "/v1/chat/completions"
USED = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}


def body(path: str = TEXT, content: Any = "a", **fields: Any) -> dict[str, Any]:
    said = {"prompt": content} if path == TEXT else {"messages": [{"role": "user", "content": content}]}
    return {"model": "m", **said, **fields}


def text_of(choice: dict[str, Any]) -> str:
    holder = choice.get("message", choice.get("delta"))
    return (choice.get("text") if holder is None else holder.get("content")) or ""


def texts(answer: Any) -> dict[int, str]:
    """What each choice says, whole or streamed; a stream must be properly ended."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.status == 200, answer.body
        return {choice["index"]: text_of(choice) for choice in answer.json()["choices"]}
    *events, done = answer.events()
    assert done == "[DONE]"
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1
    said: dict[int, str] = {}
    ended: list[int] = []
    for choice in [choice for event in events for choice in event["choices"]]:
        said[choice["index"]] = said.get(choice["index"], "") + text_of(choice)
        ended += [choice["index"]] if choice["finish_reason"] else []
    assert sorted(ended) == sorted(said)
    return said


class Upper(CustomLLM):
    """Says its prompt in capitals, letter by letter, and knows nothing of any parameter."""

    def __init__(self, usage: Callable[[str], Usage | None] = lambda _: USED) -> None:
        self.asked: list[Any] = []
        self.params: list[dict[str, Any]] = []
        self.usage = usage

    async def astreaming(self, *args: Any, messages: Any, optional_params: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        [message] = messages
        self.asked.append(message["content"])
        self.params.append(dict(optional_params))
        for letter in message["content"]:
            yield GenericStreamingChunk(text=letter.upper())
            await anyio.lowlevel.checkpoint()
        yield GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=self.usage(message["content"]))


STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@STREAMED
@pytest.mark.parametrize("n", [None, 1, 3])
async def test_each_prompt_has_its_choices(n: int | None, stream: bool, ask: Any) -> None:
    handler, prompts = Upper(), ["one", "two", "", "three"]
    given = body(content=prompts, n=n, stream=stream, stream_options={"include_usage": True})
    answer = await ask(create_app({"m": handler}), given, TEXT)
    expected = [prompt.upper() for prompt in prompts for _ in range(n or 1)]
    assert texts(answer) == dict(enumerate(expected))
    assert sorted(handler.asked) == sorted(prompts * (n or 1))
    *_, last = [answer.json()] if not stream else answer.events()[:-1]
    assert last["id"].startswith("cmpl-")
    assert last["usage"]["total_tokens"] == 3 * len(expected)
    if not stream:
        completion = Completion.model_validate(answer.json(), strict=True)
        assert [choice.index for choice in completion.choices] == [*range(len(expected))]
        assert {choice.finish_reason for choice in completion.choices} == {"stop"}


@STREAMED
@pytest.mark.parametrize("path", [TEXT, CHAT])
async def test_choices_that_a_handler_does_not_give_are_asked_for(path: str, stream: bool, ask: Any) -> None:
    handler = Upper()
    answer = await ask(create_app({"m": handler}), body(path, n=3, stream=stream), path)
    assert texts(answer) == {0: "A", 1: "A", 2: "A"}
    assert [params.get("n") for params in handler.params] == [3, None, None]
    if stream and path == CHAT:
        roles = [choice["delta"].get("role") for event in answer.events()[:-1] for choice in event["choices"]]
        assert roles.count("assistant") == 3


@STREAMED
@pytest.mark.parametrize("path", [TEXT, CHAT])
@pytest.mark.parametrize("given", [1, 2, 3])
async def test_those_that_it_gives_are_its_own(given: int, path: str, stream: bool, ask: Any) -> None:
    """Whether it numbers them or not."""
    calls: list[int] = []

    class Some(CustomLLM):
        async def acompletion(self, *args: Any, optional_params: Any, **kwargs: Any) -> Any:
            count = min(given, optional_params.get("n", 1))
            calls.append(count)
            return ModelResponse(choices=[Choices(message=Message(content=f"{count}.{i}")) for i in range(count)], usage=USED)

        async def astreaming(self, *args: Any, optional_params: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            count = min(given, optional_params.get("n", 1))
            calls.append(count)
            for i in range(count):
                yield GenericStreamingChunk(text=f"{count}.{i}", index=i)
            for i in range(count):
                yield GenericStreamingChunk(is_finished=True, finish_reason="stop", index=i)

    answer = await ask(create_app({"m": Some()}), body(path, n=3, stream=stream), path)
    assert calls == [given] + [1] * (3 - given)
    assert list(texts(answer).values()) == [f"{given}.{i}" for i in range(given)] + ["1.0"] * (3 - given)


async def test_choices_are_numbered_by_the_handler_in_whatever_order(ask: Any) -> None:
    async def handler(messages: Any) -> Any:
        said = messages[0]["content"]
        return ModelResponse(choices=[Choices(message=Message(content=f"{said}{i}"), index=i) for i in (1, 0)])

    app = create_app({"m": handler})
    assert texts(await ask(app, body(content=["a", "b"], n=2), TEXT)) == {0: "a0", 1: "a1", 2: "b0", 3: "b1"}
    assert texts(await ask(app, body(content="a", n=2), TEXT)) == {0: "a0", 1: "a1"}


@STREAMED
async def test_usage_is_not_made_up(stream: bool, ask: Any) -> None:
    """Of what one call does not say, nobody knows the sum."""
    handler = Upper(lambda prompt: None if prompt == "b" else USED)
    options = {"stream": stream, "stream_options": {"include_usage": True}}
    answer = await ask(create_app({"m": handler}), body(content=["a", "b"], **options), TEXT)
    assert texts(answer) == {0: "A", 1: "B"}
    assert b"total_tokens" not in answer.body

    def details(prompt: str) -> Usage:
        known = {"completion_tokens_details": {"reasoning_tokens": 2}, "cost": 0.5}
        return Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2, **({} if prompt == "b" else known))  # type: ignore[arg-type]

    app = create_app({"m": Upper(details)})
    for prompts, cost in ((["a", "c"], 1.0), (["a", "b"], None), (["b", "a"], None)):
        answer = await ask(app, body(content=prompts, **options), TEXT)
        usage = (answer.events()[-2] if stream else answer.json())["usage"]
        assert (usage["total_tokens"], usage.get("cost")) == (4, cost)
        assert usage.get("completion_tokens_details", {}).get("reasoning_tokens") == (cost and 4)


@pytest.mark.parametrize("most, at_once", [(None, 8), (1, 1), (3, 3)])
async def test_the_calls_run_a_few_at_a_time_and_in_order(most: int | None, at_once: int, ask: Any) -> None:
    """As many as there is room for beside those of others."""
    began: list[str] = []
    running, at_most = 0, 0

    async def handler(messages: Any) -> str:
        nonlocal running, at_most
        began.append(messages[0]["content"])
        running += 1
        at_most = max(at_most, running)
        await anyio.wait_all_tasks_blocked()
        running -= 1
        return "ok"

    app = create_app({"m": handler}, max_concurrency=most)
    prompts = [str(number) for number in range(20)]
    assert texts(await ask(app, body(content=prompts), TEXT)) == dict.fromkeys(range(20), "ok")
    assert began == prompts
    assert at_most == at_once
    assert app.in_flight == 0


async def test_streams_are_interleaved(visit: Any) -> None:
    """The second prompt's first chunk does not wait for the first one's last."""
    told: dict[str, anyio.Event] = {"a": anyio.Event(), "b": anyio.Event()}

    async def handler(messages: Any) -> Any:
        content = messages[0]["content"]
        yield content
        told[content].set()
        for event in told.values():
            await event.wait()
        yield content

    async with visit(create_app({"m": handler}), body(content=["a", "b"], stream=True), TEXT) as v:
        assert b'"[DONE]' not in (rest := await v.rest())
        assert rest.endswith(b"data: [DONE]\n\n")


@STREAMED
async def test_one_that_fails_fails_all(stream: bool, ask: Any, gone: Any) -> None:
    witness = gone()
    others = anyio.Event()

    async def handler(messages: Any) -> Any:
        if messages[0]["content"] == "bad":
            await others.wait()
            raise CustomLLMError(429, "not now")
        with witness():
            others.set()
            await anyio.sleep_forever()
        yield "never"

    app = create_app({"m": handler})
    answer = await ask(app, body(content=["good", "bad", "good"], stream=stream), TEXT)
    assert (answer.status, answer.error()["message"]) == (429, "not now")
    assert witness.left.is_set()
    assert app.in_flight == 0


@pytest.mark.parametrize("how", ["raises", "stops midway"])
async def test_a_stream_that_has_begun_ends_with_the_error_of_one(how: str, ask: Any, gone: Any) -> None:
    witness, sent = gone(), anyio.Event()

    async def handler(messages: Any) -> Any:
        if messages[0]["content"] == "bad":
            await sent.wait()
            if how == "raises":
                raise CustomLLMError(429, "not now")
            yield GenericStreamingChunk(text="half")
            return
        with witness():
            yield "good"
            sent.set()
            await anyio.sleep_forever()

    answer = await ask(create_app({"m": handler}), body(content=["bad", "good"], stream=True), TEXT)
    assert answer.status == 200
    last = answer.events()[-1]["error"]
    assert last["message"] == "not now" if how == "raises" else "before it was complete" in last["message"]
    assert b"[DONE]" not in answer.body
    assert witness.left.is_set()


@STREAMED
async def test_a_client_that_leaves_cancels_them_all(stream: bool, visit: Any) -> None:
    running, all_run, none_run = 0, anyio.Event(), anyio.Event()

    async def handler(messages: Any) -> Any:
        nonlocal running
        running += 1
        try:
            yield "x"
            if running == 3:
                all_run.set()
            await anyio.sleep_forever()
        finally:
            running -= 1
            if not running:
                none_run.set()

    app = create_app({"m": handler})
    async with visit(app, body(content=["a", "b", "c"], stream=stream), TEXT) as v:
        if stream:
            for _ in range(3):
                await v.take()
        await all_run.wait()
        assert app.in_flight == 3
        v.leave()
        await none_run.wait()
        await v.ended.wait()
    assert app.in_flight == 0


@STREAMED
async def test_an_echo_is_made_here(stream: bool, ask: Any) -> None:
    handler = Upper()
    app = create_app({"m": handler})
    answer = await ask(app, body(content=["ab", "c"], n=2, echo=True, stream=stream), TEXT)
    assert texts(answer) == {0: "abAB", 1: "abAB", 2: "cC", 3: "cC"}
    assert all("echo" not in params for params in handler.params)
    assert texts(await ask(app, body(content="ab", echo=True, stream=stream), TEXT)) == {0: "abAB"}
    assert texts(await ask(app, body(content="ab", echo=False, stream=stream), TEXT)) == {0: "AB"}
    assert texts(await ask(app, body(content="", echo=True, stream=stream), TEXT)) == {0: ""}


@STREAMED
async def test_a_handler_that_names_a_parameter_knows_it(stream: bool, ask: Any) -> None:
    async def whole(messages: Any, optional_params: Any, echo: bool, best_of: int, logprobs: int = 0) -> Any:
        assert optional_params["echo"] is echo
        said = f"{messages[0]['content'] if echo else ''} {best_of} {logprobs}"
        return ModelResponse(choices=[Choices(message=Message(content=said), logprobs=LOGPROBS)])

    given = body(content=["a", "b"], echo=True, best_of=5, logprobs=2, stream=stream)
    answer = await ask(create_app({"m": whole}), given, TEXT)
    assert texts(answer) == {0: "a 5 2", 1: "b 5 2"}


@STREAMED
@pytest.mark.parametrize(
    "fields, param",
    [
        ({"best_of": 3}, "best_of"),
        ({"best_of": 3, "n": 2}, "best_of"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"echo": True, "logprobs": 0}, "echo"),
        ({"logprobs": 0}, "logprobs"),
        ({"logprobs": 5, "content": ["a", "b"]}, "logprobs"),
        ({"content": [1, 2]}, "prompt"),
        ({"content": [[1, 2], [3]]}, "prompt"),
        ({"content": [[1, 2], [3]], "echo": True}, "echo"),
        ({"content": [1, "a"]}, "prompt"),
        ({"content": ["a", [1]]}, "prompt"),
        ({"content": [[]]}, "prompt"),
        ({"content": ["a"] * 2049}, "prompt"),
        ({"n": 129}, "n"),
    ],
)
async def test_what_neither_knows_is_refused(fields: dict[str, Any], param: str, stream: bool, ask: Any) -> None:
    answer = await ask(create_app({"m": Upper()}), body(**fields, stream=stream), TEXT)
    error = answer.error()
    assert (answer.status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert error["message"].startswith(param)


@STREAMED
async def test_log_probabilities_in_chats(stream: bool, ask: Any) -> None:
    class Knows(CustomLLM):
        def __init__(self, logprobs: Any) -> None:
            self.logprobs = logprobs

        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(role="assistant", content=""))])
            yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="a"), logprobs=self.logprobs)])
            yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="b"))])
            yield ModelResponseStream(choices=[StreamingChoices(finish_reason="stop", delta=Delta())])

    asked = body(CHAT, logprobs=True, top_logprobs=0, stream=stream)
    assert texts(await ask(create_app({"m": Knows(LOGPROBS)}), asked, CHAT)) == {0: "ab"}
    app = create_app({"m": Knows(None)})
    assert texts(await ask(app, {**asked, "logprobs": False}, CHAT)) == {0: "ab"}
    assert texts(await ask(app, {**asked, "logprobs": None}, CHAT)) == {0: "ab"}
    answer = await ask(app, asked, CHAT)
    if stream:  # it was answered when that was seen
        assert answer.events()[-1]["error"]["param"] == "logprobs"
    else:
        assert (answer.status, answer.error()["param"]) == (400, "logprobs")


@pytest.mark.parametrize("fields", [{"best_of": 1}, {"best_of": 2, "n": 2}, {"n": 1}, {"logprobs": None, "echo": None}])
async def test_what_asks_for_nothing_more_is_no_mistake(fields: dict[str, Any], ask: Any) -> None:
    handler = Upper()
    answer = await ask(create_app({"m": handler}), body(**fields), TEXT)
    assert texts(answer) == dict.fromkeys(range(fields.get("n", 1)), "A")
    assert all("best_of" not in params for params in handler.params)


@STREAMED
async def test_token_ids_go_to_handlers_that_name_prompt(stream: bool, ask: Any) -> None:
    async def handler(prompt: Any) -> str:
        return f"{prompt}"

    app = create_app({"m": handler})
    for prompt, said in (("a", ["a"]), (["a"], ["a"]), ([1, 2], ["[1, 2]"]), ([[1], [2, 3]], ["[1]", "[2, 3]"])):
        assert texts(await ask(app, body(content=prompt, stream=stream), TEXT)) == dict(enumerate(said))
    with pytest.raises(tokenwire.BadRequestError, match="prompt must be text"):
        await tokenwire.AsyncClient(handlers={"mine": Upper()}).atext_completion("mine/m", [1, 2])


@STREAMED
async def test_handlers_behind_a_model_s_name_are_handlers(stream: bool, ask: Any) -> None:
    tokenwire.register("mine", Upper())
    app = create_app({"m": "mine/x", "n": {"model": "own/x", "n": 2}}, handlers={"own": Upper()})
    assert texts(await ask(app, body(content=["a", "b"], stream=stream), TEXT)) == {0: "A", 1: "B"}
    given = {**body(content=["a", "b"], stream=stream), "model": "n"}
    assert texts(await ask(app, given, TEXT)) == {0: "A", 1: "A", 2: "B", 3: "B"}


@STREAMED
async def test_a_handler_s_own_objects_stay_as_they_are(stream: bool, ask: Any) -> None:
    chunk = ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="x"), finish_reason="stop")], special=1)  # type: ignore[call-arg]
    whole = ModelResponse(choices=[Choices(message=Message(content="x"))], usage=USED, special=1)  # type: ignore[call-arg]
    before = (chunk.model_dump_json(), whole.model_dump_json())

    class Cached(CustomLLM):
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            return whole

        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            yield chunk

    for path, content in ((TEXT, ["a", "b"]), (CHAT, "a")):
        answer = await ask(create_app({"m": Cached()}), body(path, content, n=2, stream=stream), path)
        assert texts(answer) == dict.fromkeys(range(4 if path == TEXT else 2), "x")
        assert b'"special":1' in answer.body
    assert (chunk.model_dump_json(), whole.model_dump_json()) == before


@STREAMED
async def test_more_choices_than_were_asked_for_are_nobody_else_s(stream: bool, ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        for index in (0, 1):
            yield GenericStreamingChunk(text="x", is_finished=True, finish_reason="stop", index=index)

    app = create_app({"m": handler})
    answer = await ask(app, body(content=["a", "b"], stream=stream), TEXT)
    error = answer.events()[-1]["error"] if stream else answer.error()
    assert error["message"] == "the model's answer could not be understood"
    assert texts(await ask(app, body(content="a", stream=stream, echo=True), TEXT)) == {0: "ax", 1: "ax"}
