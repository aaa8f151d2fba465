"""The arguments of `tokenwire bench`."""

import argparse

from .parser import Commands, add_endpoint, command_of
from .values import count, counts, json_object, rates, seconds, whole

DESCRIPTION = """\
Measure an endpoint under load: first token, pace, goodput.

The load is a number of requests at once (--concurrency), or a number of requests a second, whether earlier ones have ended
or not (--rate). Several numbers, separated by commas, are measured one after the other. The results are printed, and saved
with --save: NAME.json with the field names of vLLM's bench, NAME.jsonl with a line for each request, and NAME.html with
plots (needs tokenwire[bench]). Ctrl-C ends the measurement, and what was measured is summarized.
"""

EXAMPLES = """\
examples:
  tokenwire bench -m openai/my-model --api-base http://localhost:8000/v1
  tokenwire bench -m my-model --api-base URL --concurrency 1,4,16,64 --duration 30 --save results
  tokenwire bench -m my-model --api-base URL --rate 10 --requests 600 --goodput ttft:200 tpot:50
  tokenwire bench --compare before.json after.json

exit status: 0 if every request has a complete answer, 1 if one failed, 2 if arguments are wrong, 130 after Ctrl-C
"""


def add(commands: Commands) -> None:
    """Add the command."""
    bench = command_of(commands, "bench", words="measure an endpoint under load", description=DESCRIPTION, epilog=EXAMPLES)
    bench.add_argument("-m", "--model", help="the model, such as openai/my-model, or a bare name with --api-base")
    add_endpoint(bench)
    bench.add_argument("--timeout", metavar="SECONDS", type=seconds, help="the longest wait for the next piece of an answer")
    bench.add_argument(
        "--retries", metavar="COUNT", type=whole, default=0, help="how often to repeat a failed request (default: %(default)s)"
    )

    load = bench.add_argument_group("load")
    load.add_argument(
        "--concurrency", metavar="COUNTS", type=counts, help="requests at once (default: 8; with --rate: no limit)"
    )
    load.add_argument("--rate", metavar="RATES", type=rates, help="requests a second")
    arrivals = ("poisson", "constant")
    load.add_argument("--arrivals", choices=arrivals, help="how the requests of --rate are spread over time (default: poisson)")
    end = load.add_mutually_exclusive_group()
    end.add_argument("--requests", metavar="COUNT", type=count, help="how many requests for each load (default: 100)")
    end.add_argument("--duration", metavar="SECONDS", type=seconds, help="how long to begin requests, for each load")
    load.add_argument(
        "--warmup", metavar="COUNT", type=whole, default=1, help="requests before the measurement (default: %(default)s)"
    )

    asked = bench.add_argument_group("requests")
    source = asked.add_mutually_exclusive_group()
    source.add_argument("--prompt", metavar="TEXT", action="append", help="the prompt; repeatable")
    source.add_argument(
        "--prompts", metavar="FILE", help="prompts, as lines of OpenAI's batch format, lines with a prompt, or ShareGPT's JSON"
    )
    source.add_argument(
        "--words",
        metavar="COUNT",
        type=count,
        default=128,
        help="the length of made-up prompts, in words (default: %(default)s)",
    )
    asked.add_argument(
        "--seed", metavar="COUNT", type=whole, default=0, help="the seed of made-up words and of Poisson's arrivals"
    )
    asked.add_argument(
        "--max-tokens", metavar="COUNT", type=count, default=128, help="the most tokens of an answer (default: %(default)s)"
    )
    asked.add_argument(
        "--extra-body", metavar="JSON", type=json_object, help="more fields for each request, such as '{\"ignore_eos\": true}'"
    )

    results = bench.add_argument_group("results")
    results.add_argument(
        "--goodput", metavar="NAME:MS", nargs="+", default=[], help="targets in ms, such as ttft:200 tpot:50 e2el:3000"
    )
    results.add_argument("--save", metavar="NAME", help="write NAME.json, NAME.jsonl and NAME.html, or replace them")
    results.add_argument("--compare", metavar=("A.json", "B.json"), nargs=2, help="compare two saved results; measure nothing")
    bench.set_defaults(check=check)


def check(arguments: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    if (arguments.compare is None) == (arguments.model is None):
        arguments.parser.error("name either a model to measure (-m MODEL), or two results to compare (--compare A.json B.json)")
    usual = {**vars(arguments.parser.parse_args([])), "compare": arguments.compare, "excess": arguments.excess}
    if arguments.compare is not None and vars(arguments) != usual:
        arguments.parser.error("--compare measures nothing, so no other option may be given with it")
    if arguments.arrivals is not None and arguments.rate is None:
        arguments.parser.error("--arrivals needs --rate: it spreads the requests of that over time")
    if len(arguments.concurrency or ()) > 1 and len(arguments.rate or ()) > 1:
        arguments.parser.error("only one of --concurrency and --rate may have several numbers")
