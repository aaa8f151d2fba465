"""What a handler does wrong, as the exception that its caller gets."""

import sys

from .._loops import is_being_cancelled
from ..exceptions import APIError, APIResponseValidationError
from ..wire.errors import error_from_exception


def is_handlers_own(error: BaseException) -> bool:
    """Whether what a handler's code raised is the handler's own: any exception, or a cancellation that nobody asked for.

    A handler that awaits a task which is cancelled gets asyncio's `CancelledError`. Let through, it would end the caller's task
    without a word. `SystemExit`, which libraries raise that believe to be a program, would end the whole server.
    """
    if isinstance(error, Exception | SystemExit):
        return True
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError) and not is_being_cancelled()


def translated(error: BaseException) -> APIError:
    """The exception of ours that says what the handler's says; of a failure of the network what may be shown to users."""
    ours = error_from_exception(error)
    if ours is not error and ours.fault == "handler" and _is_network_error(error):
        from ..http.reasons import shown_reason

        name, reason = type(error).__name__, shown_reason(error)
        return type(ours)(name if reason == name else f"{name}: {reason}", fault="network")
    return ours


def _is_network_error(error: BaseException) -> bool:
    """Whether a connection of the handler's own failed: that may fare better, where its own mistakes would not."""
    if isinstance(error, OSError):
        return True
    if "httpx" not in sys.modules and "httpx2" not in sys.modules:  # else it can't be one of theirs
        return False
    from ..http.errors import is_network_error

    return is_network_error(error)


def says_stream_twice(error: BaseException) -> bool:
    """Whether a handler passed `stream` on beside `**optional_params`, which has it too."""
    return isinstance(error, TypeError) and str(error).endswith("got multiple values for keyword argument 'stream'")


def unusable(name: str, value: object, expected: str) -> APIResponseValidationError:
    """The exception that says that the handler `name` returned or yielded something else than `expected`."""
    return APIResponseValidationError(
        f"the handler {name} returned {type(value).__name__} where {expected} was expected", fault="handler"
    )


def name_of(handler: object) -> str:
    """What to call a handler in a message: the function's name, or its class's."""
    return getattr(handler, "__qualname__", type(handler).__qualname__)


def cause_of(error: BaseException) -> BaseException | None:
    """What the translated exception names as its cause: the handler's own, unless that already is one of ours."""
    return error.__cause__ if isinstance(error, APIError) else error
