"""`tokenwire chat` with a single prompt, in this process."""

import json
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

import tokenwire as library
from tokenwire.testing import Endpoint, Reply, chunk, chunks

KEY = "sk-very-secret"


def test_the_reply_is_printed(chat: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=chunks("Hello there!\nAnd bye."))) as endpoint:
        run = chat(endpoint, "Hi")
    assert run == (0, "Hello there!\nAnd bye.\n", "")
    asked = endpoint.requests[0].json()
    assert asked == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def test_no_provider_s_key_is_shown(chat: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OTHER_API_KEY"):
        monkeypatch.setenv(name, f"secret of {name}")
    said = "the keys 'secret of OTHER_API_KEY' and 'secret of ANTHROPIC_API_KEY' are wrong"
    with Endpoint(Reply(status=401, json={"error": {"message": said}})) as endpoint:
        run = chat(endpoint, "Hi")
    assert "the keys '***' and '***' are wrong" in run.err


def test_a_line_break_at_the_end_of_the_reply_is_enough(chat: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=chunks("done\n"))) as endpoint:
        assert chat(endpoint, "Hi").out == "done\n"


def test_the_options_reach_the_endpoint(chat: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=chunks("ok"))) as endpoint:
        run = chat(endpoint, "-s", "Be brief.", "--temperature", "0", "--max-tokens", "7", "--api-key", KEY, "Hi", "there")
    assert run.status == 0
    asked = endpoint.requests[0]
    assert asked.json()["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi there"}]
    assert (asked.json()["temperature"], asked.json()["max_tokens"]) == (0, 7)
    assert asked.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "arguments, stdin, prompt",
    [
        ([], "from a pipe\n", "from a pipe"),
        (["Sum this up:"], "a\nb\n", "Sum this up:\n\na\nb"),
        (["alone"], "", "alone"),
        (["caf\udcc3\udca9 \udcff"], "", "caf\ufffd\ufffd \ufffd"),  # as Python hands over bytes it can't decode
    ],
)
def test_what_is_asked(chat: Callable[..., Any], arguments: list[str], stdin: str, prompt: str) -> None:
    with Endpoint(Reply(events=chunks("ok"))) as endpoint:
        assert chat(endpoint, *arguments, stdin=stdin).status == 0
    assert endpoint.requests[0].json()["messages"][-1]["content"] == prompt


def test_json_prints_a_line_for_each_chunk(chat: Callable[..., Any]) -> None:
    sent = [chunk("", role="assistant"), chunk("a\nb") | {"novel": 1}, chunk(finish_reason="stop")]
    with Endpoint(Reply(events=sent)) as endpoint:
        run = chat(endpoint, "--json", "Hi")
    lines = [json.loads(line) for line in run.out.splitlines()]
    assert [line["choices"][0].get("finish_reason") for line in lines] == [None, None, "stop"]
    assert lines[1]["choices"][0]["delta"]["content"] == "a\nb"
    assert lines[1]["novel"] == 1
    assert run.err == ""


@pytest.mark.parametrize("name", ["m", "openai/m"])
def test_an_address_in_the_environment_is_an_address(
    tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with Endpoint(Reply(events=chunks("ok"))) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        assert tokenwire("chat", "-m", name, "Hi").out == "ok\n"
    assert endpoint.requests[0].json()["model"] == "m"


def test_a_model_with_a_slash_keeps_it(tokenwire: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=chunks("ok"))) as endpoint:
        assert tokenwire("chat", "-m", "meta-llama/Llama-3", "--api-base", endpoint.url, "Hi").status == 0
    assert endpoint.requests[0].json()["model"] == "meta-llama/Llama-3"


def test_a_handler_answers(tokenwire: Callable[..., Any]) -> None:
    async def shout(messages: list[dict[str, str]]) -> AsyncGenerator[str, None]:
        yield messages[0]["content"].upper()

    library.register("cli-test-shout", shout)
    assert tokenwire("chat", "-m", "cli-test-shout/any", "hi").out == "HI\n"


@pytest.mark.parametrize(
    "events, out, remark",
    [
        ([chunk(finish_reason="stop")], "", "the reply is empty; finish reason: stop"),
        (chunks("cut", finish_reason="length"), "cut\n", "the reply has reached its length limit"),
    ],
    ids=["empty", "length"],
)
def test_what_a_reply_lacks_is_remarked_on(chat: Callable[..., Any], events: list[Any], out: str, remark: str) -> None:
    with Endpoint(Reply(events=events)) as endpoint:
        assert chat(endpoint, "Hi") == (0, out, f"({remark})\n")


@pytest.mark.parametrize(
    "reply, out, said",
    [
        (
            Reply(status=429, json={"error": {"message": "slow\ndown \x1b[2J", "code": "busy"}}),
            "",
            "HTTP 429: openai/m: slow down",
        ),
        (Reply(status=502, body=b"<html><title>Bad gateway</title>"), "", "HTTP 502: openai/m: Bad gateway"),
        (Reply(status=500, json={"error": "x" * 5000}), "", "x" * 900),
        (Reply(body=b""), "", "empty body"),
        (Reply(events=["half a rep"], done=False), "half a rep\n", "the stream ended before it was complete"),
        (Reply(events=["half a rep"], cut="rst"), "half a rep\n", "broke"),
        (Reply(events=["a bit", {"error": {"message": "no more"}}]), "a bit\n", "no more"),
        (Reply(events=["a bit", b"data: {\n\n"]), "a bit\n", "openai/m: "),
    ],
    ids=["429", "502", "long", "empty", "truncated", "reset", "error event", "malformed"],
)
def test_a_failure_is_one_line(chat: Callable[..., Any], reply: Reply, out: str, said: str) -> None:
    reply.done = False
    with Endpoint(reply) as endpoint:
        run = chat(endpoint, "--retries", "0", "Hi")
    assert (run.status, run.out) == (1, out)
    assert said in run.err
    assert run.err.startswith("tokenwire: ")
    assert run.err.count("\n") == 1
    assert "\x1b" not in run.err
    assert len(run.err) < 1100


def test_nobody_listens(tokenwire: Callable[..., Any]) -> None:
    with Endpoint(Reply()) as endpoint:
        pass
    run = tokenwire("chat", "-m", "m", "--api-base", endpoint.url, "--retries", "0", "Hi")
    assert (run.status, run.out) == (1, "")
    asked = f"The request was POST {endpoint.url}/chat/completions"
    assert run.err == f"tokenwire: openai/m: cannot connect: Connection refused. {asked}\n"


def test_the_longest_wait_is_kept(chat: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=["a"], done=False, stall=True)) as endpoint:
        run = chat(endpoint, "--timeout", "0.2", "--retries", "0", "Hi")
        assert (run.status, run.out) == (1, "a\n")
        assert "0.2 s" in run.err
        endpoint.wait_until(lambda: endpoint.open_connections == 0)


def test_failures_are_tried_again(chat: Callable[..., Any]) -> None:
    with Endpoint([Reply(status=503, headers={"retry-after": "0"}), Reply(events=chunks("ok"))]) as endpoint:
        assert chat(endpoint, "Hi").out == "ok\n"


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_the_key_is_never_shown(chat: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    arguments = ["--api-key", KEY] if where == "argument" else []
    if where == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Endpoint(
        lambda asked: Reply(status=401, json={"error": {"message": f"bad {asked.headers['authorization']}"}})
    ) as endpoint:
        run = chat(endpoint, *arguments, "Hi")
    assert run.status == 1
    assert "bad Bearer ***" in run.err
    assert KEY not in run.out + run.err


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "name a model: -m MODEL"),
        (["-m", "opnai/gpt-5", "Hi"], "no provider is known for the model 'opnai/gpt-5'. Did you mean \"openai/gpt-5\"?"),
        (["-m", "nonsense", "Hi"], "no provider is known for the model 'nonsense': give its address with --api-base URL"),
        (["-m", "", "Hi"], "--model must be"),
        (["-m", "m", "--api-base", "localhost:1", "Hi"], "--api-base must be the base URL"),
        (["-m", "m", "--api-base", "http://h/v1/chat/completions", "Hi"], "without /chat/completions"),
        (["-m", "m", "--api-base", "http://h/v1", "--api-key", "a\nb", "Hi"], "--api-key must not"),
        (["-m", "m", "--api-base", "http://h/v1"], "there is nothing to ask"),
        (["-m", "m", "--temperature", "hot"], "--temperature: must be a number, not 'hot'"),
        (["-m", "m", "--temperature", "nan"], "--temperature: must be a finite number"),
        (["-m", "m", "--max-tokens", "0"], "--max-tokens: must be 1 or more"),
        (["-m", "m", "--retries", "-1"], "--retries: must be 0 or more"),
        (["-m", "m", "--timeout", "0"], "--timeout: must be above 0"),
        (["-m", "m", "--json", "--markdown"], "not allowed with"),
        (["-m", "m", "--api-ky", KEY], "there is no option --api-ky: did you mean --api-key?"),
        (["-m", "m", f"--api-ky={KEY}"], "there is no option --api-ky: did you mean --api-key?"),
        (["-m", "m", "--verbosity", "Hi"], "there is no option --verbosity ("),
        (["Hi", "-m", "m", KEY], "put the PROMPT in quotes"),
    ],
)
def test_wrong_arguments(tokenwire: Callable[..., Any], arguments: list[str], said: str) -> None:
    run = tokenwire("chat", *arguments)
    assert (run.status, run.out) == (2, "")
    assert said in run.err
    assert run.err.count("\n") == 1
    assert KEY not in run.err


def test_a_missing_key_is_a_failure(tokenwire: Callable[..., Any]) -> None:
    run = tokenwire("chat", "-m", "openai/gpt-4o-mini", "Hi")
    assert run.status == 1
    assert "pass --api-key, or set OPENAI_API_KEY" in run.err


def test_markdown_is_plain_text_where_there_is_no_terminal(chat: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=chunks("*so*"))) as endpoint:
        assert chat(endpoint, "--markdown", "Hi") == (0, "*so*\n", "")


def test_only_markdown_needs_rich(chat: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rich", "rich.console", "rich.live", "rich.markdown"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "tokenwire.cli._markdown", raising=False)
    with Endpoint(Reply(events=chunks("ok"))) as endpoint:
        assert chat(endpoint, "Hi").status == 0
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        run = chat(endpoint, "--markdown", "Hi")
    assert run == (2, "", "tokenwire: --markdown needs rich: pip install 'tokenwire[cli]'\n")


PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


def test_images_go_along(chat: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(PNG)
    (tmp_path / "two.webp").write_bytes(b"RIFF\0\0\0\0WEBP")
    with Endpoint(Reply(events=chunks("a cat"))) as endpoint:
        run = chat(endpoint, "--attach", str(tmp_path / "one.png"), "--attach", str(tmp_path / "two.webp"), "What is it?")
    assert run == (0, "a cat\n", "")
    text, *images = endpoint.requests[0].json()["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    assert [image["image_url"]["url"] for image in images] == [
        f"data:image/png;base64,{b64encode(PNG).decode()}",
        "data:image/webp;base64,UklGRgAAAABXRUJQ",
    ]


@pytest.mark.parametrize("content, said", [(None, "No such file"), (b"%PDF-1.7", "must be a PNG")], ids=["none", "PDF"])
def test_what_cannot_be_attached_is_said_before_anything_is_sent(
    chat: Callable[..., Any], tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "it").write_bytes(content)
    with Endpoint(Reply()) as endpoint:
        run = chat(endpoint, "--attach", str(tmp_path / "it"), "Hi")
    assert (run.status, endpoint.requests) == (2, [])
    assert said in run.err


def test_the_model_may_come_from_the_environment(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert tokenwire("chat", "Hi").err.startswith("tokenwire chat: name a model: -m MODEL, or TOKENWIRE_MODEL")
    with Endpoint(Reply(events=chunks("ok"))) as endpoint:
        monkeypatch.setenv("TOKENWIRE_MODEL", "from-there")
        assert tokenwire("chat", "--api-base", endpoint.url, "Hi").out == "ok\n"
    assert endpoint.requests[0].json()["model"] == "from-there"
