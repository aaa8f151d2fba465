"""How long, how much, how often: the settings of a call, and the only place that reads the environment."""

import math
import os
import sys
from functools import cache, lru_cache
from typing import Any, Literal

import msgspec

from .exceptions import refused, wrong


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """The deadlines of one call, in seconds. `None` is no limit.

    Attributes:
        connect: opening a connection, TLS included.
        pool: waiting for a free connection.
        write: one write of the request.
        first_content: from the beginning of an attempt to its first content (text, reasoning, a tool call, audio).
            Comments, role-only and empty chunks are not content. An answer that is not streamed has it for all of itself.
        idle: between two pieces of content.
        ending: from the last choice's finish reason to the end of the stream, in which the usage may still come. A stream
            that is still open then is complete all the same; `idle` does the same where it is shorter.
        total: all attempts of the call together, with the waits between them. Unset, it is 600 for a call that is
            not streamed and none for a stream.

    Each expiry but that of `ending` raises `Timeout` whose `budget` is the attribute's name.
    """

    connect: float | None = 5.0
    pool: float | None = 60.0
    write: float | None = 60.0
    first_content: float | None = 600.0
    idle: float | None = 300.0
    ending: float | None = 5.0
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
        longest = 0.0
        for wait in (self.first_content, self.idle, self.total):
            if wait is not None and wait is not msgspec.UNSET and wait > longest:
                longest = wait
        return float(longest or 600.0)

    @classmethod
    def parse(cls, value: object, *, name: str = "timeout") -> "Timeouts":
        """The deadlines that a caller's `timeout` asks for.

        Args:
            value: a `Timeouts`; a number of seconds, which no single wait may exceed, so that a call that is not streamed
                has them for each attempt, and retries are not counted together; an `httpx.Timeout`, whose `read` bounds the
                wait for content; `None` for the defaults.
            name: the caller's word for it.

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
            return _all_of(_require_seconds(name, value))
        given: Any = value
        if all(hasattr(given, name) for name in ("connect", "read", "write", "pool")):  # httpx.Timeout, unimported
            return cls(connect=given.connect, pool=given.pool, write=given.write, first_content=given.read, idle=given.read)
        raise refused(name, f"{name} must be seconds, a Timeouts or an httpx.Timeout, not {type(value).__name__}")


@lru_cache(maxsize=64)
def _all_of(seconds: float) -> Timeouts:
    """What a plain number means."""
    return Timeouts(connect=seconds, pool=seconds, write=seconds, first_content=seconds, idle=seconds, total=None)


def _require_seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise refused(name.partition(".")[0], f"{name} must be a number of seconds above 0, not {value!r}")
    return float(value)


DEFAULT_TIMEOUTS = Timeouts()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an answer is taken in, in bytes. Outgrowing one raises `LimitExceededError` with the limit's name.

    Attributes:
        max_event_bytes: one server-sent event; a picture may come in one.
        max_body_bytes: the body of an answer that is not streamed, after decompression.
        max_error_body_bytes: how much of an error's body is read and kept.

    Raises:
        BadRequestError: one is not a whole number above 0.
    """

    max_event_bytes: int = 64 * 1024 * 1024
    max_body_bytes: int = 256 * 1024 * 1024
    max_error_body_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise wrong(f"limits.{name}", "a whole number of bytes, 1 or more", value)


DEFAULT_LIMITS = Limits()


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a failed attempt is made again, before the first content reached the caller.

    Attributes:
        num_retries: attempts after the first.
        base_delay: seconds before the first retry; each further one waits twice as long, times a random 0.75 to 1.
        max_delay: the longest such wait.
        max_retry_after: the longest wait a server may ask for; asked for more, the error is raised at once.

    Raises:
        BadRequestError: a value is below 0, or not a number.
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
                raise refused("retry_policy", f"retry_policy.{name} must be {expected}, not {value!r}")


@lru_cache(maxsize=64)
def retries(num_retries: int) -> RetryPolicy:
    """The policy that a plain number means."""
    return RetryPolicy(num_retries=num_retries)


class Hedge(msgspec.Struct, frozen=True, kw_only=True):
    """A second attempt beside one whose content does not come: the first content of the two is the answer's.

    The other one is cancelled, and its connection released at once; a handler is waited for until it has ended. Tokens that
    it used are paid for all the same. A call has one hedge at most, beside its retries, and none once its content has begun.

    Attributes:
        after: seconds from the beginning of an attempt, or "p95": as long as 95 % of the client's latest attempts at this
            target took to their first content (a whole answer: to its end). It does not hedge before it knows 100.
        max_share: the most hedges, as a share of the client's calls to this target with a hedge, in any 60 seconds. Ten
            are always allowed in that time.
        to: "same" asks the same target, or another of its deployments; "next" asks the next of the `fallbacks`.

    Raises:
        BadRequestError: a number out of range, or another word.
    """

    after: float | Literal["p95"] = "p95"
    max_share: float = 0.1
    to: Literal["same", "next"] = "same"

    def __post_init__(self) -> None:
        if self.after != "p95" and not (_is_number(self.after) and 0 < self.after < math.inf):
            raise refused("hedge", f'hedge.after must be a number of seconds above 0, or "p95", not {self.after!r:.80}')
        if not (_is_number(self.max_share) and 0 <= self.max_share <= 1):
            raise refused("hedge", f"hedge.max_share must be a share of the calls, 0 to 1, not {self.max_share!r:.80}")
        if self.to not in ("same", "next"):
            raise refused("hedge", f'hedge.to must be "same" or "next", not {self.to!r:.80}')

    def check_room(self, timeouts: Timeouts, *, stream: bool) -> None:
        """Refuse a hedge that would begin when the attempt or the call is over.

        Raises:
            BadRequestError: it would.
        """
        budgets = {"first_content": timeouts.first_content, "total": timeouts.total_for(stream=stream)}
        for name, seconds in budgets.items():
            if seconds is not None and self.after != "p95" and self.after >= seconds:
                raise refused(
                    "hedge",
                    f"hedge.after must leave room in the deadline: {self.after} s, and timeout.{name} is {seconds:.3g} s",
                )


class OTel(msgspec.Struct, frozen=True, kw_only=True):
    """What OpenTelemetry is told of a call, where the application has set it up.

    Attributes:
        propagate: whether the trace's headers (`traceparent`, and what else the propagators say) go out with the request.
        attempt_spans: whether each attempt is a span of its own below the call's; else it is an event.
        chunk_metrics: whether `gen_ai.client.inference.time_per_output_chunk` is recorded for each batch of chunks that
            arrives, at the cost of two microseconds or more each; else once for each stream, as the mean.

    Raises:
        BadRequestError: one is not True or False.
    """

    propagate: bool = True
    attempt_spans: bool = False
    chunk_metrics: bool = False

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not isinstance(getattr(self, name), bool):
                raise refused("otel", f"otel.{name} must be True or False, not {getattr(self, name)!r:.80}")


DEFAULT_OTEL = OTel()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def environment(*names: str) -> str | None:
    """The first of these environment variables that is set and not empty, as it is now."""
    # `os.environ` raises and catches an exception twice for a variable that is not set: 2 µs, at each call for each name.
    # The dict under it, where there is one, says for a tenth of that whether it is worth asking.
    known = getattr(os.environ, "_data", None)
    for name in names:
        if (known is None or _key_of(name) in known) and (value := os.environ.get(name)):
            return value
    return None


def opentelemetry_is_loaded() -> bool:
    """Whether the application has imported one of the two modules with which OpenTelemetry is set up."""
    return "opentelemetry.trace" in sys.modules or "opentelemetry.metrics" in sys.modules


@cache
def _key_of(name: str) -> str | bytes:
    """The variable's name as the system has it."""
    return os.environ.encodekey(name)


def module_settings() -> dict[str, Any]:
    """What users assign to the package itself, as LiteLLM's do: `tokenwire.api_key = "..."`. To be read at each call."""
    return vars(sys.modules["tokenwire"])


def proxy_variables() -> dict[str, str]:
    """The environment's variables for proxies, by the part in front of "_proxy", in lower case: "http", "all", "no", ..."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies

    return getproxies()
