"""How long, how much, how often: the settings of a call, and the only place that reads the environment."""

import os
import sys
from typing import Any

import msgspec

from .exceptions import BadRequestError

DEFAULT_API_BASE = "https://api.openai.com/v1"


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """The deadlines of one call, in seconds. `None` waits for ever.

    Attributes:
        connect: opening a connection, TLS included.
        pool: waiting for a free connection.
        write: one write of the request.
        first_content: from sending the request to the first content (text, reasoning, a tool call, audio).
            Comments, role-only and empty chunks are not content.
        idle: between two pieces of content.
        total: all attempts of the call together, with the waits between them. Unset, it is 600 for a call that is
            not streamed and none for a stream.

    Each expiry raises `Timeout` whose `budget` is the attribute's name.
    """

    connect: float | None = 5.0
    pool: float | None = 60.0
    write: float | None = 60.0
    first_content: float | None = 600.0
    idle: float | None = 300.0
    total: float | None | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value is not msgspec.UNSET:
                _require_seconds(f"timeout.{name}", value)

    def total_for(self, *, stream: bool) -> float | None:
        """The budget of the whole call."""
        if isinstance(self.total, msgspec.UnsetType):
            return None if stream else 600.0
        return self.total

    @property
    def longest_wait(self) -> float:
        """The longest single wait as one number, for handlers that take no more than that."""
        waits = [wait for wait in (self.first_content, self.idle, self.total) if isinstance(wait, int | float)]
        return float(max(waits, default=600.0))

    @classmethod
    def parse(cls, value: Any, *, stream: bool) -> "Timeouts":
        """The deadlines that a caller's `timeout` asks for.

        Args:
            value: a `Timeouts`; a number of seconds, which no single wait may exceed, nor a whole call that is not
                streamed; an `httpx.Timeout`, whose `read` bounds the wait for content; `None` for the defaults.
            stream: whether the call is streamed.

        Raises:
            BadRequestError: anything else, or a number that is not above zero.
        """
        if value is None:
            return DEFAULT_TIMEOUTS
        if isinstance(value, cls):
            return value
        if isinstance(value, str):  # LiteLLM takes "30" too
            try:
                value = float(value)
            except ValueError:
                pass
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = _require_seconds("timeout", value)
            total = msgspec.UNSET if stream else seconds
            return cls(connect=seconds, pool=seconds, write=seconds, first_content=seconds, idle=seconds, total=total)
        given: Any = value
        if all(hasattr(given, name) for name in ("connect", "read", "write", "pool")):  # httpx.Timeout, unimported
            return cls(connect=given.connect, pool=given.pool, write=given.write, first_content=given.read, idle=given.read)
        raise BadRequestError(
            f"timeout must be seconds, a Timeouts or an httpx.Timeout, not {type(value).__name__}", param="timeout"
        )


def _require_seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadRequestError(f"{name} must be a number of seconds above 0, not {value!r}", param="timeout")
    return float(value)


DEFAULT_TIMEOUTS = Timeouts()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an answer is taken in, in bytes. Outgrowing one raises `LimitExceededError` with the limit's name.

    Attributes:
        max_event_bytes: one server-sent event.
        max_body_bytes: the body of an answer that is not streamed, after decompression.
        max_error_body_bytes: how much of an error's body is read and kept.
    """

    max_event_bytes: int = 8 * 1024 * 1024
    max_body_bytes: int = 256 * 1024 * 1024
    max_error_body_bytes: int = 64 * 1024


DEFAULT_LIMITS = Limits()


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a failed attempt is made again, before the first content reached the caller.

    Attributes:
        num_retries: attempts after the first.
        base_delay: seconds before the first retry; each further one waits twice as long, times a random 0.75 to 1.
        max_delay: the longest such wait.
        max_retry_after: the longest wait a server may ask for; asked for more, the error is raised at once.

    Raises:
        BadRequestError: a number below 0, or none.
    """

    num_retries: int = 2
    base_delay: float = 0.5
    max_delay: float = 8.0
    max_retry_after: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value, kinds = getattr(self, name), (int,) if name == "num_retries" else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not value >= 0:
                expected = "a whole number, 0 or more" if name == "num_retries" else "seconds, 0 or more"
                raise BadRequestError(f"retry_policy.{name} must be {expected}, not {value!r}", param="retry_policy")


def _environment(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def api_base_from_environment() -> str:
    """`OPENAI_BASE_URL` or `OPENAI_API_BASE`; OpenAI's own address where neither is set."""
    return _environment("OPENAI_BASE_URL", "OPENAI_API_BASE") or DEFAULT_API_BASE


def api_key_from_environment() -> str | None:
    """`OPENAI_API_KEY`."""
    return _environment("OPENAI_API_KEY")


def organization_from_environment() -> str | None:
    """`OPENAI_ORGANIZATION` or `OPENAI_ORG_ID`."""
    return _environment("OPENAI_ORGANIZATION", "OPENAI_ORG_ID")


def module_settings() -> dict[str, Any]:
    """What users assign to the package itself, as LiteLLM's do: `tokenwire.api_key = "..."`. Read at each call.

    "api_key", "api_base", "organization", "headers", "request_timeout" and "num_retries" are looked at.
    """
    return vars(sys.modules["tokenwire"])


def proxy_for(url: str) -> str | None:
    """The proxy that the environment (`HTTPS_PROXY`, `NO_PROXY`, ...) names for a URL; None for none, and for this machine."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    if parts.hostname in (None, "localhost", "127.0.0.1", "::1") or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")
