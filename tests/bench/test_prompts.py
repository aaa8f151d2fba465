"""What is asked: given, from a file, made up."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from tokenwire.bench import prompts
from tokenwire.bench.record import Prompt
from tokenwire.exceptions import BadRequestError


def texts(found: list[Prompt]) -> list[Any]:
    return [prompt.messages[-1]["content"] for prompt in found]


def file(folder: Path, text: str, name: str = "prompts") -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


def test_lines_of_a_batch(tmp_path: Path) -> None:
    body = '{"model": "other", "messages": [{"role": "user", "content": "a"}], "temperature": 0, "max_tokens": 9}'
    line = f'{{"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": {body}}}'
    plain = '{"prompt": "b", "stream": false}\n\n{"messages": [{"role": "user", "content": "c"}], "label": 1}\n'
    found = prompts.read(file(tmp_path, f"{line}\n{plain}"))
    assert texts(found) == ["a", "b", "c"]
    assert [dict(prompt.params) for prompt in found] == [{"temperature": 0, "max_tokens": 9}, {}, {}]
    source = prompts.cycled(found)
    assert texts([source(number) for number in range(5)]) == ["a", "b", "c", "a", "b"]


def test_a_compressed_file(tmp_path: Path) -> None:
    (tmp_path / "in.gz").write_bytes(gzip.compress(b'{"prompt": "a"}\n'))
    assert texts(prompts.read(str(tmp_path / "in.gz"))) == ["a"]


def test_conversations(tmp_path: Path) -> None:
    turns = '{"id": "1", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}'
    assert texts(prompts.read(file(tmp_path, f'\n[{turns}, {{"conversations": []}},\n{turns}]'))) == ["a", "a"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("hello", "line 1 is not JSON"),
        ('{"prompt": "a"}\n{"prompt": 1}', "line 2 must have a str or a list as prompt"),
        ('{"url": "/v1/embeddings", "body": {"input": "a"}}', "line 1 must be a chat completion"),
        ('{"url": "/v1/responses", "body": {"input": "a"}}', "line 1 must be a chat completion"),
        ('{"prompt": ["a", "b"]}', "line 1 must be a chat completion"),
        ("[1]", 'a JSON list of objects with "conversations"'),
        ('[{"conversations": [{"from": "human"}]}]', "missing required field `value`"),
        ('[{"conversations": []}]', "no conversation with a turn"),
        ("[", "must be a JSON list"),
    ],
)
def test_a_file_that_is_wrong(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=words):
        prompts.read(file(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="No such file"):
        prompts.read(str(tmp_path / "nothing"))


def test_made_ones_follow_from_the_seed_and_begin_apart() -> None:
    one, same, other = prompts.made(50, 1), prompts.made(50, 1), prompts.made(50, 2)
    found = texts([one(number) for number in range(200)])
    assert found == texts([same(number) for number in range(200)])
    assert found != texts([other(number) for number in range(200)])
    assert len({text.split()[0] for text in found}) == 200
    assert [len(text.split()) for text in found] == [50] * 200
    assert texts([prompts.made(1, 0)(3)]) == ["3"]
