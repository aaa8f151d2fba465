"""The command line, `tokenwire`.

::

    tokenwire demo                                        a reply, streamed over HTTP on this machine, and its speed
    tokenwire chat -m MODEL --api-base URL "Why?"         one question, one reply
    git diff | tokenwire chat -m MODEL "Sum this up"      the question, and what it is about
    tokenwire chat -m MODEL                               a conversation
    tokenwire models --api-base URL                       what an endpoint offers
    tokenwire embed -m MODEL "a text" "another"           a line of JSON with a vector for each
    tokenwire batch IN.jsonl OUT.jsonl                    a file of calls, and a file of their results
    tokenwire bench -m MODEL --api-base URL               an endpoint, measured under load
    tokenwire serve my_module:handler                     a handler as an OpenAI-compatible endpoint

`main` parses the arguments (`_arguments`) and runs one of the commands, which use only public names of the package, as any
other program would. Replies go to standard output, as plain text if that is not a terminal; everything else, errors included,
goes to standard error (`_terminal`). Only `bench` and `chat --markdown` need rich.

The exit status is 0 after success, 1 after a failure, 2 if the arguments are wrong (nothing was sent or served then), 130 after
Ctrl-C, and 141 if the reader of the output has stopped reading.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

__all__ = ["main"]

# The module of each command, which has a function of the command's name. It is imported when the command runs.
COMMANDS = {
    "batch": "._batch",
    "bench": "._bench",
    "chat": "._chat",
    "completion": "._completion",
    "demo": "._demo",
    "embed": "._embed",
    "models": "._models",
    "serve": "._serve",
}

FAILED, WRONG_USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments after the program's name; those of this process by default.

    Returns:
        The exit status.

    Raises:
        SystemExit: as argparse does, after `--help` and `--version` and for arguments that it refuses.
    """
    try:
        return _run(argv)
    except KeyboardInterrupt:
        from ._terminal import is_terminal, remark

        if is_terminal(sys.stderr):
            remark("stopped")
        return INTERRUPTED
    except BrokenPipeError:
        from ._terminal import silence_stdout

        silence_stdout()
        return BROKEN_PIPE


def _run(argv: Sequence[str] | None) -> int:
    from ._arguments import parse, parser
    from ._terminal import UsageError, complain, replace_unencodable, silence_stdout

    replace_unencodable()
    arguments = parse(sys.argv[1:] if argv is None else argv)
    if arguments is None:
        parser().print_help(sys.stderr)
        return WRONG_USAGE

    from tokenwire.exceptions import TokenwireError

    try:
        status = _command(arguments.command)(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, so that its error is handled below
    except UsageError as error:
        complain(str(error))
        return WRONG_USAGE
    except TokenwireError as error:
        complain(str(error))
        return FAILED
    except BrokenPipeError:
        raise
    except OSError as error:  # not from a call: the output could not be written
        silence_stdout()
        complain(error.strerror or str(error))
        return FAILED
    return status


def _command(name: str) -> Callable[[Any], int]:
    """The function that runs a command.

    Raises:
        UsageError: a package that it needs is not installed; the message names it.
    """
    from ._terminal import UsageError

    try:
        command: Callable[[Any], int] = getattr(import_module(COMMANDS[name], __name__), name)
    except ModuleNotFoundError as error:
        extra = "cli" if error.name == "rich" else "server"
        raise UsageError(f"{name} needs {error.name}: pip install 'tokenwire[{extra}]'") from None
    return command
