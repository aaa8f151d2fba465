"""The settings of a call: deadlines, limits, retries, hedges, telemetry. Only this module and `cli` read the environment."""

import math
import os
import sys
from functools import cache, lru_cache
from typing import Any, Literal

import msgspec

from .exceptions import refused, wrong


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """The deadlines of one call, in seconds; `None` for no limit.

    Attributes:
        connect: opening a connection, TLS included.
        pool: waiting for a free connection.
        write: one write of the request.
        first_content: from the beginning of an attempt to its first content (text, reasoning, a tool call, audio).
            Comments, role-only and empty chunks are not content. If the call is not streamed, the time for the whole answer.
        idle: between two pieces of content.
        ending: from the last choice's finish reason to the end of the stream; the usage may still arrive in this time. A
            stream that is still open after it is complete, too. If `idle` is shorter, it is used instead.
        total: all attempts of the call together, including the waits between them. By default 600 for a call that is not
            streamed, and no limit for a stream.

    When one passes, `Timeout` is raised, with the attribute's name as its `budget`; except for `ending`.
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
        """The longest single wait as one number, for handlers that only support that."""
        longest = 0.0
        for wait in (self.first_content, self.idle, self.total):
            if wait is not None and wait is not msgspec.UNSET and wait > longest:
                longest = wait
        return float(longest or 600.0)

    @classmethod
    def parse(cls, value: object, *, name: str = "timeout") -> "Timeouts":
        """The deadlines for a caller's `timeout`.

        Args:
            value: a `Timeouts`; a number of seconds, the limit of each single wait, so of each attempt of a call that is
                not streamed, but not of all attempts together; an `httpx.Timeout`, whose `read` limits the wait for content;
                `None` for the defaults.
            name: the argument's name, for messages.

        Raises:
            BadRequestError: it is none of these, or a number that is not above 0.
        """
        if value is None:
            return DEFAULT_TIMEOUTS
        if isinstance(value, cls):
            return value
        if isinstance(value, str):  # LiteLLM accepts "30", too
            try:
                value = float(value)
            except ValueError:
                pass
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _all_of(_require_seconds(name, value))
        given: Any = value
        if all(hasattr(given, name) for name in ("connect", "read", "write", "pool")):  # an httpx.Timeout; avoids the import
            return cls(connect=given.connect, pool=given.pool, write=given.write, first_content=given.read, idle=given.read)
        raise refused(name, f"{name} must be seconds, a Timeouts or an httpx.Timeout, not {type(value).__name__}")


@lru_cache(maxsize=64)
def _all_of(seconds: float) -> Timeouts:
    """The deadlines for a plain number."""
    return Timeouts(connect=seconds, pool=seconds, write=seconds, first_content=seconds, idle=seconds, total=None)


def _require_seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise refused(name.partition(".")[0], f"{name} must be a number of seconds above 0, not {value!r}")
    return float(value)


DEFAULT_TIMEOUTS = Timeouts()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The most bytes that are read of an answer. A larger one raises `LimitExceededError` with the limit's name.

    Attributes:
        max_event_bytes: one server-sent event, which may have a whole image.
        max_body_bytes: the body of an answer that is not streamed, after decompression.
        max_error_body_bytes: the part of an error's body that is read and kept; a longer one is not an error.

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
    """How failed attempts are repeated. After the first content has reached the caller, none is.

    Attributes:
        num_retries: attempts after the first.
        base_delay: seconds before the first retry; each later delay is twice as long. A random factor of 0.75 to 1 is applied
            to all of them.
        max_delay: the longest such delay.
        max_retry_after: the longest wait that a server may request; if it requests more, the error is raised at once.

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
    """The policy for a plain number of retries."""
    return RetryPolicy(num_retries=num_retries)


class Hedge(msgspec.Struct, frozen=True, kw_only=True):
    """A second, concurrent attempt if the first content is late: the attempt whose content arrives first is the answer.

    The other one is cancelled, and its connection released at once; if it is a handler, the call waits until it has ended.
    Tokens that it used still cost money. A call has at most one hedge, in addition to its retries, and none after its content
    has begun.

    Attributes:
        after: seconds from the beginning of an attempt; or "p95", the time in which 95 % of the client's latest attempts at
            this target had their first content (or their end, if not streamed). With "p95" there are no hedges before 100
            attempts.
        max_share: the most hedges in any 60 seconds, as a share of the client's calls to this target that have this option.
            Ten are always allowed in that time.
        to: "same" for the same target, or another of its deployments; "next" for the next of the `fallbacks`.

    Raises:
        BadRequestError: a value is out of range, or not one of the words.
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
        """Refuse a hedge that could not begin before the attempt or the call is over.

        Raises:
            BadRequestError: `after` is not less than the deadline.
        """
        budgets = {"first_content": timeouts.first_content, "total": timeouts.total_for(stream=stream)}
        for name, seconds in budgets.items():
            if seconds is not None and self.after != "p95" and self.after >= seconds:
                raise refused(
                    "hedge",
                    f"hedge.after must be less than timeout.{name}, which is {seconds:.3g} s, not {self.after} s",
                )


class OTel(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of a call with OpenTelemetry, if the application has set that up.

    Attributes:
        propagate: whether the trace's headers (`traceparent`, and others that the propagators set) are sent with the request.
        attempt_spans: whether each attempt is a child span of the call's span; otherwise it is an event.
        chunk_metrics: whether `gen_ai.client.inference.time_per_output_chunk` is recorded for each batch of chunks, at a
            cost of two microseconds or more each; otherwise once for each stream, as the mean.

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
    # For a variable that is not set `os.environ` raises and catches two exceptions, which takes 2 µs for each name at each
    # call. Looking into its underlying dict first, if it has one, takes a tenth of that.
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
    """The variable's name in the form of the underlying dict's keys."""
    return os.environ.encodekey(name)


def module_settings() -> dict[str, Any]:
    """The settings that users assign to the package, as in LiteLLM: `tokenwire.api_key = "..."`. Read them at each call."""
    return vars(sys.modules["tokenwire"])


def proxy_variables() -> dict[str, str]:
    """The environment's variables for proxies, by the part before "_proxy", in lower case: "http", "all", "no", ..."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies

    return getproxies()
