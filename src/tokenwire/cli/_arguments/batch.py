"""The arguments of `tokenwire batch`."""

from .parser import Commands, add_endpoint, command_of
from .values import count, seconds, whole

DESCRIPTION = """\
Make the calls of a file, and write their results to another.

IN has lines of OpenAI's batch format, or plain ones with "messages" or "prompt", whose further fields are carried through.
OUT is appended to as answers come. The same command goes on after a kill, a power cut or Ctrl-C: no line is lost or
doubled. Ctrl-C waits for the calls under way; a second one does not. "-" is standard input or output; an output of "-"
can't be gone on with.
"""

EXAMPLES = """\
examples:
  tokenwire batch in.jsonl out.jsonl
  tokenwire batch -m openai/gpt-4o-mini --concurrency 200 --rpm 10000 prompts.jsonl.gz out.jsonl
  tokenwire batch in.jsonl out.jsonl --retry-failed

exits with 0 where every line has a whole answer, 1 where some failed or were truncated, 2 where arguments or lines are wrong
"""


def add(commands: Commands) -> None:
    """Add the command."""
    batch = command_of(commands, "batch", words="make the calls of a file", description=DESCRIPTION, epilog=EXAMPLES)
    batch.add_argument("input", metavar="IN", help="the calls, a line each; - for standard input; also .gz and .zst")
    batch.add_argument("output", metavar="OUT", help="the results, a line each; - for standard output")
    batch.add_argument("-m", "--model", help="for every line, such as openai/gpt-4o-mini; else each line's own")
    add_endpoint(batch)
    batch.add_argument("--errors", metavar="FILE", help="where failed lines go (default: OUT)")
    batch.add_argument("--concurrency", metavar="COUNT", type=count, default=64, help="calls at once (default: %(default)s)")
    batch.add_argument("--rpm", metavar="COUNT", type=count, help="requests a minute")
    batch.add_argument("--tpm", metavar="COUNT", type=count, help="tokens a minute")
    batch.add_argument("--timeout", metavar="SECONDS", type=seconds, help="the longest that a call may take")
    batch.add_argument("--retries", metavar="COUNT", type=whole, help="further attempts of a call (default: 2)")
    batch.add_argument("--retry-failed", action="store_true", help="ask the lines again that failed before")
    batch.add_argument("--number-ids", action="store_true", help="number lines whose custom_id is missing or there twice")
    batch.add_argument("--sync-each", action="store_true", help="have each line outlast a power cut, not each second's")
