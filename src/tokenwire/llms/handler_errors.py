"""Translates a handler's errors into the exceptions that its caller gets."""

import sys

from .._loops import is_being_cancelled
from ..exceptions import APIError, APIResponseValidationError
from ..wire.errors import error_from_exception


def is_handlers_own(error: BaseException) -> bool:
    """Whether an exception out of a handler's code is the handler's own: any but a real cancellation of the caller's task.

    A handler that awaits a cancelled task gets asyncio's `CancelledError`. If it were passed on, it would silently end the
    caller's task. `SystemExit`, which some libraries raise, would end the whole server.
    """
    if isinstance(error, Exception | SystemExit):
        return True
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError) and not is_being_cancelled()


def translated(error: BaseException) -> APIError:
    """Our exception for a handler's. What the network did is told without an address."""
    ours = error_from_exception(error)
    if ours is not error and ours.fault == "handler" and _is_network_error(error):
        from ..http.reasons import shown_reason

        name, reason = type(error).__name__, shown_reason(error)
        return type(ours)(name if reason == name else f"{name}: {reason}", fault="network")
    return ours


def _is_network_error(error: BaseException) -> bool:
    """Whether a connection of the handler's failed: then a retry may help, unlike after a bug in the handler."""
    if isinstance(error, OSError):
        return True
    if "httpx" not in sys.modules and "httpx2" not in sys.modules:  # then it can't be one of theirs
        return False
    from ..http.errors import is_network_error

    return is_network_error(error)


def says_stream_twice(error: BaseException) -> bool:
    """Whether a handler passed `stream` on beside `**optional_params`, which has it too."""
    return isinstance(error, TypeError) and str(error).endswith("got multiple values for keyword argument 'stream'")


def unusable(name: str, value: object, expected: str) -> APIResponseValidationError:
    """The exception for a value that the handler `name` returned or yielded, but that is not `expected`."""
    return APIResponseValidationError(
        f"the handler {name} returned {type(value).__name__} where {expected} was expected", fault="handler"
    )


def name_of(handler: object) -> str:
    """A handler's name in messages: the function's, or its class's."""
    return getattr(handler, "__qualname__", type(handler).__qualname__)


def cause_of(error: BaseException) -> BaseException | None:
    """The cause of the translated exception: the handler's exception, unless that is already one of ours."""
    return error.__cause__ if isinstance(error, APIError) else error
