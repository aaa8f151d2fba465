"""`tokenwire models`: the models that an endpoint offers."""

import argparse

import anyio

from tokenwire import alist_models
from tokenwire.exceptions import TokenwireError

from . import FAILED
from ._call import call_of, report
from ._terminal import printable


def models(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        UsageError: an argument is wrong; nothing was sent.
        OSError: the output can't be written.
    """
    call = call_of(arguments)
    try:
        listed = anyio.run(lambda: alist_models(**call))
    except TokenwireError as error:
        report(error, call)
        return FAILED
    for model in listed.data:
        print(model.model_dump_json(exclude_none=True) if arguments.json else printable(model.id or ""))
    return 0
