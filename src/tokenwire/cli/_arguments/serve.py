"""The arguments of `tokenwire serve`."""

import argparse
from pathlib import Path

from .parser import Commands, command_of
from .values import count, port, seconds, whole

DESCRIPTION = """\
Serve a handler, or the models of a LiteLLM config.yaml, as an OpenAI-compatible endpoint.

MODULE:HANDLER names a CustomLLM or a function that answers, in a module of this folder or an installed one:
  tokenwire serve my_module:handler

Ctrl-C lets running requests finish; a second Ctrl-C ends them.
"""

EXAMPLES = """\
examples:
  tokenwire serve my_module:handler --model my-model
  tokenwire serve --config config.yaml --host 0.0.0.0 --api-key-file keys.txt --metrics

environment:
  TOKENWIRE_API_KEYS  keys that clients may send, separated by commas, in addition to those of the options
"""


def add(commands: Commands) -> None:
    """Add the command."""
    words = "serve a handler as an OpenAI-compatible endpoint"
    serve = command_of(commands, "serve", words=words, description=DESCRIPTION, epilog=EXAMPLES)
    serve.add_argument("target", metavar="MODULE:HANDLER", nargs="?", help="what to serve")
    serve.add_argument("--config", metavar="FILE", type=Path, help="a LiteLLM config.yaml that lists what to serve")
    serve.add_argument("--model", metavar="NAME", help="the model name for clients (default: HANDLER)")
    serve.add_argument(
        "--host", default="127.0.0.1", help="where to listen; 0.0.0.0 for every interface (default: %(default)s)"
    )
    serve.add_argument("--port", type=port, default=8000, help="the port; 0 for any that is free (default: %(default)s)")
    serve.add_argument("--workers", metavar="COUNT", type=count, default=1, help="processes that serve (default: %(default)s)")
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        action="append",
        default=[],
        help="a key that clients may send; repeatable; other users of this machine can see it, so rather use the environment"
        " or --api-key-file",
    )
    serve.add_argument("--api-key-file", metavar="FILE", type=Path, help="keys that clients may send, one on each line")
    serve.add_argument(
        "--max-concurrency", metavar="COUNT", type=count, help="calls at once in each process; one more is refused with 429"
    )
    serve.add_argument(
        "--max-queue", metavar="COUNT", type=whole, help="calls that may wait, first come, first served; one more is refused"
    )
    serve.add_argument(
        "--queue-seconds", metavar="SECONDS", type=seconds, help="the longest that a call may wait (default: 30)"
    )
    serve.add_argument("--max-body", metavar="BYTES", type=count, help="the largest body of a request (default: 32 MiB)")
    serve.add_argument("--request-timeout", metavar="SECONDS", type=seconds, help="the longest that a request may take")
    serve.add_argument(
        "--keepalive-seconds", metavar="SECONDS", type=seconds, help="the longest silence in a stream (default: 15)"
    )
    serve.add_argument(
        "--early-stream",
        metavar="SECONDS",
        type=seconds,
        help="begin a stream with a comment if the first token takes longer, since proxies give up on an answer that does not"
        " begin; a later error then has status 200 (default: never)",
    )
    serve.add_argument(
        "--cors",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="the origin of web pages that may call this server, such as http://localhost:3000; repeatable; * for all; others"
        " are refused",
    )
    serve.add_argument(
        "--allow-host",
        metavar="HOST",
        action="append",
        default=[],
        help="a name by which this server's own web pages reach it, such as that of a proxy; repeatable",
    )
    serve.add_argument("--no-page", action="store_true", help="show no page at / on which the models can be tried")
    serve.add_argument(
        "--grace-seconds",
        metavar="SECONDS",
        type=whole,
        default=30,
        help="how long requests may go on after Ctrl-C or SIGTERM (default: %(default)s)",
    )
    serve.add_argument("--metrics", action="store_true", help="serve metrics for Prometheus at /metrics")
    serve.set_defaults(check=check)


def check(arguments: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    if (arguments.target is None) == (arguments.config is None):
        arguments.parser.error("name either MODULE:HANDLER or --config FILE")
    if arguments.max_queue and arguments.max_concurrency is None:
        arguments.parser.error("--max-queue needs --max-concurrency: without a limit no call waits")
    if arguments.config is not None and arguments.model is not None:
        arguments.parser.error("--model is only for MODULE:HANDLER; the file of --config names its models")
