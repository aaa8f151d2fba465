"""Messages to the user: the standard streams, and text that is safe to show on a terminal."""

import io
import os
import sys
from typing import TextIO

from ._wrap import Wrapper

LEAST_SECRET = 4  # characters; to hide a key such as "x" would make messages unreadable
MOST_CHARACTERS = 1000  # of one error; some servers answer with a whole page

# Text from a server must not move the cursor, or worse: U+FFFD replaces control characters.
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd") | {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): ""}


class UsageError(Exception):
    """The arguments are wrong; nothing was sent."""


def complain(text: str, *, secret: str | None = None) -> None:
    """Print an error as one line on standard error, which is broken between words on a terminal.

    Args:
        text: what went wrong.
        secret: is not shown, even if a server repeats it; nor are the keys in the environment.
    """
    print(_wrapped(f"tokenwire: {one_line(without_keys(text, secret))}"), file=sys.stderr, flush=True)


def without_keys(text: str, secret: str | None) -> str:
    """The text without this secret, and without the keys in the environment."""
    for hidden in (secret, *_keys_in_environment()):
        text = text.replace(hidden, "***") if hidden else text
    return text


def _keys_in_environment() -> list[str]:
    """The keys of all providers; the longest first, since one may be the beginning of another."""
    keys = {value for name, value in os.environ.items() if name.endswith("_API_KEY") and len(value) >= LEAST_SECRET}
    return sorted(keys, key=len, reverse=True)


def remark(text: str) -> None:
    """Print a note, less important than an error, as one line on standard error. On a terminal it overwrites a "^C"."""
    start = "\r" if is_terminal(sys.stderr) else ""
    print(start + dim(_wrapped(f"({one_line(text)})"), sys.stderr), file=sys.stderr, flush=True)


def _wrapped(text: str) -> str:
    """The text with its lines broken between words if standard error is a terminal; elsewhere a message stays one line."""
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
    """The text in a fainter colour, if the stream is a terminal with colours."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or os.name == "nt" or not is_terminal(stream)
    return text if plain else f"\033[2m{text}\033[22m"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal. A closed stream (`tokenwire <&-`) is None."""
    return stream is not None and stream.isatty()


def columns_of(stream: TextIO) -> int | None:
    """The width of a terminal that can move its cursor; None for another terminal, and for a file."""
    if os.environ.get("TERM", "dumb") == "dumb" or os.name == "nt" or not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except OSError:
        return None


def replace_unencodable() -> None:
    """Replace characters that a standard stream's encoding does not have, instead of failing."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if isinstance(sys.stdin, io.TextIOWrapper) and not is_terminal(sys.stdin):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")


def silence_stdout() -> None:
    """Discard what is left in standard output, whose reader has gone: the interpreter would fail to write it at its end."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file, in a test
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
