"""Markdown cut into blocks as it arrives."""

import pytest

pytest.importorskip("rich")

from tokenwire.cli._markdown import Blocks

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
