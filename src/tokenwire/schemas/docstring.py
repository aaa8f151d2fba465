"""What a function's docstring says: of the function, and of each of its parameters.

Two styles are read, Google's ("Args:" and an indented list) and Sphinx's (":param city: ..."). The description is the text
in front of the first section that is about parameters, results or errors; any other section is part of it.
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
    """What is said in one.

    Attributes:
        description: of the function, "" where there is none.
        parameters: of each parameter that it names.
    """

    description: str
    parameters: dict[str, str]


def docstring_of(text: str | None) -> Docstring:
    """Read a docstring, None where there is none."""
    lines = inspect.cleandoc(text or "").splitlines()
    first = next((number for number, line in enumerate(lines) if _begins_section(line)), len(lines))
    parameters = {name: " ".join(" ".join(said).split()) for name, said in (*_google(lines), *_sphinx(lines))}
    return Docstring("\n".join(lines[:first]).strip(), {name: said for name, said in parameters.items() if said})


def _begins_section(line: str) -> bool:
    return any(pattern.fullmatch(line) for pattern in (_ARGUMENTS, _OTHER_SECTION, _FIELD))


def _google(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each entry of the sections about parameters, with its lines: those further in than its name go on with it."""
    in_section, indent = False, ""
    said: list[str] = []
    for line in lines:
        if line[:1].strip():  # not further in: a section ends here, and maybe another begins
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
                yield field[2].split()[-1].lstrip("*"), said  # a type may stand in front of the name
        elif line.strip():
            said.append(line)
        else:
            said = []
