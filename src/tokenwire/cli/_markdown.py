"""A reply's Markdown, formatted on a terminal as it comes. Needs rich.

A finished block is printed and stays. The block that is still growing is drawn again with each piece, but drawing takes no more
than a fraction of the time: the cost stays linear for all but blocks of absurd length.
"""

import time
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from tokenwire import ModelResponseStream

from ._output import pieces_of
from ._terminal import printable

SHARE = 4  # drawing takes at most one part in so many of the time


class MarkdownOutput:
    """Formats the text of replies; their reasoning is left out.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._live: Live | None = None
        self._blocks = Blocks()
        self._next_drawing = 0.0

    def write(self, chunk: ModelResponseStream) -> None:
        """As `Output`."""
        finished = self._blocks.feed_data(printable(pieces_of(chunk)[1]))
        if finished:
            self._print(finished)
        self._draw()

    def end(self) -> None:
        """As `Output`."""
        self._print(self._blocks.feed_eof())

    def _print(self, text: str) -> None:
        if self._live is not None:
            # `stop` draws the text once more, in full, and erases that, but not the lines that have scrolled off the screen.
            self._live.update(Text(), refresh=True)
            self._live.stop()
            self._live = None
        if text.strip():
            self._console.print(Markdown(text))
            self._console.print()

    def _draw(self) -> None:
        started = time.monotonic()
        if not self._blocks.growing.strip() or started < self._next_drawing:
            return
        live = self._live
        if live is None:
            live = self._live = Live(console=self._console, transient=True, auto_refresh=False)
            live.start()
        live.update(Markdown(self._blocks.growing), refresh=True)
        ended = time.monotonic()
        self._next_drawing = ended + (ended - started) * (SHARE - 1)


class Blocks:
    """Cuts Markdown into blocks while it arrives. No I/O.

    A block ends at a blank line that is not in fenced code.

    Attributes:
        growing: what has arrived of the block that is not finished.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line = ""
        self._fence = ""

    @property
    def growing(self) -> str:
        """See the class."""
        return "".join(self._lines) + self._line

    def feed_data(self, text: str) -> str:
        """Add the next piece. Returns the blocks that it finishes, "" if there are none."""
        finished: list[str] = []
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._lines.append(f"{line}\n")
            if self._ends_block(line.strip()):
                finished += self._lines
                self._lines = []
        return "".join(finished)

    def feed_eof(self) -> str:
        """The last block, finished or not."""
        rest = self.growing
        self._lines, self._line, self._fence = [], "", ""
        return rest

    def _ends_block(self, line: str) -> bool:
        if self._fence:
            if line.startswith(self._fence) and not line.strip(self._fence[0]):
                self._fence = ""
            return False
        if line.startswith(("```", "~~~")):
            self._fence = line[: len(line) - len(line.lstrip(line[0]))]
        return not line
