"""Prints the chunks of a reply, as text or as JSON."""

from typing import Protocol, TextIO

from tokenwire import ModelResponseStream

from ._terminal import columns_of, dim, is_terminal, printable
from ._wrap import Wrapper


class Output(Protocol):
    """Shows replies, one after the other."""

    def write(self, chunk: ModelResponseStream) -> None:
        """Show what the chunk adds, at once."""
        ...

    def end(self) -> None:
        """The reply has ended, for whatever reason."""
        ...


class TextOutput:
    """The reply's text as it comes; on a terminal its reasoning too, in a fainter colour.

    Args:
        stream: where to write. On a terminal, control characters are replaced, and lines are broken between words.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = is_terminal(stream)
        self._wrapper: Wrapper | None = None  # of the reply that is being shown
        self._reasoning = False
        self._last = "\n"

    def write(self, chunk: ModelResponseStream) -> None:
        """As `Output`."""
        reasoning, text = pieces_of(chunk)
        if reasoning and self._terminal:
            self._reasoning = True
            self._put(reasoning, faint=True)
        if text:
            if self._reasoning:
                self._reasoning = False
                self._put("\n" if self._last == "\n" else "\n\n")
            self._put(text)

    def end(self) -> None:
        """As `Output`: the text ends with a line break, its own or one more."""
        self._reasoning = False
        if self._last != "\n":
            self._put("\n")
        self._wrapper = None

    def _put(self, text: str, *, faint: bool = False) -> None:
        shown = printable(text) if self._terminal else text
        self._last = shown[-1:] or self._last
        if columns := columns_of(self._stream):
            self._wrapper = self._wrapper or Wrapper()
            shown = self._wrapper.feed(shown, columns)
        print(dim(shown, self._stream) if faint else shown, end="", file=self._stream, flush=True)


class JSONOutput:
    """Prints each chunk as a line of JSON, with the fields that no struct names too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, chunk: ModelResponseStream) -> None:
        """As `Output`."""
        print(chunk.model_dump_json(exclude_none=True), file=self._stream, flush=True)

    def end(self) -> None:
        """As `Output`."""


def pieces_of(chunk: ModelResponseStream) -> tuple[str, str]:
    """What a chunk adds to the first choice: to its reasoning, and to its text (a refusal counts as text)."""
    for choice in chunk.choices:
        if not choice.index:
            delta = choice.delta
            return delta.reasoning_content or "", delta.content or delta.refusal or ""
    return "", ""
