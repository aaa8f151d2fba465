"""The arguments of the command line, a module for each command. A wrong one ends the program with one line and status 2."""

import argparse
from collections.abc import Sequence

from tokenwire import __version__

from . import batch, bench, chat, completion, demo, embed, models, serve
from .parser import Parser

DESCRIPTION = "Call language models, and stream what they say."


def parse(argv: Sequence[str]) -> argparse.Namespace | None:
    """The arguments, with the name of the command as `command`; None where none was named.

    Raises:
        SystemExit: they are wrong, and it was said how; or `--help` and `--version` have done their work.
    """
    root = parser()
    arguments, unknown = root.parse_known_args(argv)
    if unknown:
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        arguments.parser.error(f"there is no option {options[0]}" if options else arguments.excess)
    if arguments.check is not None:
        arguments.check(arguments)
    return arguments if arguments.command else None


def parser() -> Parser:
    """The parser of the whole command line."""
    root = Parser("tokenwire", description=DESCRIPTION, allow_abbrev=False)
    root.add_argument("--version", action="version", version=f"tokenwire {__version__}")
    root.set_defaults(command=None, parser=root, check=None, excess="there is an argument too many")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in (chat, embed, models, batch, bench, serve, demo, completion):
        command.add(commands)
    return root
