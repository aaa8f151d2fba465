"""`tokenwire completion`: a script with which a shell completes commands, options and files. Only this module needs shtab."""

import argparse
from collections.abc import Iterator

from ._arguments import parser
from ._terminal import UsageError

FILES = ("FILE", "IMAGE", "IN", "OUT")  # how the help names arguments that are files


def completion(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        UsageError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise UsageError("completion needs shtab: pip install 'tokenwire[cli]'") from None
    root = parser()
    for action in _actions_of(root):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(root, arguments.shell))
    return 0


def _actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments of a parser, with those of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions_of(command)
