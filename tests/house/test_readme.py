r"""What the README and the guide show, works.

An HTML comment on the line above a fenced block says what the block is; readers of the page don't see it::

    <!-- run -->                     a python block, run in a process of its own
    <!-- run: name=hello -->         ... that later blocks of the page may continue
    <!-- run: after=hello -->        ... with the code of the block "hello" before it
    <!-- run: loop=trio -->          ... its top-level `await`s run on trio; asyncio is the default
    <!-- run: serve=PATH -->         ... while `tokenwire serve` serves that file's handler of the same name; its address here
                                     replaces `http://127.0.0.1:8000`
    <!-- output -->                  a block that holds what the run block before it prints; "..." stands for anything
    <!-- file: PATH -->              a python block that is that file, which other tests run
    <!-- command: test -->           a bash block of one line: the command that installs the package and runs its tests
    <!-- command: demo -->           ... and the one that shows it at work

Options may be combined: `<!-- run: name=a after=b loop=trio -->`. A run block talks to an endpoint on this machine
(`OPENAI_BASE_URL` leads there) which answers every model alike, in whole or as a stream: "Hello from tokenwire!".
A python block without a comment is only compiled.

The blocks run in forks of one interpreter that has imported the library: each begins as if it were the first, and ends as a
program does.
"""

import ast
import doctest
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tokenwire
from tokenwire import exceptions, jobs, testing
from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / ".github/docs/pages"  # which an sdist does not have
PAGES = [page for page in (README, *sorted(DOCS.rglob("*.md"))) if page.is_file()]
ANSWER = "Hello from tokenwire!"
SECONDS = 60  # that a block may take

BLOCK = re.compile(
    r"^(?:<!-- *(?P<mark>[^>]*?) *-->\n+)?```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)")  # to a file
MARKS = ("run", "output", "file", "command", "")

# Reads programs on standard input, one a line, and runs each in a fork of this interpreter: with `await` at top level in a
# loop, otherwise as it is. What it prints goes to the files "out" and "err", and its status to standard output. What is
# imported here need not be imported by each.
RUNNER = """
import ast, inspect, json, os, signal, sys
import anyio, httpx, msgspec, trio, tokenwire, tokenwire.testing
from anyio._backends import _asyncio, _trio
for module in (tokenwire, tokenwire.testing):
    for name in module.__all__:
        getattr(module, name)
while program := sys.stdin.readline():
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
code, loop, folder, seconds = json.loads(program)
signal.alarm(seconds)
os.chdir(folder)
for descriptor, kind in (1, "out"), (2, "err"):
    os.dup2(os.open(kind, os.O_CREAT | os.O_WRONLY), descriptor)
compiled = compile(code, "page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
names = {"__name__": "__main__"}
if compiled.co_flags & inspect.CO_COROUTINE:
    async def main(): await eval(compiled, names)
    anyio.run(main, backend=loop)
else:
    exec(compiled, names)
"""


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    mark: str = ""  # "run", "output", "command" or ""
    options: dict[str, str] = field(default_factory=dict[str, str], hash=False)
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


class Ran(NamedTuple):
    """What came of a block."""

    status: int
    printed: str
    errors: str


@cache
def blocks_in(page: Path) -> list[Block]:
    return blocks_of(page.read_text("utf-8"))


def named(page: Path, block: Block) -> str:
    return f"{page.stem}, {block}"


SHOWN = [(page, block) for page in PAGES for block in blocks_in(page)]
PYTHON = [(page, block) for page, block in SHOWN if block.language in ("python", "py")]
RUNS = [(page, block) for page, block in PYTHON if block.mark == "run"]


def runs_in(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if block.language in ("python", "py") and block.mark == "run"]


def answer(request: Received) -> Reply:
    """What the endpoint behind the README's examples says to everything."""
    asked: dict[str, Any] = request.json() if request.body else {}
    if request.path.endswith("/chat/completions"):
        return Reply(events=[*chunks(ANSWER)]) if asked.get("stream") else Reply(json=completion(ANSWER))
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
    """The block's code, after that of the blocks it continues."""
    if "after" not in block.options:
        return block.code
    before = next(other for other in blocks if other.options.get("name") == block.options["after"])
    return f"{source_of(before, blocks)}\n{block.code}"


class Runner:
    """Runs blocks, which find an endpoint at the address."""

    def __init__(self, address: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RUNNER],
            env={**os.environ, "OPENAI_BASE_URL": address, "OPENAI_API_KEY": "sk-readme"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, block: Block, blocks: list[Block], folder: Path) -> Ran:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with served(block.options.get("serve")) as origin:
            code = source_of(block, blocks).replace("http://127.0.0.1:8000", origin)
            program = (code, block.options.get("loop", "asyncio"), str(folder), SECONDS)
            print(json.dumps(program), file=self._process.stdin, flush=True)
            status = self._process.stdout.readline()
        return Ran(int(status), *((folder / kind).read_text("utf-8") for kind in ("out", "err")))

    def close(self) -> None:
        self._process.communicate(timeout=SECONDS)


@contextmanager
def served(path: str | None) -> Generator[str, None, None]:
    """Where `tokenwire serve` serves a file's handler of the same name; "" where there is none to serve."""
    if path is None:
        yield ""
        return
    file = ROOT / path
    command = [sys.executable, "-m", "tokenwire", "serve", f"{file.stem}:{file.stem}", "--port", "0"]
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


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Endpoint(answer) as running, closing(Runner(running.url)) as found:
        yield found


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork is not here")


@needs_fork
@pytest.mark.parametrize("page, block", RUNS, ids=[named(page, block) for page, block in RUNS])
def test_run_blocks_run(runner: Runner, page: Path, block: Block, tmp_path: Path) -> None:
    ran = runner.run(block, blocks_in(page), tmp_path)
    assert (ran.status, ran.errors) == (0, ""), f"{page}, {block}:\n{ran.errors}"
    wanted = output_after(block, blocks_in(page))
    if wanted is not None:
        assert is_output(wanted, ran.printed), f"it printed:\n{ran.printed}"


def test_every_python_block_compiles() -> None:
    for page, block in PYTHON:
        compile(block.code, f"{page}, {block}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_files_are_shown_as_they_are() -> None:
    """But for what only checkers read in them."""
    for page, block in PYTHON:
        if block.mark == "file":
            lines = (ROOT / block.value).read_text("utf-8").splitlines()
            assert block.code.splitlines() == [line for line in lines if not line.startswith("# pyright:")], page


def test_the_readme_shows_code_that_runs() -> None:
    assert runs_in(blocks_in(README))


def test_links_lead_somewhere() -> None:
    """Those to other files of the repository, from the README and from the guide."""
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text("utf-8"))]
    assert links
    lost = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert [link for link in lost if DOCS.is_dir() or ".github" not in link] == []


def test_every_page_begins_with_a_sentence() -> None:
    """On what it is for: not with a table, code or another heading."""
    wrong = [page.name for page in PAGES if not re.match(r"# [^\n]+\n\n[A-Za-z`\"]", page.read_text("utf-8"))]
    assert wrong == []


@pytest.mark.skipif(not DOCS.is_dir(), reason="an sdist has no reference")
def test_the_reference_has_every_public_name() -> None:
    text = "\n".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    names = {name for name in tokenwire.__all__ if name not in exceptions.__all__}  # their module is shown as a whole
    names |= {*jobs.__all__, *testing.__all__}
    assert names
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", ["test", "demo"])
def test_the_two_commands_are_one_line_each(name: str) -> None:
    commands = [block.code for block in blocks_in(README) if block.mark == "command" and block.value == name]
    assert len(commands) == 1
    assert len(commands[0].splitlines()) == 1
    subprocess.run(["bash", "-n", "-c", commands[0]], check=True, timeout=60)


def test_the_test_command_installs_the_tests_needs() -> None:
    (command,) = [block.code for block in blocks_in(README) if block.mark == "command" and block.value == "test"]
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


@needs_fork
def test_a_block_runs_after_the_one_it_continues(runner: Runner, tmp_path: Path) -> None:
    text = (
        "<!-- run: name=a -->\n```python\nimport anyio\nx = 1\n```\n"
        "<!-- run: after=a loop=trio -->\n```python\nawait anyio.sleep(0)\nprint(x + 1)\n```\n<!-- output -->\n```text\n2\n```\n"
    )
    blocks = blocks_of(text)
    assert is_output(output_after(blocks[1], blocks) or "", runner.run(blocks[1], blocks, tmp_path).printed)


@needs_fork
def test_a_block_that_fails_is_seen(runner: Runner, tmp_path: Path) -> None:
    (block,) = blocks_of("<!-- run -->\n```python\nraise SystemExit('no')\n```\n")
    assert runner.run(block, [block], tmp_path) == Ran(1, "", "no\n")
