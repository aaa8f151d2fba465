"""`tokenwire embed`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenwire.testing import Endpoint, Received, Reply


def vectors(request: Received) -> Reply:
    """A vector of each text's length, the last text first, as a server may have it."""
    texts = request.json()["input"]
    data = [{"object": "embedding", "index": index, "embedding": [len(text)]} for index, text in enumerate(texts)]
    return Reply(json={"object": "list", "model": "m", "data": data[::-1]})


@pytest.fixture
def embed(tokenwire: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: str, stdin: str = "", script: Any = vectors) -> tuple[int, list[Any], str, list[Any]]:
        with Endpoint(script) as endpoint:
            ran = tokenwire("embed", "-m", "m", "--api-base", endpoint.url, *arguments, stdin=stdin)
        lines = [json.loads(line) for line in ran.out.splitlines()]
        return ran.status, lines, ran.err, [request.json() for request in endpoint.requests]

    return run


def test_each_text_has_a_line(embed: Callable[..., Any]) -> None:
    status, lines, err, asked = embed("one", "three", "--dimensions", "1")
    assert (status, err) == (0, "")
    assert lines == [{"text": "one", "embedding": [3]}, {"text": "three", "embedding": [5]}]
    assert asked == [{"model": "m", "input": ["one", "three"], "dimensions": 1}]


def test_files_and_lines(embed: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "whole.txt").write_text("a\nb\n", "utf-8")
    (tmp_path / "lines.txt").write_text("ü\n\nzwei\n", "utf-8")
    _, lines, _, asked = embed("--file", str(tmp_path / "whole.txt"), "--lines", str(tmp_path / "lines.txt"), "--batch", "2")
    assert [line.get("text") or Path(line["file"]).name for line in lines] == ["whole.txt", "ü", "zwei"]
    assert [request["input"] for request in asked] == [["a\nb\n", "ü"], ["zwei"]]


@pytest.mark.parametrize("arguments, texts", [([], ["a\nb"]), (["--lines", "-"], ["a", "b"]), (["--file", "-"], ["a\nb\n"])])
def test_standard_input(embed: Callable[..., Any], arguments: list[str], texts: list[str]) -> None:
    assert embed(*arguments, stdin="a\nb\n")[3][0]["input"] == texts


def test_nothing_to_embed(embed: Callable[..., Any]) -> None:
    status, _, err, asked = embed()
    assert (status, asked) == (2, [])
    assert "nothing to embed" in err


@pytest.mark.parametrize("content, said", [(None, "No such file"), (b"\xff\n", "not UTF-8")])
def test_a_file_that_cannot_be_read(embed: Callable[..., Any], tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    status, _, err, _ = embed("--lines", str(tmp_path / "x"))
    assert status == 2
    assert "--lines" in err
    assert said in err


def test_a_vector_that_is_missing_is_an_error(embed: Callable[..., Any]) -> None:
    few = Reply(json={"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [1]}]})
    status, lines, err, _ = embed("one", "two", script=few)
    assert (status, lines) == (1, [])
    assert "2 texts were sent, but 1 vectors came back" in err


def test_the_model_may_come_from_the_environment(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "TOKENWIRE_EMBEDDING_MODEL" in tokenwire("embed", "text").err
    with Endpoint(vectors) as endpoint:
        monkeypatch.setenv("TOKENWIRE_EMBEDDING_MODEL", "from-there")
        assert tokenwire("embed", "--api-base", endpoint.url, "text").status == 0
    assert endpoint.requests[0].json()["model"] == "from-there"
