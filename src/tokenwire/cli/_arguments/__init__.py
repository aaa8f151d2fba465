"""The arguments of the command line, a module for each command. A wrong one ends the program with one line and status 2."""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from tokenwire import __version__

from . import batch, bench, chat, completion, demo, embed, models, serve
from .parser import Parser

DESCRIPTION = "Call language models, and stream their replies."
COMMANDS = {
    "chat": chat,
    "embed": embed,
    "models": models,
    "batch": batch,
    "bench": bench,
    "serve": serve,
    "demo": demo,
    "completion": completion,
}


def parse(argv: Sequence[str]) -> argparse.Namespace | None:
    """The arguments, with the name of the command as `command`; None if no command was given.

    Raises:
        SystemExit: they are wrong, and a message was printed; or `--help` or `--version` was given.
    """
    root = parser()
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        root.error(_did_you_mean("there is no such command", argv[0], COMMANDS))
    arguments, unknown = root.parse_known_args(argv)
    if unknown:
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        if not options:
            arguments.parser.error(arguments.excess)
        known = arguments.parser._option_string_actions
        arguments.parser.error(_did_you_mean(f"there is no option {options[0]}", options[0], known))
    if arguments.check is not None:
        arguments.check(arguments)
    return arguments if arguments.command else None


def parser() -> Parser:
    """The parser of the whole command line."""
    root = Parser("tokenwire", description=DESCRIPTION, allow_abbrev=False)
    root.add_argument("--version", action="version", version=f"tokenwire {__version__}")
    root.set_defaults(command=None, parser=root, check=None, excess="there is one argument too many")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS.values():
        command.add(commands)
    return root


def _did_you_mean(words: str, typed: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(typed, known, n=1)
    return f"{words}: did you mean {nearest[0]}?" if nearest else words
