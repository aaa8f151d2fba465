"""The parser of this command line, and the arguments that several commands share."""

import argparse
import os
from typing import NoReturn, TypeAlias


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors have one line and don't repeat an unexpected word: it might be a key."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def command_of(commands: Commands, name: str, *, words: str, description: str, epilog: str = "") -> Parser:
    """Add a command. Returns its parser."""
    command = commands.add_parser(
        name,
        help=words,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(command=name, parser=command)
    return command


def add_endpoint(command: Parser) -> None:
    """Add the options for the endpoint's address and key."""
    command.add_argument("--api-base", metavar="URL", help="the endpoint's address, such as http://localhost:8000/v1")
    command.add_argument(
        "--api-key", metavar="KEY", help="the API key; other users can see it here, but not in the environment"
    )


def add_model(command: Parser, words: str, default: str | None) -> None:
    """Add the options for the model and its endpoint."""
    command.add_argument("-m", "--model", default=default, help=words)
    add_endpoint(command)


def require_model(arguments: argparse.Namespace, variable: str) -> None:
    """Refuse a command line without a model, which `variable` of the environment could have named."""
    if arguments.model is None:
        arguments.parser.error(f"name a model: -m MODEL, or {variable} in the environment")


def from_environment(variable: str) -> str | None:
    """An option's default; None if the variable is not set, or empty."""
    return os.environ.get(variable) or None
