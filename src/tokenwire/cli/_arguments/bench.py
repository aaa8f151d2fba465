"""The arguments of `tokenwire bench`."""

import argparse

from .parser import Commands, add_endpoint, command_of
from .values import count, counts, json_object, rates, seconds, whole

DESCRIPTION = """\
Measure an endpoint under load: first token, pace, goodput.

The load is so many requests at once (--concurrency), or so many a second whether those before have ended or not (--rate).
Several numbers, separated by commas, are measured one after the other. Figures are printed, and saved with --save: NAME.json
in the field names of vLLM's bench, NAME.jsonl with a line for each request, and NAME.html with plots (needs
tokenwire[bench]). Ctrl-C ends it, and sums up what was measured.
"""

EXAMPLES = """\
examples:
  tokenwire bench -m openai/my-model --api-base http://localhost:8000/v1
  tokenwire bench -m my-model --api-base URL --concurrency 1,4,16,64 --duration 30 --save results
  tokenwire bench -m my-model --api-base URL --rate 10 --requests 600 --goodput ttft:200 tpot:50
  tokenwire bench --compare before.json after.json

exits with 0 where every request was answered in whole, 1 where one failed, 2 where arguments are wrong, 130 after Ctrl-C
"""


def add(commands: Commands) -> None:
    """Add the command."""
    bench = command_of(commands, "bench", words="measure an endpoint under load", description=DESCRIPTION, epilog=EXAMPLES)
    bench.add_argument("-m", "--model", help="such as openai/my-model, or a bare name with --api-base")
    add_endpoint(bench)
    bench.add_argument("--timeout", metavar="SECONDS", type=seconds, help="the longest wait for the next piece of an answer")
    bench.add_argument("--retries", metavar="COUNT", type=whole, default=0, help="further attempts (default: %(default)s)")

    load = bench.add_argument_group("load")
    load.add_argument("--concurrency", metavar="COUNTS", type=counts, help="requests at once (default: 8; with --rate: any)")
    load.add_argument("--rate", metavar="RATES", type=rates, help="requests a second")
    arrivals = ("poisson", "constant")
    load.add_argument("--arrivals", choices=arrivals, help="how --rate is spread (default: poisson)")
    end = load.add_mutually_exclusive_group()
    end.add_argument("--requests", metavar="COUNT", type=count, help="how many, of each load (default: 100)")
    end.add_argument("--duration", metavar="SECONDS", type=seconds, help="how long requests are begun, of each load")
    load.add_argument("--warmup", metavar="COUNT", type=whole, default=1, help="not measured (default: %(default)s)")

    asked = bench.add_argument_group("what is asked")
    source = asked.add_mutually_exclusive_group()
    source.add_argument("--prompt", metavar="TEXT", action="append", help="repeatable")
    source.add_argument("--prompts", metavar="FILE", help="lines of OpenAI's batch format or with a prompt, or ShareGPT's JSON")
    source.add_argument("--words", metavar="COUNT", type=count, default=128, help="made up, so many (default: %(default)s)")
    asked.add_argument("--seed", metavar="COUNT", type=whole, default=0, help="of made up words, and of Poisson's arrivals")
    asked.add_argument("--max-tokens", metavar="COUNT", type=count, default=128, help="of answers (default: %(default)s)")
    asked.add_argument("--extra-body", metavar="JSON", type=json_object, help="more for each request: '{\"ignore_eos\": true}'")

    results = bench.add_argument_group("results")
    results.add_argument(
        "--goodput", metavar="NAME:MS", nargs="+", default=[], help="targets, such as ttft:200 tpot:50 e2el:3000"
    )
    results.add_argument("--save", metavar="NAME", help="write NAME.json, NAME.jsonl and NAME.html; what is there is replaced")
    results.add_argument("--compare", metavar=("A.json", "B.json"), nargs=2, help="show two saved results; measure nothing")
    bench.set_defaults(check=check)


def check(arguments: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    if (arguments.compare is None) == (arguments.model is None):
        arguments.parser.error("name either a model to measure (-m), or two results to --compare")
    usual = {**vars(arguments.parser.parse_args([])), "compare": arguments.compare, "excess": arguments.excess}
    if arguments.compare is not None and vars(arguments) != usual:
        arguments.parser.error("--compare measures nothing, and goes with no other option")
    if arguments.arrivals is not None and arguments.rate is None:
        arguments.parser.error("--arrivals says how a --rate is spread: name one")
    if len(arguments.concurrency or ()) > 1 and len(arguments.rate or ()) > 1:
        arguments.parser.error("either --concurrency or --rate may have several numbers")
