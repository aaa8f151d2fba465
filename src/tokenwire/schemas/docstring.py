"""Parses a function's docstring: the descriptions of the function and of its parameters.

Two styles are supported, Google's ("Args:" and an indented list) and Sphinx's (":param city: ..."). The function's
description is the text before the first section about parameters, results or errors; any other section is part of it.
"""

import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

_ARGUMENTS = re.compile(r"(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters):\s*")
_OTHER_SECTION = re.compile(r"(?:Returns?|Yields?|Raises|Throws):\s*")
_ENTRY = re.compile(r"(\s*)\*{0,2}(\w+)\s*(?:\(.*?\))?\s*:(?:\s+(.*)|$)")
_FIELD = re.compile(r":(\w+)\b\s*([^:]*):\s*(.*)")
_PARAMETER_FIELDS = frozenset(("param", "parameter", "arg", "argument", "key", "keyword"))


class Docstring(NamedTuple):
    """A parsed docstring.

    Attributes:
        description: the function's description, "" if there is none.
        parameters: the descriptions of the parameters, by name.
    """

    description: str
    parameters: dict[str, str]


def docstring_of(text: str | None) -> Docstring:
    """Parse a docstring, which may be None."""
    lines = inspect.cleandoc(text or "").splitlines()
    first = next((number for number, line in enumerate(lines) if _begins_section(line)), len(lines))
    parameters = {name: " ".join(" ".join(said).split()) for name, said in (*_google(lines), *_sphinx(lines))}
    return Docstring("\n".join(lines[:first]).strip(), {name: said for name, said in parameters.items() if said})


def _begins_section(line: str) -> bool:
    return any(pattern.fullmatch(line) for pattern in (_ARGUMENTS, _OTHER_SECTION, _FIELD))


def _google(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each entry of the sections about parameters, with its lines: those indented more than its name."""
    in_section, indent = False, ""
    said: list[str] = []
    for line in lines:
        if line[:1].strip():  # not indented: the section ends, and another may begin
            in_section, indent = _ARGUMENTS.fullmatch(line) is not None, ""
            continue
        entry = _ENTRY.fullmatch(line) if in_section else None
        if entry is not None and (not indent or entry[1] == indent):
            indent, said = entry[1], [entry[3] or ""]
            yield entry[2], said
        elif in_section:
            said.append(line)


def _sphinx(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each field about a parameter, with its lines: up to the next field or an empty line."""
    said: list[str] = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is not None:
            said = [field[3]]
            if field[1] in _PARAMETER_FIELDS and field[2].split():
                yield field[2].split()[-1].lstrip("*"), said  # a type may precede the name
        elif line.strip():
            said.append(line)
        else:
            said = []
