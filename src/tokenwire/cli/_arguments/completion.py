"""The arguments of `tokenwire completion`."""

from .parser import Commands, command_of

DESCRIPTION = """\
Print a script that completes commands, options and files in a shell. Needs tokenwire[cli].
"""

EXAMPLES = """\
examples:
  tokenwire completion bash > ~/.local/share/bash-completion/completions/tokenwire
  tokenwire completion zsh > ~/.zfunc/_tokenwire    # where ~/.zfunc is in fpath
"""


def add(commands: Commands) -> None:
    """Add the command."""
    words = "print a script for a shell's completion"
    completion = command_of(commands, "completion", words=words, description=DESCRIPTION, epilog=EXAMPLES)
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")
