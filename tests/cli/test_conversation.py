"""`tokenwire chat` as a conversation, typed at a terminal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenwire.testing import Endpoint, Reply, chunk, chunks

PROMPT = "> "
CTRL_C, CTRL_D = "\x03", "\x04"


def messages_of(endpoint: Endpoint, request: int) -> list[Any]:
    return [message["content"] for message in endpoint.requests[request].json()["messages"]]


def test_the_messages_are_kept(terminal: Callable[..., Any]) -> None:
    with Endpoint([Reply(events=chunks("I am fine.")), Reply(events=chunks("I said so."))]) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url, "-s", "Be kind.")
        screen.wait_for(PROMPT)
        screen.type("How are you?\n")
        screen.wait_for("I am fine.")
        screen.wait_for(PROMPT)
        screen.type("Really?\n")
        screen.wait_for("I said so.")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0
        assert messages_of(endpoint, 1) == ["Be kind.", "How are you?", "I am fine.", "Really?"]
        assert endpoint.requests[0].connection == endpoint.requests[1].connection


def test_ctrl_c_stops_the_reply_alone(terminal: Callable[..., Any]) -> None:
    replies = [Reply(events=["Once", " upon"], done=False, stall=True), Reply(events=chunks("a time"))]
    with Endpoint(replies) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url)
        screen.wait_for(PROMPT)
        screen.type("A story!\n")
        screen.wait_for("Once upon")
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        endpoint.wait_closed(endpoint.requests[0])
        assert endpoint.requests[0].aborted
        screen.wait_for(PROMPT)
        screen.type("Go on.\n")
        screen.wait_for("a time")
        screen.wait_for(PROMPT)
        assert messages_of(endpoint, 1) == ["A story!", "Once upon", "Go on."]


def test_a_turn_that_brought_nothing_is_forgotten(terminal: Callable[..., Any]) -> None:
    replies = [Reply(delay=60), Reply(status=400, json={"error": {"message": "too rude"}}), Reply(events=chunks("ok"))]
    with Endpoint(replies) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url)
        screen.wait_for(PROMPT)
        screen.type("one\n")
        endpoint.wait_until(lambda: endpoint.requests)
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
        screen.type("two\n")
        screen.wait_for("HTTP 400: openai/m: too rude")
        screen.wait_for(PROMPT)
        screen.type("\n  \nthree\n")
        screen.wait_for("ok")
        assert messages_of(endpoint, 2) == ["three"]


def test_ctrl_c_at_the_prompt_leaves(terminal: Callable[..., Any]) -> None:
    with Endpoint(Reply()) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url)
        screen.wait_for(PROMPT)
        screen.type("never mind")
        screen.wait_for("never mind")
        assert screen.press_ctrl_c_and_wait_for_end() == 0
        assert endpoint.requests == []


def test_pasted_lines_are_one_message(terminal: Callable[..., Any]) -> None:
    readline = pytest.importorskip("readline")
    if "libedit" in (readline.__doc__ or ""):
        pytest.skip("libedit sends each pasted line by itself")
    with Endpoint(Reply(events=chunks("ok"))) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url)
        screen.wait_for("\x1b[?2004h")  # asks the terminal to mark what is pasted
        screen.wait_for(PROMPT)
        screen.type("\x1b[200~one\ntwo\x1b[201~\n")
        screen.wait_for("ok")
        assert messages_of(endpoint, 0) == ["one\ntwo"]


def test_what_would_move_the_cursor_is_not_shown(terminal: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=[chunk("\x1b]0;title\x07bare\x1b[2J\r\nnext", finish_reason="stop")])) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url, "Hi")
        shown = screen.wait_for("next")
    assert shown == "\ufffd]0;title\ufffdbare\ufffd[2J\r\nnext"


def test_reasoning_is_shown_on_a_terminal(terminal: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=[chunk(reasoning_content="hm"), chunk(reasoning="m"), *chunks("42")])) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url, "Hi")
        assert screen.wait_for("42") == "hmm\r\n\r\n42"


def test_wrong_arguments_come_before_the_first_prompt(terminal: Callable[..., Any]) -> None:
    screen = terminal("chat", "-m", "m", "--api-base", "nowhere")
    screen.wait_for("--api-base must be")
    assert screen.wait_for_end() == 2


def test_markdown_is_formatted(terminal: Callable[..., Any]) -> None:
    pytest.importorskip("rich")
    with Endpoint(Reply(events=chunks("So *much*:\n\n- one\n- two\n"))) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url, "--markdown", "Hi")
        shown = screen.wait_for("two")
        assert screen.wait_for_end() == 0
    assert "\x1b[1m • \x1b[0mone" in shown  # bold, where NO_COLOR rules out more
    assert "*much*" not in shown.rpartition("So")[2]


def test_messages_are_broken_between_words(terminal: Callable[..., Any]) -> None:
    with Endpoint(Reply(status=400, json={"error": {"message": "one two " * 12}})) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url, "Hi", columns=40)
        lines = screen.wait_for("/chat/completions").splitlines()
        assert screen.wait_for_end() == 1
    told = [line for line in lines if "one" in line]
    assert len(told) >= 3
    assert all(len(line) <= 40 for line in told)
    assert sum(line.split().count("one") for line in told) == 12  # none of them is split


def test_commands(terminal: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a b.gif").write_bytes(b"GIF89a")
    with Endpoint([Reply(events=chunks(f"answer {number}.")) for number in range(3)]) as endpoint:
        screen = terminal("chat", "-m", "m", "--api-base", endpoint.url, "-s", "Be kind.")
        for typed, shown in (
            ("/help", "/attach IMAGE"),
            ("/nonsense", "there is no command /nonsense"),
            ("/attach", "name a PNG, JPEG, GIF or WebP file"),
            (f"/attach {tmp_path}/none.gif", "No such file"),
            (f"/attach {tmp_path}/a b.gif", PROMPT),
            ("/usr/bin is what?", "answer 0."),
            ("And now?", "answer 1."),
            ("/new", PROMPT),
            ("Who am I?", "answer 2."),
        ):
            screen.type(f"{typed}\n")
            screen.wait_for(shown)
        screen.wait_for(PROMPT)
        screen.type("exit\n")
        assert screen.wait_for_end() == 0
        contents = [messages_of(endpoint, request) for request in range(3)]
    image = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlh"}}
    asked = [{"type": "text", "text": "/usr/bin is what?"}, image]
    assert contents == [
        ["Be kind.", asked],
        ["Be kind.", asked, "answer 0.", "And now?"],
        ["Be kind.", "Who am I?"],
    ]
