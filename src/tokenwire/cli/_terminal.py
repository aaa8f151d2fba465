"""What the command says to a person, and how: the standard streams, and text that is safe to show on a terminal."""

import io
import os
import sys
from typing import TextIO

from ._wrap import Wrapper

LEAST_SECRET = 4  # characters; who has "x" for a key would read no message
MOST_CHARACTERS = 1000  # of one error; servers have been seen to answer with a page

# What a server sends must not move the cursor, or worse. U+FFFD stands where a control character was.
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd") | {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): ""}


class UsageError(Exception):
    """The arguments are wrong; nothing was sent."""


def complain(text: str, *, secret: str | None = None) -> None:
    """One line on standard error, which is broken between words on a terminal.

    Args:
        text: what went wrong.
        secret: what must not be shown, even if a server repeats it; nor are the keys in the environment.
    """
    print(_wrapped(f"tokenwire: {one_line(without_keys(text, secret))}"), file=sys.stderr, flush=True)


def without_keys(text: str, secret: str | None) -> str:
    """The text without this secret, and without the keys in the environment."""
    for hidden in (secret, *_keys_in_environment()):
        text = text.replace(hidden, "***") if hidden else text
    return text


def _keys_in_environment() -> list[str]:
    """Those of every provider; the longest first, since one may begin as another."""
    keys = {value for name, value in os.environ.items() if name.endswith("_API_KEY") and len(value) >= LEAST_SECRET}
    return sorted(keys, key=len, reverse=True)


def remark(text: str) -> None:
    """One line beside the reply, of less weight than an error. On a terminal it covers the "^C" that may stand there."""
    start = "\r" if is_terminal(sys.stderr) else ""
    print(start + dim(_wrapped(f"({one_line(text)})"), sys.stderr), file=sys.stderr, flush=True)


def _wrapped(text: str) -> str:
    """The text with its lines broken between words where standard error is a terminal; elsewhere a message stays one line."""
    columns = columns_of(sys.stderr) if sys.stderr is not None else None
    return text if columns is None else Wrapper().feed(text, columns)


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut if it is very long."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def printable(text: str) -> str:
    """The text without control characters other than line feed and tab."""
    return text.translate(_CONTROLS)


def dim(text: str, stream: TextIO) -> str:
    """The text in a fainter colour, where the stream is a terminal and has colours."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or os.name == "nt" or not is_terminal(stream)
    return text if plain else f"\033[2m{text}\033[22m"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether there is a person at the other end. A closed stream (`tokenwire <&-`) is None."""
    return stream is not None and stream.isatty()


def columns_of(stream: TextIO) -> int | None:
    """How wide a terminal is on which the cursor can be moved; None for another one, and for a file."""
    if os.environ.get("TERM", "dumb") == "dumb" or os.name == "nt" or not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except OSError:
        return None


def forgive_encodings() -> None:
    """Let no character fail that a standard stream's encoding does not have: a replacement stands for it."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if isinstance(sys.stdin, io.TextIOWrapper) and not is_terminal(sys.stdin):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")


def silence_stdout() -> None:
    """Nobody reads standard output any more: keep the interpreter from writing what is left there, and complaining."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file, in a test
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
