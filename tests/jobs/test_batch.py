"""A file of calls and a file of results: what is read, asked, written and gone on with."""

import gzip
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import tokenwire
from tokenwire import AsyncClient
from tokenwire.jobs import Batch, Progress, abatch, batch
from tokenwire.testing import Endpoint, Reply, completion

from ..conftest import one_loop

KILLS = Path(__file__).with_name("kills.py")


class Files:
    """A folder with an input and an output."""

    def __init__(self, folder: Path) -> None:
        self.input, self.output, self.errors = (folder / name for name in ("in.jsonl", "out.jsonl", "errors.jsonl"))

    def write(self, *lines: Any) -> None:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.input.write_text("".join(f"{text}\n" for text in texts))

    @property
    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_bytes().splitlines()]

    @property
    def ids(self) -> list[str]:
        return sorted(result["custom_id"] for result in self.results)

    async def run(self, handler: Any, **options: Any) -> Progress:
        async with AsyncClient(handlers={"mine": handler}) as client:
            given: dict[str, Any] = {"model": "mine/m", **options}
            return await abatch(str(self.input), str(self.output), client=client, **given)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def chat(custom_id: Any = "a", text: str = "Hi", **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": {"messages": messages, **body}}


class Handler:
    """Says what it is told, counts its calls, and fails where it is told "bad"."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = True

    async def acompletion(self, messages: Any, optional_params: Any, **_: Any) -> Any:
        text = messages[-1]["content"]
        self.asked.append(text)
        await anyio.lowlevel.checkpoint()
        if text == "bad" and self.fails:
            raise tokenwire.CustomLLMError(422, "it is bad")
        reason = "length" if text == "long" else "stop"
        message = tokenwire.Message(content=f"said {text}")
        return tokenwire.ModelResponse(choices=[tokenwire.Choices(message=message, finish_reason=reason)])


# Lines in, lines out.


RESPONSE: dict[str, Any] = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "tools": [], "extra": {"kept": 1},
    "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
}  # fmt: skip
MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip


def in_words_of(api: str, custom_id: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": f"/v1/{api}", "body": body}


@pytest.mark.anyio
async def test_an_endpoint_that_speaks_a_line_s_api_is_sent_it_as_it_is(files: Files) -> None:
    tools = [{"type": "file_search", "vector_store_ids": ["v"]}]
    turns = [{"role": "user", "content": "Hi"}]
    lines = [
        in_words_of("responses", "a", model="openai/m", input="Hi", tools=tools, previous_response_id="resp_0"),
        in_words_of("responses", "b", model="responses/m", input=[{"role": "user", "content": "Hi"}]),
        in_words_of("messages", "c", model="anthropic/m", messages=turns, max_tokens=9, container="x"),
        in_words_of("messages", "d", model="anthropic/m", messages=turns, max_tokens=1),
        in_words_of("responses", "e", model="openai/m", input="Hi", max_output_tokens=1),
    ]
    files.write(*lines)
    cut = [{**MESSAGE, "stop_reason": "max_tokens"}, {**RESPONSE, "status": "incomplete"}]
    said = [RESPONSE, RESPONSE, MESSAGE, *cut]
    with Endpoint([Reply(json=body) for body in said]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="k", fallbacks=["openai/other"]) as client:
            progress = await abatch(str(files.input), str(files.output), client=client, concurrency=1)
        sent = [(request.path, request.json()) for request in endpoint.requests]
    assert sent == [(line["url"], {**line["body"], "model": "m"}) for line in lines]
    assert [result["response"]["body"] for result in files.results] == said
    assert (progress.done, progress.failed, progress.truncated, progress.tokens) == (5, 0, 2, 25)
    again = await abatch(str(files.input), str(files.output), model=None)
    assert (again.earlier, again.done, again.truncated) == (5, 0, 2)


@pytest.mark.anyio
async def test_a_handler_is_asked_in_chat_and_answers_in_the_line_s_words(files: Files) -> None:
    files.write(
        in_words_of("responses", "a", input="Hi", instructions="Be brief."),
        in_words_of("messages", "b", messages=[{"role": "user", "content": "long"}], max_tokens=9),
        in_words_of("responses", "c", input="Hi", previous_response_id="resp_0"),
        in_words_of("messages", "d", messages=[{"role": "user", "content": "Hi"}]),
    )
    handler = Handler()
    progress = await files.run(handler)
    results = {result["custom_id"]: result for result in files.results}
    response, message = (results[name]["response"]["body"] for name in "ab")
    assert (response["object"], response["output"][0]["content"][0]["text"]) == ("response", "said Hi")
    assert (message["content"], message["stop_reason"]) == ([{"type": "text", "text": "said long"}], "max_tokens")
    assert "previous_response_id" in results["c"]["error"]["message"]
    assert "max_tokens" in results["d"]["error"]["message"]
    assert (sorted(handler.asked), progress.failed, progress.truncated) == (["Hi", "long"], 2, 1)


@pytest.mark.anyio
async def test_an_endpoint_of_another_api_is_asked_in_its_own_words(files: Files) -> None:
    turns = [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}]
    files.write(in_words_of("messages", "a", model="openai/m", messages=turns, max_tokens=9))
    with Endpoint(Reply(json=completion("Hello"))) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="k") as client:
            await abatch(str(files.input), str(files.output), client=client)
        (request,) = endpoint.requests
    assert request.path == "/v1/chat/completions"
    assert request.json()["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert files.results[0]["response"]["body"]["content"] == [{"type": "text", "text": "Hello"}]


@pytest.mark.anyio
async def test_openais_lines_get_openais_results(files: Files) -> None:
    body = completion("Hello")
    answers: dict[str, Any] = {
        "/v1/chat/completions": body,
        "/v1/completions": {"id": "1", "object": "text_completion", "model": "m", "choices": [{"index": 0, "text": "Yes"}]},
        "/v1/embeddings": {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]},
    }
    files.write(
        chat("a", model="openai/m", temperature=0.5, min_p=0.1),
        {"custom_id": "b", "method": "POST", "url": "/v1/completions", "body": {"model": "openai/m", "prompt": "Well?"}},
        "",
        {"custom_id": "c", "url": "/v1/embeddings", "body": {"model": "openai/m", "input": ["x"]}},
    )
    with Endpoint(lambda request: Reply(json=answers[request.path], headers={"x-request-id": "r1"})) as endpoint:
        async with AsyncClient(api_base=f"{endpoint.url}", api_key="k") as client:
            progress = await abatch(str(files.input), str(files.output), client=client, concurrency=1)
        sent = [request.json() for request in endpoint.requests]
    assert sent[0] == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "min_p": 0.1}
    assert sent[1:] == [{"model": "m", "prompt": "Well?"}, {"model": "m", "input": ["x"]}]
    assert files.results == [
        {"id": f"batch_req_{line}", "custom_id": name, "response": {"status_code": 200, "request_id": "r1", "body": said}, "error": None}
        for (line, name), said in zip(((1, "a"), (2, "b"), (4, "c")), answers.values(), strict=True)
    ]  # fmt: skip
    assert (progress.done, progress.failed, progress.lines, progress.complete) == (3, 0, 3, True)


@pytest.mark.anyio
async def test_plain_lines_carry_their_fields_through(files: Files) -> None:
    files.write(
        {"prompt": "a", "label": 3},
        {"messages": [{"role": "user", "content": "b"}], "id": "mine", "temperature": 0.5},
        {"prompt": "c", "id": 7, "nested": {"x": [1]}},
    )
    seen: list[Any] = []

    async def handler(messages: Any, optional_params: Any, **_: Any) -> str:
        seen.append((messages[0]["content"], optional_params))
        return "Hello"

    await files.run(handler, concurrency=1)
    assert seen == [("a", {}), ("b", {"temperature": 0.5}), ("c", {})]
    first, second, third = files.results
    assert (first["custom_id"], first["label"]) == ("1", 3)
    assert (second["custom_id"], second["error"]) == ("mine", None)
    assert (third["custom_id"], third["nested"]) == ("7", {"x": [1]})


@pytest.mark.anyio
async def test_a_pretty_answer_is_one_line(files: Files) -> None:
    files.write(chat(model="openai/m"))
    pretty = Reply(body=json.dumps(completion("a\nb"), indent=2).encode(), headers={"content-type": "application/json"})
    with Endpoint(pretty) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="k") as client:
            await abatch(str(files.input), str(files.output), client=client)
    (result,) = files.results
    assert result["response"]["body"] == completion("a\nb")


@pytest.mark.anyio
async def test_failed_and_truncated_are_told_apart(files: Files) -> None:
    files.write(*(chat(text, text) for text in ("good", "bad", "long")))
    progress = await files.run(Handler())
    assert (progress.done, progress.failed, progress.truncated, progress.complete) == (3, 1, 1, False)
    (failed,) = [result for result in files.results if result["error"]]
    assert failed["custom_id"] == "bad"
    assert failed["response"] is None
    assert (failed["error"]["code"], "it is bad" in failed["error"]["message"]) == ("UnprocessableEntityError", True)
    again = await files.run(Handler())
    assert (again.earlier, again.done, again.failed, again.truncated) == (3, 0, 1, 1)


@pytest.mark.anyio
async def test_a_servers_refusal_is_kept_as_it_came(files: Files) -> None:
    files.write(chat(model="openai/m"))
    error = {"error": {"message": "no such thing", "code": "nothing"}}
    with Endpoint(Reply(status=404, json=error, headers={"x-request-id": "r1"})) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="k") as client:
            await abatch(str(files.input), str(files.output), client=client)
    (result,) = files.results
    assert result["response"] == {"status_code": 404, "request_id": "r1", "body": error}
    assert result["error"]["code"] == "nothing"


@pytest.mark.anyio
async def test_compressed_input(files: Files) -> None:
    path = files.input.with_suffix(".gz")
    path.write_bytes(gzip.compress(b"".join(json.dumps(chat(f"a{number}")).encode() + b"\n" for number in range(5))))
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        await abatch(str(path), str(files.output), client=client, model="mine/m")
    assert len(files.ids) == 5
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(tokenwire.BadRequestError, match=r"in\.gz, after line \d"):
        await abatch(str(path), str(files.errors), model="mine/m")


def zstd(data: bytes) -> bytes:
    """A frame; skips where nothing here makes one."""
    for name in ("compression.zstd", "zstandard"):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return importlib.import_module(name).compress(data)
    pytest.skip("there is no Zstandard: Python 3.14, or pip install zstandard")


@pytest.mark.anyio
async def test_zstandard_input_of_several_frames(files: Files) -> None:
    path = files.input.with_suffix(".zst")
    frames = [zstd(b"".join(json.dumps(chat(f"{name}{number}")).encode() + b"\n" for number in range(3000))) for name in "ab"]
    path.write_bytes(b"".join(frames))
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        assert (await abatch(str(path), str(files.output), client=client, model="mine/m")).lines == 6000
        assert files.ids == sorted(f"{name}{number}" for name in "ab" for number in range(3000))
        cut_off = r"in\.zst, after line \d+: the compressed file ended"
        for data, message in ((frames[0] + frames[1][:-20], cut_off), (b"{}\n", r"in\.zst, after line 0: not Zstandard")):
            path.write_bytes(data)
            with pytest.raises(tokenwire.BadRequestError, match=message):
                await abatch(str(path), str(files.errors), client=client, model="mine/m")


@pytest.mark.anyio
async def test_zstandard_that_is_not_installed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("tokenwire.jobs.files.import_module", absent)
    path = files.input.with_suffix(".zst")
    path.write_bytes(b"x")
    with pytest.raises(tokenwire.BadRequestError, match=r"in\.zst: \.zst needs Python 3\.14, or the package zstandard"):
        await abatch(str(path), str(files.output), model="mine/m")


@pytest.mark.anyio
async def test_lines_as_windows_writes_them(files: Files) -> None:
    files.input.write_bytes(b"\xef\xbb\xbf" + b"".join(json.dumps(chat(name)).encode() + b"\r\n" for name in "ab"))
    await files.run(Handler())
    assert files.ids == ["a", "b"]


def test_from_sync_code(files: Files) -> None:
    files.write(chat("a"), chat("b"))
    tokenwire.register("mine", Handler())
    assert batch(str(files.input), str(files.output), model="mine/m").done == 2
    assert files.ids == ["a", "b"]


# The next run.


@one_loop
@pytest.mark.anyio
async def test_cut_anywhere_the_next_run_goes_on(files: Files) -> None:
    """Whatever a power cut leaves of the last lines."""
    files.write(*(chat(f"id-{number}", str(number)) for number in range(3)))
    await files.run(Handler())
    whole = files.output.read_bytes()
    starts = [0, *(place + 1 for place, byte in enumerate(whole) if byte == 10)]
    for size in range(0, len(whole) + 1, 7):
        files.output.write_bytes(whole[:size])
        handler = Handler()
        progress = await files.run(handler)
        kept = sum(start <= size for start in starts[1:])
        assert (progress.earlier, len(handler.asked)) == (kept, 3 - kept)
        assert files.ids == ["id-0", "id-1", "id-2"]
        assert files.output.read_bytes().startswith(whole[: starts[kept]])


@pytest.mark.anyio
async def test_a_tail_of_zeros_is_cut_off(files: Files) -> None:
    files.write(chat("a", "1"), chat("b", "2"))
    await files.run(Handler())
    with files.output.open("ab") as file:
        file.write(bytes(5000))
    assert (await files.run(Handler())).earlier == 2
    assert files.ids == ["a", "b"]


@one_loop
@pytest.mark.anyio
async def test_many_results_of_all_kinds_are_found_again(files: Files) -> None:
    """What is looked at together, and what is looked at alone."""
    ids = [f"id-{number}" for number in range(3000)]
    ids[1000:1006] = ['with "quotes"', "back\\slash", "größe", "\u2028", "two\nlines", "id,\\"]
    texts = {300: "bad", 2500: "long", 2000: 'the "length" of it'}
    files.write(*(chat(name, texts.get(number, str(number))) for number, name in enumerate(ids)))
    handler = Handler()
    first = await files.run(handler)
    lines = files.output.read_bytes().splitlines(keepends=True)
    lines[700] = json.dumps(json.loads(lines[700])).encode() + b"\n"  # as another tool writes it
    files.output.write_bytes(b"".join(line for number, line in enumerate(lines) if number % 1000 != 999))
    again = await files.run(handler)
    assert (again.earlier, again.done, again.lines) == (2997, 3, 3000)
    assert (again.failed, again.truncated) == (first.failed, first.truncated) == (1, 1)
    assert len(handler.asked) == 3003
    assert files.ids == sorted(ids)


@one_loop
@pytest.mark.anyio
@pytest.mark.parametrize("place", [0, 1500, 2999])
async def test_one_id_that_is_another_among_many(files: Files, place: int) -> None:
    lines = [chat(f"id-{number}", str(number)) for number in range(3000)]
    files.write(*lines)
    await files.run(Handler())
    lines[place]["custom_id"] = "other"
    files.write(*lines)
    with pytest.raises(tokenwire.BadRequestError, match=rf"line {place + 1} has the custom_id 'other', but"):
        await files.run(Handler())


@one_loop
@pytest.mark.anyio
async def test_a_new_line_with_the_id_of_one_that_is_done(files: Files) -> None:
    lines = [chat(f"id-{number}", str(number)) for number in range(1000)]
    files.write(*lines)
    await files.run(Handler())
    files.write(*lines, chat("new", "1"), chat("id-500", "1"))
    with pytest.raises(tokenwire.BadRequestError, match="line 1002 has the custom_id 'id-500' of an earlier line"):
        await files.run(Handler())


@one_loop
@pytest.mark.anyio
async def test_a_line_with_a_hole_is_no_result(files: Files) -> None:
    """A power cut may leave zeros where a line was not written yet, and what was written after it."""
    files.write(*(chat(f"id-{number}", "x" * 300) for number in range(500)))
    await files.run(Handler())
    whole = files.output.read_bytes()
    place = whole.index(b"xxxxxxxx", len(whole) // 2)
    files.output.write_bytes(whole[:place] + bytes(5) + whole[place + 5 :])
    with pytest.raises(tokenwire.BadRequestError, match=r"out\.jsonl, line \d+ is not a result of a batch"):
        await files.run(Handler())


@pytest.mark.anyio
async def test_a_result_that_is_there_twice(files: Files) -> None:
    files.write(chat("a"), chat("b"))
    await files.run(Handler())
    files.output.write_bytes(files.output.read_bytes() * 2)
    with pytest.raises(tokenwire.BadRequestError, match=r"out\.jsonl has two results of line \d"):
        await files.run(Handler())


@pytest.mark.anyio
async def test_cancelled_in_the_middle_it_goes_on(files: Files) -> None:
    files.write(*(chat(f"id-{number}", str(number)) for number in range(50)))
    asked: list[str] = []
    scope = anyio.CancelScope()

    async def handler(messages: Any, **_: Any) -> str:
        asked.append(messages[0]["content"])
        await anyio.lowlevel.checkpoint()
        if len(asked) >= 30:
            scope.cancel()
        return "Hello"

    with scope:
        await files.run(handler, concurrency=4)
    done = len(files.ids)
    assert 10 <= done < 50
    progress = await files.run(handler, concurrency=4)
    assert (progress.earlier, progress.done) == (done, 50 - done)
    assert files.ids == sorted(f"id-{number}" for number in range(50))
    assert len(asked) <= 50 + 8


@pytest.mark.anyio
@pytest.mark.parametrize("apart", [False, True])
async def test_failed_lines_are_asked_again_where_asked(files: Files, apart: bool) -> None:
    files.write(*(chat(text, text) for text in ("good", "bad", "fine")))
    options = {"errors": str(files.errors)} if apart else {}
    handler = Handler()
    await files.run(handler, **options)
    assert len(files.results) == (2 if apart else 3)
    await files.run(handler, **options)
    assert len(handler.asked) == 3
    handler.fails = False
    progress = await files.run(handler, retry_failed=True, **options)
    assert (progress.earlier, progress.done, progress.failed) == (2, 1, 0)
    assert handler.asked[3:] == ["bad"]
    assert files.ids == ["bad", "fine", "good"]
    assert not apart or files.errors.read_bytes() == b""


@pytest.mark.anyio
async def test_draining_lets_the_calls_under_way_finish(files: Files) -> None:
    files.write(*(chat(f"id-{number}", str(number)) for number in range(100)))
    asked = 0

    async def handler(**_: Any) -> str:
        nonlocal asked
        asked += 1
        if asked == 10:
            run.drain()
        await anyio.lowlevel.checkpoint()
        return "Hello"

    async with AsyncClient(handlers={"mine": handler}) as client:
        run = Batch(str(files.input), str(files.output), client=client, model="mine/m", concurrency=4)
        progress = await run.run()
    assert (progress.drained, progress.complete, run.draining) == (True, False, True)
    assert asked == len(files.ids) < 20


@pytest.mark.anyio
async def test_another_run_on_the_same_output_is_refused(files: Files) -> None:
    files.write(chat("a"))
    refusal: list[str] = []

    async def handler(**_: Any) -> str:
        for path in (files.output, files.errors):
            with pytest.raises(tokenwire.BadRequestError) as caught:
                await abatch(str(files.input), str(path), model="mine/m")
            refusal.append(caught.value.message)
        return "Hello"

    await files.run(handler, errors=str(files.errors))
    assert refusal == [f"{path}: another process writes to it" for path in (files.output, files.errors)]


@pytest.mark.anyio
@pytest.mark.parametrize("sync_seconds", [0, 1.0])
async def test_what_was_written_is_synced(files: Files, sync_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(*(chat(f"id-{number}", str(number)) for number in range(10)))
    sizes: list[int] = []
    fsync = os.fsync

    def counted(file: int) -> None:
        fsync(file)
        sizes.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", counted)
    await files.run(Handler(), sync_seconds=sync_seconds)
    assert files.output.stat().st_size in sizes
    assert len(set(sizes)) >= (10 if sync_seconds == 0 else 1)


@pytest.mark.anyio
async def test_a_disk_that_fails_is_told_as_it_is(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(*(chat(f"id-{number}", str(number)) for number in range(20)))
    failed = threading.Event()

    async def handler(messages: Any, **_: Any) -> str:
        if messages[0]["content"] == "1":
            monkeypatch.setattr(os, "fsync", broken)
        elif messages[0]["content"] == "2":
            await anyio.to_thread.run_sync(failed.wait)
        return "Hello"

    def broken(_: int) -> None:
        failed.set()
        raise OSError(5, "the disk is broken")

    with pytest.raises(OSError, match="the disk is broken"):
        await files.run(handler, concurrency=1, sync_seconds=0.001)
    assert "id-0" in files.ids


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_it_loses_and_doubles_nothing() -> None:
    command = [sys.executable, "-W", "error", str(KILLS), "--times", "6", "--lines", "3000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "each with one result that is its own: 6 kills" in done.stdout


# What is wrong is named, before anything is sent.

GOOD = chat("a", model="mine/m")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "line, message",
    [
        ('{"custom_id": "b", "url"', "line 2 is not JSON"),
        ("[1]", r"line 2 must be a JSON object, not '\[1\]'"),
        ({**chat("b"), "url": "/v1/audio"}, "line 2 has the url '/v1/audio'; expected /v1/chat/completions"),
        ({**chat("b"), "url": 5}, "line 2 has the url 5"),
        ({**chat("b"), "method": "GET"}, "line 2 has the method 'GET'"),
        ({**chat("b"), "body": 5}, "line 2 must have an object as body, not 5"),
        ({**chat("b"), "body": {"model": "mine/m"}}, "line 2 must have a list of messages as body.messages, not None"),
        (chat("b"), "line 2 has no model"),
        (chat("b", model="nobody/m"), "line 2 has a model with an unknown provider: .*nobody/m"),
        (chat("b", model=""), "line 2 has no model"),
        (chat("b", model="mine/m", stream=True), "line 2 has stream"),
        (chat("b", model="mine/m", api_base="http://x"), "line 2 has body.api_base, which is an option of the client"),
        (chat(None, model="mine/m"), "line 2 must have a str as custom_id, not None"),
        (chat("", model="mine/m"), "line 2 must have a str as custom_id, not ''"),
        (chat("a", model="mine/m"), "line 2 has the custom_id 'a' of an earlier line"),
        ({"x": 1}, "line 2 must have messages, prompt, or url and body"),
        ({"prompt": "a", "model": "mine/m", "response": 1}, "line 2 has the field response"),
        ({"prompt": 5, "model": "mine/m"}, "line 2 must have a str or a list as prompt, not 5"),
    ],
)
async def test_a_line_that_is_wrong(files: Files, line: Any, message: str) -> None:
    handler = Handler()
    files.write(GOOD, line)
    with pytest.raises(tokenwire.BadRequestError, match=message) as caught:
        await files.run(handler, model=None)
    assert (caught.value.fault, caught.value.param) == ("caller", "input")
    assert handler.asked == []


@pytest.mark.anyio
async def test_ids_that_are_missing_or_twice_are_numbered_where_asked(files: Files) -> None:
    files.write(chat("a"), chat(None), chat("a"), chat(5))
    await files.run(Handler(), number_ids=True)
    assert files.ids == ["5", "a", "a-3", "line-2"]
    handler = Handler()
    assert (await files.run(handler, number_ids=True)).earlier == 4
    assert handler.asked == []


@pytest.mark.anyio
async def test_an_output_of_something_else(files: Files) -> None:
    files.write(chat("a", "1"), chat("b", "2"))
    await files.run(Handler())
    handler = Handler()
    files.write(chat("a", "1"), chat("other", "2"))
    with pytest.raises(tokenwire.BadRequestError, match=r"line 2 has the custom_id 'other', but .* another input"):
        await files.run(handler)
    files.output.write_text("a note\n")
    with pytest.raises(tokenwire.BadRequestError, match=r"out\.jsonl, line 1 is not a result of a batch"):
        await files.run(handler)
    assert files.output.read_text() == "a note\n"
    assert handler.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda files: {"output": files.output.with_suffix(".zst")}, r"can be \.gz"),
        (lambda files: {"output": files.output.parent / "none" / "out"}, "No such file"),
        (lambda files: {"input": files.input.with_name("none")}, "none: No such file"),
        (lambda files: {"input": files.input.with_name("none.zst")}, "zstandard|No such file"),
        (lambda files: {"errors": str(files.output)}, "errors must be another file than the output"),
        (lambda _: {"sync_seconds": -1}, "sync_seconds must be"),
        (lambda _: {"concurrency": "many"}, "concurrency must be"),
        (lambda _: {"concurrency": 0}, "concurrency must be"),
    ],
)
async def test_arguments_that_are_wrong(files: Files, change: Callable[[Files], dict[str, Any]], message: str) -> None:
    files.write(GOOD)
    given = {"input": files.input, "output": files.output, **change(files)}
    with pytest.raises(tokenwire.BadRequestError, match=message):
        await abatch(str(given.pop("input")), str(given.pop("output")), **given)


@pytest.mark.anyio
async def test_memory_of_ids_is_a_few_bytes_a_line() -> None:
    from tokenwire.jobs.lines import Ids
    from tokenwire.jobs.output import Done, mark

    ids, done, count = Ids(), Done(), 100_000
    empty = sum(map(sys.getsizeof, ids._buckets))
    assert all(ids.add(b"id-%d" % number) and done.add_all([number], [b"id-%d" % number]) is None for number in range(1, count))
    assert not any(ids.add(b"id-%d" % number) for number in range(1, count, 97))
    assert all(done.mark_of(number) == mark(b"id-%d" % number) for number in range(1, count, 97))
    size = sum(map(sys.getsizeof, ids._buckets)) - empty + sys.getsizeof(done._marks)
    assert size <= 16 * count


# A compressed output.

one_loop = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])


def in_gzip(files: Files) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(files.output.read_bytes()).splitlines()]


@pytest.mark.anyio
@one_loop
async def test_a_compressed_output_is_cut_anywhere_and_gone_on_with(files: Files) -> None:
    files.output = files.output.with_suffix(".gz")
    names = [f"id-{number}" for number in range(6)]
    files.write(*[chat(name, "bad" if name == "id-3" else name) for name in names])
    handler = Handler()
    progress = await files.run(handler, sync_seconds=0)
    assert (progress.done, progress.failed) == (6, 1)
    assert sorted(result["custom_id"] for result in in_gzip(files)) == names
    whole = files.output.read_bytes()
    ends = [0, *[place for place in range(1, len(whole) + 1) if is_whole_gzip(whole[:place])]]
    assert len(ends) == 7  # a group of each line
    cuts = [*[(place, b"") for place in range(0, len(whole), 41)], (ends[1], bytes(600)), (ends[-1], bytes(600))]
    for place, zeros in cuts:  # which a power cut may leave
        files.output.write_bytes(whole[:place] + zeros)
        before = max(end for end in ends if end <= place)
        handler.asked.clear()
        progress = await files.run(handler)
        assert files.output.read_bytes().startswith(whole[:before])
        assert (progress.earlier, len(handler.asked)) == (ends.index(before), 6 - ends.index(before))
        assert sorted(result["custom_id"] for result in in_gzip(files)) == names
    handler.fails = False
    progress = await files.run(handler, retry_failed=True)
    assert (progress.earlier, progress.done, progress.failed) == (5, 1, 0)
    assert sorted(result["custom_id"] for result in in_gzip(files)) == names


def is_whole_gzip(data: bytes) -> bool:
    try:
        gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile):
        return False
    return True


@pytest.mark.parametrize(
    "data, message",
    [(b"{}\n", "is not in gzip's format"), (gzip.compress(b"{}\n"), "is not a result of a batch")],
    ids=["text", "gzip"],
)
def test_what_is_no_compressed_output_of_a_batch_is_left_alone(data: bytes, message: str, files: Files) -> None:
    files.output = files.output.with_suffix(".gz")
    files.write(chat())
    files.output.write_bytes(data)
    with pytest.raises(tokenwire.BadRequestError, match=message):
        batch(str(files.input), str(files.output), model="openai/m")
    assert files.output.read_bytes() == data


def test_damage_in_the_middle_of_a_compressed_output_is_said(files: Files) -> None:
    files.output = files.output.with_suffix(".gz")
    files.write(chat())
    result = b'{"id":"batch_req_1","custom_id":"a","response":null,"error":null}\n'
    files.output.write_bytes(data := gzip.compress(result) + b"damage" + gzip.compress(result))
    with pytest.raises(tokenwire.BadRequestError, match=rf"is damaged after byte {len(gzip.compress(result))}: "):
        batch(str(files.input), str(files.output), model="openai/m")
    assert files.output.read_bytes() == data
