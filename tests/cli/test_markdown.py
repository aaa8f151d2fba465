"""Markdown cut into blocks as it arrives, and shown on a terminal."""

import io
import re

import pytest

pytest.importorskip("rich")

from tokenwire import Delta, ModelResponseStream, StreamingChoices
from tokenwire.cli._markdown import Blocks, MarkdownOutput

TEXT = "# Title\n\nA paragraph\nof two lines.\n\n```python\ndef f():\n\n    return 1\n```\n\n- one\n\n~~~~\n```\n\n~~~\n\n~~~~\n\nThe end"
BLOCKS = [
    "# Title\n\n",
    "A paragraph\nof two lines.\n\n",
    "```python\ndef f():\n\n    return 1\n```\n\n",
    "- one\n\n",
    "~~~~\n```\n\n~~~\n\n~~~~\n\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(TEXT)])
def test_blocks_end_at_blank_lines_outside_of_code(size: int) -> None:
    blocks = Blocks()
    finished = [blocks.feed_data(TEXT[start : start + size]) for start in range(0, len(TEXT), size)]
    assert "".join(finished) == "".join(BLOCKS)
    if size == 1:
        assert [block for block in finished if block] == BLOCKS
    assert blocks.growing == "The end"
    assert blocks.feed_eof() == "The end"
    assert blocks.growing == ""


def test_what_is_growing_is_known() -> None:
    blocks = Blocks()
    assert blocks.feed_data("one\n\ntwo\nthr") == "one\n\n"
    assert blocks.growing == "two\nthr"


def test_an_open_fence_ends_with_the_reply() -> None:
    blocks = Blocks()
    blocks.feed_data("```\ncode\n\n")
    assert blocks.feed_eof() == "```\ncode\n\n"
    assert blocks.feed_data("text\n\n") == "text\n\n"


class Screen(io.StringIO):
    """A terminal of so many rows, as far as drawing and wiping need one: lines that leave it stay as they are."""

    ROWS = 6

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        lines, row = [""], 0
        for part in re.findall(r"\033\[[?\d;]*[A-Za-z]|\r|\n|[^\033\r\n]+", self.getvalue()):
            if part == "\n":
                row += 1
                lines += [""] * (row == len(lines))
            elif part.endswith("A") and part.startswith("\033"):
                row = max(row - int(part[2:-1] or 1), len(lines) - self.ROWS, 0)
            elif part == "\033[2K":
                lines[row] = ""
            elif not part.startswith(("\033", "\r")):
                lines[row] += part
        return [line.strip() for line in lines if line.strip()]


def test_a_block_that_outgrows_the_screen_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire.cli._markdown.SHARE", 0)  # draw each time
    for name, value in {"COLUMNS": "40", "LINES": str(Screen.ROWS), "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    screen = Screen()
    output = MarkdownOutput(screen)
    for word in ["Before\n\n", *(f"- item {number}\n" for number in range(20)), "\nAfter"]:
        output.write(ModelResponseStream(choices=[StreamingChoices(delta=Delta(content=word))]))
    output.end()
    items = [f"item {number}" for number in range(20)]
    assert [line.strip("• ") for line in screen.shown()] == ["Before", *items, "After"]
