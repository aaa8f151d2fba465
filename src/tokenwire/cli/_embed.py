"""`tokenwire embed`: prints a line of JSON with a vector for each text."""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import msgspec

from tokenwire import AsyncClient
from tokenwire.exceptions import APIResponseValidationError, TokenwireError

from . import FAILED
from ._call import call_of, report
from ._terminal import UsageError, is_terminal

Input = tuple[dict[str, str], str]  # the fields that identify a text in its line of output, and the text
STDIN = "-"


def embed(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        UsageError: an argument is wrong, a file can't be read, or there is no text.
        OSError: the output can't be written.
    """
    call = call_of(arguments)
    try:
        if not anyio.run(_embed, _inputs(arguments), call, arguments.batch):
            raise UsageError("there is nothing to embed: give a TEXT, --file or --lines, or pipe a text in")
    except TokenwireError as error:
        report(error, call)
        return FAILED
    return 0


async def _embed(inputs: Iterator[Input], call: dict[str, Any], size: int) -> int:
    """Print the vectors of all inputs; returns how many there were."""
    count = 0
    async with AsyncClient() as client:
        while batch := list(islice(inputs, size)):
            response = await client.aembedding(input=[text for _, text in batch], **call)
            if len(response.data) != len(batch):
                raise APIResponseValidationError(f"{len(batch)} texts were sent, but {len(response.data)} vectors came back")
            vectors = sorted(response.data, key=lambda item: item.index or 0)
            for (about, _), vector in zip(batch, vectors, strict=True):
                print(msgspec.json.encode({**about, "embedding": vector.embedding}).decode())
            sys.stdout.flush()
            count += len(batch)
    return count


def _inputs(arguments: argparse.Namespace) -> Iterator[Input]:
    """The texts, read as they are needed."""
    for text in arguments.text:
        yield {"text": text}, text
    for path in arguments.file:
        yield {"file": path}, "".join(_lines(path, "--file"))
    for path in arguments.lines:
        for line in _lines(path, "--lines"):
            if text := line.rstrip("\r\n"):
                yield {"text": text}, text
    if not (arguments.text or arguments.file or arguments.lines or is_terminal(sys.stdin)):
        text = "".join(_lines(STDIN, "standard input")).rstrip("\n")
        if text:
            yield {"text": text}, text


def _lines(path: str, option: str) -> Iterator[str]:
    try:
        if path == STDIN:
            yield from sys.stdin or ()
            return
        with Path(path).open(encoding="utf-8") as file:
            yield from file
    except OSError as error:
        raise UsageError(f"{option}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{option}: {path}: this is not UTF-8") from None
