"""Lines broken between words while the text arrives."""

import re

import pytest

from tokenwire.cli._wrap import Wrapper, width_of

TEXT = (
    "The quick brown fox jumps over the lazy dog, incomprehensibilities.\n\n"
    "日本語の文章は単語の間に空白がない。 e\u0301te\u0301, done.\n"
    "```py\nx = 'this line of code is left alone, so that it can be copied'\n```\nand\tafter it"
)


def screen(written: str) -> list[str]:
    """What stands on a terminal that is wide enough."""
    lines = [""]
    for part in re.findall(r"\n|\033\[\d*[A-Z]|[^\n\033]+", written):
        if part == "\n":
            lines.append("")
        elif part.endswith("D"):
            for _ in range(int(part[2:-1])):
                lines[-1] = lines[-1][:-1]
        elif part != "\033[K":
            lines[-1] += part
    return lines


def wrapped(text: str, columns: int, size: int) -> list[str]:
    wrapper = Wrapper()
    return screen("".join(wrapper.feed(text[start : start + size], columns) for start in range(0, len(text), size)))


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(TEXT)])
def test_lines_end_between_words(size: int) -> None:
    lines = ["The quick brown", "fox jumps over ", "the lazy dog."]
    assert wrapped("The quick brown fox jumps over the lazy dog.", 16, size) == lines


@pytest.mark.parametrize("columns", [8, 12, 20, 33])
def test_pieces_make_no_difference(columns: int) -> None:
    whole = wrapped(TEXT, columns, len(TEXT))
    assert all(wrapped(TEXT, columns, size) == whole for size in (1, 2, 3, 5, 8))


@pytest.mark.parametrize("columns", [12, 20, 33])
def test_nothing_is_lost_and_lines_fit(columns: int) -> None:
    lines = wrapped(TEXT, columns, 3)
    assert "".join("".join(lines).split()) == "".join(TEXT.split())
    of_words = [line.strip() for line in lines if " " in line.strip() and "code" not in line]
    assert of_words
    assert [line for line in of_words if sum(map(width_of, line)) >= columns] == []


def test_code_is_left_alone() -> None:
    assert "x = 'this line of code is left alone, so that it can be copied'" in wrapped(TEXT, 12, 4)


def test_a_word_longer_than_a_line_is_left_to_the_terminal() -> None:
    assert wrapped("an incomprehensibility is", 10, 2) == ["an ", "incomprehensibility", "is"]


def test_wide_characters_are_broken_anywhere() -> None:
    assert wrapped("日本語の文章", 7, 1) == ["日本語", "の文章"]
