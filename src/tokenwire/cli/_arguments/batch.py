"""The arguments of `tokenwire batch`."""

from .parser import Commands, add_endpoint, command_of
from .values import count, seconds, whole

DESCRIPTION = """\
Make the calls in a file, and write their results to another file.

Each line of IN is a call in OpenAI's batch format, or a JSON object with "messages" or "prompt", whose unknown fields are
copied to the result. Results are added to OUT as they come. After a kill, a power cut or Ctrl-C, the same command resumes:
no line is lost or written twice. Ctrl-C waits for the calls in flight; a second Ctrl-C does not. "-" is standard input or
output; a run that writes to standard output can't be resumed.
"""

EXAMPLES = """\
examples:
  tokenwire batch in.jsonl out.jsonl
  tokenwire batch -m openai/gpt-4o-mini --concurrency 200 --rpm 10000 prompts.jsonl.gz out.jsonl
  tokenwire batch in.jsonl out.jsonl --retry-failed

exit status: 0 if every line has a complete answer, 1 if some failed or were truncated, 2 if arguments or lines are wrong
"""


def add(commands: Commands) -> None:
    """Add the command."""
    batch = command_of(commands, "batch", words="make the calls in a file", description=DESCRIPTION, epilog=EXAMPLES)
    batch.add_argument("input", metavar="IN", help="the calls, one on each line, also .gz and .zst; - for standard input")
    batch.add_argument("output", metavar="OUT", help="the results, one on each line; - for standard output")
    batch.add_argument("-m", "--model", help="the model for every line, such as openai/gpt-4o-mini (default: each line's own)")
    add_endpoint(batch)
    batch.add_argument("--errors", metavar="FILE", help="the file for failed lines (default: OUT)")
    batch.add_argument("--concurrency", metavar="COUNT", type=count, default=64, help="calls at once (default: %(default)s)")
    batch.add_argument("--rpm", metavar="COUNT", type=count, help="the most requests a minute")
    batch.add_argument("--tpm", metavar="COUNT", type=count, help="the most tokens a minute")
    batch.add_argument("--timeout", metavar="SECONDS", type=seconds, help="the longest that a call may take")
    batch.add_argument("--retries", metavar="COUNT", type=whole, help="how often to repeat a failed call (default: 2)")
    batch.add_argument("--retry-failed", action="store_true", help="repeat the calls that failed in earlier runs")
    batch.add_argument("--number-ids", action="store_true", help="number the lines whose custom_id is missing or repeated")
    batch.add_argument("--sync-each", action="store_true", help="sync each line to the disk, not once a second")
