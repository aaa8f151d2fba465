"""The arguments of `tokenwire chat`."""

import argparse

from .parser import Commands, add_model, command_of, from_environment, require_model
from .values import count, number, seconds, whole

MODEL_VARIABLE = "TOKENWIRE_MODEL"

DESCRIPTION = """\
Talk to a model: at any OpenAI-compatible endpoint, or one that an installed package offers.

A PROMPT, or text that is piped in, gets one reply; with both, the text is added after the PROMPT. Without either, a
conversation begins: /help lists its commands, Ctrl-C stops a reply, Ctrl-C or Ctrl-D at the prompt ends it.
"""

EXAMPLES = """\
examples:
  tokenwire chat -m openai/gpt-4o-mini "Why is the sky blue?"
  tokenwire chat -m llama3.2 --api-base http://localhost:11434/v1
  git diff | tokenwire chat -m openai/gpt-4o-mini "Write a commit message for this change"
  tokenwire chat -m openai/gpt-4o-mini --attach chart.png "What does this show?"
  tokenwire chat -m openai/gpt-4o-mini --json "Hi" | jq .choices[0].delta.content

environment:
  TOKENWIRE_MODEL  the model, if -m is not given
  OPENAI_API_KEY   the key, if --api-key is not given; for anthropic/ models, ANTHROPIC_API_KEY
  OPENAI_BASE_URL  the address, if --api-base is not given; for anthropic/ models, ANTHROPIC_BASE_URL
  NO_COLOR         if set, no colours are used
"""


def add(commands: Commands) -> None:
    """Add the command."""
    chat = command_of(commands, "chat", words="talk to a model", description=DESCRIPTION, epilog=EXAMPLES)
    chat.add_argument("prompt", metavar="PROMPT", nargs="*", help="what to ask")
    words = "the model, such as openai/gpt-4o-mini, or a bare name with --api-base"
    add_model(chat, words, from_environment(MODEL_VARIABLE))
    chat.add_argument("-s", "--system", metavar="TEXT", help="instructions for the model")
    chat.add_argument(
        "--attach", metavar="IMAGE", action="append", default=[], help="an image to send with the prompt; repeatable"
    )
    chat.add_argument("--temperature", metavar="NUMBER", type=number, help="0 for the likeliest words, more for rarer ones")
    chat.add_argument("--max-tokens", metavar="COUNT", type=count, help="the most tokens that a reply may have")
    chat.add_argument("--timeout", metavar="SECONDS", type=seconds, help="the longest wait for the next piece of a reply")
    chat.add_argument(
        "--retries",
        metavar="COUNT",
        type=whole,
        help="how often to repeat a call that fails before its reply begins (default: 2)",
    )
    form = chat.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print each chunk as a line of JSON")
    form.add_argument("--markdown", action="store_true", help="format the reply, on a terminal; needs tokenwire[cli]")
    chat.set_defaults(check=check, excess="put the PROMPT in quotes, after the options")


def check(arguments: argparse.Namespace) -> None:
    """Refuse a command line without a model."""
    require_model(arguments, MODEL_VARIABLE)
