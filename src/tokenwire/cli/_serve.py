"""`tokenwire serve`: a handler, or what a LiteLLM `config.yaml` names, as an OpenAI-compatible endpoint.

Mistakes in the arguments are found before anything is served: this process imports the handler, reads the file and binds the
address, even if it then only supervises `--workers`, which import and read again; see `_workers`.

uvicorn is the server. Ctrl-C and SIGTERM let requests finish for `--grace-seconds`; a second Ctrl-C does not.
"""

import argparse
import asyncio  # noqa: TID251  (for the exception of a request that uvicorn cancels)
import errno
import json
import logging
import logging.config
import multiprocessing
import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from msgspec.structs import replace

from tokenwire.exceptions import TokenwireError
from tokenwire.server import create_app
from tokenwire.server.config import Config, ConfigError, import_handler, read_config
from tokenwire.server.guard import Guard, is_loopback
from tokenwire.server.origins import is_host, origins_of
from tokenwire.server.protocol import HTTPProtocol

try:
    import resource
except ImportError:  # Windows has none
    resource = None

from . import FAILED
from ._arguments import parse
from ._terminal import UsageError, printable, remark
from ._workers import run_workers

KEYS_VARIABLE = "TOKENWIRE_API_KEYS"
EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (clients call the second of each pair)
LIMITS = (
    "max_concurrency",
    "max_queue",
    "queue_seconds",
    "max_body",
    "keepalive_seconds",
    "early_stream",
    "request_timeout",
)
BACKLOG = 8192  # connections that may wait to be accepted; the system may allow fewer
IDLE_SECONDS = 75  # to keep an idle connection: longer than clients do, so that none is closed while a request is on its way

logger = logging.getLogger("tokenwire.server")

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"cancelled": {"()": "tokenwire.cli._serve.NoCancellations"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["cancelled"]}},
    "loggers": {
        "tokenwire": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


def serve(arguments: argparse.Namespace) -> int:
    """Run the command, until a signal ends it.

    Returns:
        The exit status: 1 if a worker could not start.

    Raises:
        UsageError: an argument is wrong, or the address can't be listened at; nothing was served.
        KeyboardInterrupt: Ctrl-C ended it.
    """
    logging.config.dictConfig(LOGGING)
    _allow_more_files()
    served = _served(arguments)
    if served.skipped:
        logger.warning("%s: skipped, since this server does not use it: %s", arguments.config, ", ".join(served.skipped))
    app = _app(arguments, served)
    with _listen(arguments.host, arguments.port) as listener:
        announcement = _announcement(arguments, listener.getsockname()[1], served)
        announce = partial(print, announcement, flush=True)
        if arguments.workers > 1:
            return _serve_by_workers(arguments, listener, announce)
        Server(uvicorn.Config(app, **_options(arguments)), announce).run(sockets=[listener])
    return 0


class Server(uvicorn.Server):
    """uvicorn's server, which also reports that it serves, and at its end what it waits for."""

    def __init__(self, config: uvicorn.Config, has_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._has_started = has_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it."""
        await super().startup(sockets=sockets)
        if self.started:
            self._has_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal. A second Ctrl-C cancels the requests: on some event loops, uvicorn would still wait for them."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            for task in self.server_state.tasks:
                task.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running requests finish, within uvicorn's time limit."""
        if running := len(self.server_state.tasks):
            with suppress(OSError):  # standard error may be closed, and the requests must finish all the same
                remark(f"waiting for {running} request{'s' if running > 1 else ''}; Ctrl-C again ends them at once")
        await super().shutdown(sockets=sockets)


def _served(arguments: argparse.Namespace) -> Config:
    """The models and keys that the arguments, the environment and the files they name give.

    Raises:
        UsageError: something in them is wrong.
    """
    keys = tuple(_keys(arguments))
    try:
        if arguments.config is None:
            module, attribute = _module_and_handler(arguments.target)
            handler = import_handler(module, attribute, Path.cwd())
            return Config(models={arguments.model or attribute: handler}, api_keys=keys)
        config = read_config(arguments.config, os.environ)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    return replace(config, api_keys=(*keys, *config.api_keys))


def _module_and_handler(target: str) -> tuple[str, str]:
    """The names in MODULE:HANDLER.

    Raises:
        ConfigError: the target has another form; where it begins with a file's name, the message has its module's.
    """
    module, _, attribute = target.partition(":")
    file = Path(module)
    if file.suffix == ".py" and file.is_file():
        where = "" if file.parent == Path() else f" (in the folder {file.parent})"
        meant = f"did you mean {file.stem}:{attribute or 'handler'}{where}?"
        raise ConfigError(f"{target!r:.80} names a file, and MODULE:HANDLER was expected: {meant}")
    if not module or not attribute:
        raise ConfigError(f"{target!r:.80} must be MODULE:HANDLER, such as my_module:handler")
    return module, attribute


def _keys(arguments: argparse.Namespace) -> Iterator[str]:
    for key in arguments.api_key:
        if not key.strip():
            raise UsageError("--api-key: this key is empty")
        yield key.strip()
    yield from (key for part in os.environ.get(KEYS_VARIABLE, "").split(",") if (key := part.strip()))
    if arguments.api_key_file is None:
        return
    try:
        lines = arguments.api_key_file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is not UTF-8"
        raise UsageError(f"--api-key-file: {arguments.api_key_file}: {reason}") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise UsageError(f"--api-key-file: {arguments.api_key_file} has no key")
    yield from keys


def _app(arguments: argparse.Namespace, served: Config) -> Any:
    limits = {name: getattr(arguments, name) for name in LIMITS if getattr(arguments, name) is not None}
    try:
        origins = origins_of(arguments.cors, "--cors")
    except TokenwireError as error:
        raise UsageError(str(error)) from None
    hosts = [host.strip().lower() for host in arguments.allow_host]
    for host in hosts:
        if not is_host(host):
            raise UsageError(f"--allow-host must be a host's name or address, without a port, not {host!r:.80}")
    try:
        app = create_app(
            served.models,
            handlers=served.handlers,
            api_keys=served.api_keys,
            cors=arguments.cors,
            metrics=arguments.metrics,
            page=not arguments.no_page,
            **limits,
        )
    except TokenwireError as error:
        raise UsageError(f"{arguments.config or arguments.target}: {error}") from None
    return Guard(app, origins, hosts, loopback=_is_on_loopback(arguments.host))


def _is_on_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)}
    except (OSError, UnicodeError):
        return False  # `_listen` will fail there too
    return all(is_loopback(str(address)) for address in addresses)


def _allow_more_files() -> None:
    """Raise the limit of open files, and so of connections, to the system's maximum; many systems start at a thousand."""
    if resource is not None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # some systems name a maximum that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address, before the address is announced.

    Raises:
        UsageError: the address is in use, or can't be listened at.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:  # an impossible name is a UnicodeError
        reason = "is in use" if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else "can't be listened at"
        detail = "" if reason == "is in use" else f": {getattr(error, 'strerror', None) or error}"
        raise UsageError(f"{_address(host, port)} {reason}{detail}") from None


def _announcement(arguments: argparse.Namespace, port: int, served: Config) -> str:
    """The address and what is served there, and a command to try it."""
    host: str = arguments.host
    url = f"http://{_address(EVERY_INTERFACE.get(host, host), port)}/v1"
    asked = {"model": next(iter(served.models)), "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    key = ' -H "Authorization: Bearer $API_KEY"' if served.api_keys else ""
    lines = [
        f"serving at {url}, on {host}: {', '.join(served.models)}",
        f"  curl -N {url}/chat/completions{key} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(asked))}",
    ]
    if not arguments.no_page:
        lines.append(f"  or open {url.removesuffix('v1')} in a browser")
    if not served.api_keys and not _is_on_loopback(host):
        lines.append("There is no API key: anybody who can reach this machine can use the models.")
    return "\n".join(map(printable, lines))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """uvicorn's settings, for one process or several."""
    return {
        "lifespan": "on",
        "http": HTTPProtocol,
        "ws": "none",
        "log_config": LOGGING,
        "access_log": False,  # the app writes its own, which has more
        "server_header": False,
        "backlog": BACKLOG,
        "timeout_keep_alive": IDLE_SECONDS,
        "timeout_graceful_shutdown": arguments.grace_seconds,
    }


def _serve_by_workers(arguments: argparse.Namespace, listener: socket.socket, announce: Callable[[], None]) -> int:
    with ExitStack() as stack:
        if arguments.metrics and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # for the sum of the workers' metrics
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        number = run_workers(_work, listener, arguments.workers, BACKLOG, announce)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number == signal.SIGTERM:  # end by the signal, as uvicorn does with one process
        signal.raise_signal(number)
    return FAILED


def _work(listener: socket.socket, has_started: Callable[[], None]) -> None:
    """Serve, in one of several worker processes; multiprocessing gives it the same command line."""
    logging.config.dictConfig(LOGGING)
    arguments = parse(sys.argv[1:])
    assert arguments is not None
    WorkersServer(uvicorn.Config(_app(arguments, _served(arguments)), **_options(arguments)), has_started).run([listener])


class WorkersServer(Server):
    """A worker's server, which shuts down when the parent process has ended."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and watch the parent process."""
        await super().startup(sockets=sockets)
        parent = multiprocessing.parent_process()
        if parent is not None and os.name == "posix":
            loop = asyncio.get_running_loop()

            def end() -> None:
                loop.remove_reader(parent.sentinel)
                self.handle_exit(signal.SIGTERM, None)

            loop.add_reader(parent.sentinel, end)


class NoCancellations(logging.Filter):
    """Drops records about requests that uvicorn itself cancelled, when the time for them to finish was over."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
