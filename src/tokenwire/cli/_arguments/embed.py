"""The arguments of `tokenwire embed`."""

import argparse

from .parser import Commands, add_model, command_of, from_environment, require_model
from .values import count, seconds, whole

MODEL_VARIABLE = "TOKENWIRE_EMBEDDING_MODEL"

DESCRIPTION = """\
Print a vector for each text, as a line of JSON: {"text": ..., "embedding": [...]}, or with "file" in place of "text".

Without TEXT, --file and --lines, all of the standard input is one text.
"""

EXAMPLES = """\
examples:
  tokenwire embed -m openai/text-embedding-3-small "one text" "another"
  tokenwire embed -m openai/text-embedding-3-small --lines questions.txt > vectors.jsonl
  tokenwire embed -m nomic-embed-text --api-base http://localhost:11434/v1 --file README.md

environment:
  TOKENWIRE_EMBEDDING_MODEL  the model, if -m is not given
  the other variables are those of `tokenwire chat`, except TOKENWIRE_MODEL
"""


def add(commands: Commands) -> None:
    """Add the command."""
    embed = command_of(commands, "embed", words="print vectors of texts", description=DESCRIPTION, epilog=EXAMPLES)
    embed.add_argument("text", metavar="TEXT", nargs="*", help="the texts to embed")
    words = "the model, such as openai/text-embedding-3-small, or a bare name with --api-base"
    add_model(embed, words, from_environment(MODEL_VARIABLE))
    embed.add_argument(
        "--file", metavar="FILE", action="append", default=[], help="a file that is one text, repeatable; - for standard input"
    )
    embed.add_argument(
        "--lines",
        metavar="FILE",
        action="append",
        default=[],
        help="a file with a text on each line, repeatable; - for standard input",
    )
    embed.add_argument("--dimensions", metavar="COUNT", type=count, help="the length of each vector, if the model has a choice")
    embed.add_argument("--batch", metavar="COUNT", type=count, default=64, help="texts in a request (default: %(default)s)")
    embed.add_argument("--timeout", metavar="SECONDS", type=seconds, help="the longest that a request may take")
    embed.add_argument("--retries", metavar="COUNT", type=whole, help="how often to repeat a failed request (default: 2)")
    embed.set_defaults(check=check)


def check(arguments: argparse.Namespace) -> None:
    """Refuse a command line without a model."""
    require_model(arguments, MODEL_VARIABLE)
