r"""What the README shows, works.

An HTML comment on the line above a fenced block says what the block is; readers of the page don't see it::

    <!-- run -->                     a python block, run in an interpreter of its own
    <!-- run: name=hello -->         ... that later blocks may continue
    <!-- run: after=hello -->        ... with the code of the block "hello" in front of it
    <!-- run: loop=trio -->          ... its top-level `await`s run on trio; asyncio is the default
    <!-- run: serve=PATH -->         ... while `tokenwire serve` serves that file's handler of the same name; its address here
                                     stands in place of `http://127.0.0.1:8000`
    <!-- output -->                  a block that holds what the run block before it prints; "..." stands for anything
    <!-- command: test -->           a bash block of one line: the command that installs the package and runs its tests
    <!-- command: demo -->           ... and the one that shows it at work

Options may be combined: `<!-- run: name=a after=b loop=trio -->`. A run block talks to an endpoint on this machine
(`OPENAI_BASE_URL` leads there) which answers every model alike, in whole or as a stream: "Hello from tokenwire!".
A python block without a comment is only compiled.
"""

import ast
import doctest
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ANSWER = "Hello from tokenwire!"

BLOCK = re.compile(
    r"^(?:<!-- *(?P<mark>[^>]*?) *-->\n+)?```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARKS = ("run", "output", "command", "")

# Reads a block on standard input and runs it: with `await` at top level in a loop, otherwise as it is.
RUNNER = """
import ast, inspect, sys
code = compile(sys.stdin.read(), "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
names = {"__name__": "__main__"}
if code.co_flags & inspect.CO_COROUTINE:
    import anyio
    async def main(): await eval(code, names)
    anyio.run(main, backend=sys.argv[1])
else:
    exec(code, names)
"""


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    mark: str = ""  # "run", "output", "command" or ""
    options: dict[str, str] = field(default_factory=dict[str, str])
    value: str = ""  # a command's name

    def __str__(self) -> str:
        return self.options.get("name") or f"line {self.line}"


def blocks_of(text: str) -> list[Block]:
    return [block_from(match, text) for match in BLOCK.finditer(text)]


def block_from(match: "re.Match[str]", text: str) -> Block:
    mark, _, rest = (match["mark"] or "").partition(":")
    words = rest.split()
    options = dict(word.split("=", 1) for word in words if "=" in word)
    value = " ".join(word for word in words if "=" not in word)
    line = text.count("\n", 0, match.start("code"))
    known = mark.strip() if mark.strip() in MARKS else ""  # other comments are none of ours
    return Block(match["language"], match["code"], line, known, options, value)


def readme() -> list[Block]:
    return blocks_of(README.read_text("utf-8")) if README.is_file() else []


BLOCKS = readme()
PYTHON = [block for block in BLOCKS if block.language in ("python", "py")]
RUNS = [block for block in PYTHON if block.mark == "run"]


def answer(request: Received) -> Reply:
    """What the endpoint behind the README's examples says to everything."""
    asked: dict[str, Any] = request.json() if request.body else {}
    if request.path.endswith("/chat/completions"):
        return Reply(events=[*chunks(ANSWER, size=6)]) if asked.get("stream") else Reply(json=completion(ANSWER))
    if request.path.endswith("/completions"):
        choice = {"index": 0, "text": ANSWER, "finish_reason": "stop"}
        whole = {"id": "cmpl-1", "object": "text_completion", "created": 0, "model": "m", "choices": [choice]}
        return Reply(events=[whole]) if asked.get("stream") else Reply(json=whole)
    if request.path.endswith("/embeddings"):
        inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        vectors = [{"object": "embedding", "index": index, "embedding": [0.0, 1.0]} for index in range(len(inputs))]
        return Reply(json={"object": "list", "model": "m", "data": vectors})
    if request.path.endswith("/images/generations"):
        return Reply(json={"created": 0, "data": [{"url": "https://example.org/image.png"}]})
    if request.path.endswith("/models"):
        return Reply(json={"object": "list", "data": [{"id": "test-model", "object": "model"}]})
    return Reply(status=404, json={"error": {"message": f"no {request.path} here"}})


def source_of(block: Block, blocks: list[Block]) -> str:
    """The block's code, behind that of the blocks it continues."""
    if "after" not in block.options:
        return block.code
    before = next(other for other in blocks if other.options.get("name") == block.options["after"])
    return f"{source_of(before, blocks)}\n{block.code}"


def run(block: Block, blocks: list[Block], cwd: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", RUNNER, block.options.get("loop", "asyncio")]
    with served(block.options.get("serve")) as origin:
        code = source_of(block, blocks).replace("http://127.0.0.1:8000", origin)
        done = subprocess.run(command, input=code, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"README.md, {block}:\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


@contextmanager
def served(path: str | None) -> Generator[str, None, None]:
    """Where `tokenwire serve` serves a file's handler of the same name; "" where there is none to serve."""
    if path is None:
        yield ""
        return
    file = ROOT / path
    command = [sys.executable, "-m", "tokenwire.cli", "serve", f"{file.stem}:{file.stem}", "--port", "0"]
    with subprocess.Popen(command, cwd=file.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield re.findall(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        finally:
            process.terminate()


def output_after(block: Block, blocks: list[Block]) -> str | None:
    following = blocks[blocks.index(block) + 1 :]
    return following[0].code if following and following[0].mark == "output" else None


def is_output(wanted: str, printed: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(wanted, printed, flags)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with Endpoint(answer) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-readme")
        yield running


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("block", RUNS, ids=str)
def test_run_blocks_run(block: Block, tmp_path: Path) -> None:
    printed = run(block, BLOCKS, tmp_path)
    wanted = output_after(block, BLOCKS)
    if wanted is not None:
        assert is_output(wanted, printed), f"it printed:\n{printed}"


def test_every_python_block_compiles() -> None:
    for block in PYTHON:
        compile(block.code, f"README.md, {block}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_files_are_shown_as_they_are() -> None:
    """A python block behind `<!-- file: PATH -->` is that file, which tests run, but for what only checkers read."""
    shown = re.findall(r"<!-- file: (\S+) -->\n+```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert shown
    for path, code in shown:
        lines = (ROOT / path).read_text("utf-8").splitlines()
        assert code.splitlines() == [line for line in lines if not line.startswith("# pyright:")]


def test_the_readme_shows_code_that_runs() -> None:
    assert RUNS


@pytest.mark.parametrize("name", ["test", "demo"])
def test_the_two_commands_are_one_line_each(name: str) -> None:
    commands = [block.code for block in BLOCKS if block.mark == "command" and block.value == name]
    assert len(commands) == 1
    assert len(commands[0].splitlines()) == 1
    subprocess.run(["bash", "-n", "-c", commands[0]], check=True, timeout=60)


def test_the_test_command_installs_the_tests_needs() -> None:
    (command,) = [block.code for block in BLOCKS if block.mark == "command" and block.value == "test"]
    assert "[test]" in command or "[test," in command
    assert "pytest" in command


def test_a_block_is_read_with_its_mark() -> None:
    text = (
        "Hi\n\n<!-- run: name=a loop=trio -->\n```python\nprint(1)\n```\n<!-- output -->\n```text\n1\n```\n```bash\nls\n```\n"
    )
    first, second, third = blocks_of(text)
    assert (first.mark, first.options, first.code, first.line) == ("run", {"name": "a", "loop": "trio"}, "print(1)\n", 4)
    assert (second.mark, second.language) == ("output", "text")
    assert (third.mark, third.language) == ("", "bash")


def test_a_block_runs_behind_the_one_it_continues(tmp_path: Path) -> None:
    text = (
        "<!-- run: name=a -->\n```python\nimport anyio\nx = 1\n```\n"
        "<!-- run: after=a loop=trio -->\n```python\nawait anyio.sleep(0)\nprint(x + 1)\n```\n<!-- output -->\n```text\n2\n```\n"
    )
    blocks = blocks_of(text)
    assert is_output(output_after(blocks[1], blocks) or "", run(blocks[1], blocks, tmp_path))


def test_a_block_that_fails_is_red(tmp_path: Path) -> None:
    (block,) = blocks_of("<!-- run -->\n```python\nraise SystemExit('no')\n```\n")
    with pytest.raises(AssertionError, match="no"):
        run(block, [block], tmp_path)
