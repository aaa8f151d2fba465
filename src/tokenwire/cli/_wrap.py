"""Breaks lines between words while the text arrives. No I/O.

A terminal breaks a line at its edge, even inside a word. Text is shown as soon as it comes, so the beginning of a word may be
on the screen before it is known that the word does not fit: it is then erased and written again on the next line.
"""

from unicodedata import category, east_asian_width

FENCES = ("```", "~~~")
TAB = 8


class Wrapper:
    """Breaks the lines of one text at its spaces. Code between fences is left alone, so that it can be copied.

    The last column stays empty: after it, terminals differ in where the cursor is.
    """

    def __init__(self) -> None:
        self._start = ""  # its first characters, as many as a fence has
        self._fenced = False
        self._column = 0  # of the cursor
        self._word = ""  # what was written of the last word
        self._word_columns = 0

    def feed(self, text: str, columns: int) -> str:
        """What to write for a piece of text.

        Args:
            text: without control characters but line feeds and tabs.
            columns: the terminal's width.
        """
        written = ""
        shown = self._word  # what the screen has of the last word; only this needs erasing
        for character in text:
            if len(self._start) < len(FENCES[0]):
                self._start += character
            if character == "\n":
                self._end_line()
            elif character in " \t":
                character = self._space(character, columns)
            else:
                width = width_of(character)
                if width == 2:  # such scripts are broken between any two characters
                    self._end_word(0)
                if width and self._column + width >= columns and not self._fenced:
                    written, shown = self._break(written, shown), ""
                self._column += width
                if width < 2:
                    self._word += character
                    self._word_columns += width
            if not self._word:
                shown = ""
            written += character
        return written

    def _break(self, written: str, shown: str) -> str:
        """Begin the next line with the last word, if that did not begin this one."""
        if self._word_columns >= self._column:
            return written
        before = written[: len(written) - len(self._word) + len(shown)]
        columns = sum(map(width_of, shown))
        erasing = f"\033[{columns}D\033[K" if columns else ""
        self._column = self._word_columns
        return f"{before}{erasing}\n{self._word}"

    def _space(self, character: str, columns: int) -> str:
        """What to write for a space: a line break where the line is full."""
        self._end_word(1 if character == " " else TAB - self._column % TAB)
        if self._column < columns or self._fenced:
            return character
        self._column = 0
        return "\n"

    def _end_word(self, columns: int) -> None:
        self._column += columns
        self._word, self._word_columns = "", 0

    def _end_line(self) -> None:
        if self._start in FENCES:
            self._fenced = not self._fenced
        self._start = ""
        self._end_word(0)
        self._column = 0


def width_of(character: str) -> int:
    """The columns that a terminal gives a character."""
    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
