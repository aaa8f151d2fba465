"""Why the network failed, in words that may be shown to anyone.

An error's `message` may reach a user's own users, so no host, port, URL or path stands in it: where a request went is the
business of `error.request`. The system's and OpenSSL's errors have fixed words of their own, and those are taken wherever
in the chain of causes they stand. Any other text is shown only if nothing in it looks like an address; the exception it is
from is the error's `__cause__`, where a developer finds all of it.
"""

import os
import re
import ssl
from collections.abc import Iterator

# An IPv4 or IPv6 address, a URL, a port, a host's name with a dot in it, an absolute path, and brackets with anything of it.
_ADDRESS = re.compile(
    r"\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f]*:|://|:\d|\b[a-z][\w-]*(?:\.[a-z][\w-]*)+|(?<!\w)/\w|[a-z]:\\|\b(?:host|port)\s*=",
    re.IGNORECASE,
)
_LONGEST = 500  # characters of a text: a reason is a line
_DEEPEST = 10  # causes that are looked through


def reason_of(error: BaseException) -> str:
    """What an exception says, or at least what it is."""
    return str(error) or type(error).__name__


def shown_reason(error: BaseException) -> str:
    """Why a request failed, without an address."""
    for cause in _causes(error):
        if (
            isinstance(cause, ssl.SSLError) and cause.args
        ):  # "... (_ssl.c:1006)"; "Hostname mismatch, certificate is not valid for ..."
            text = str(cause.args[-1]).partition(" (_ssl")[0].partition(", ")[0]
            return text if has_no_address(text) else "TLS failed"
        if isinstance(cause, OSError) and cause.errno is not None:
            text = cause.strerror or ""
            return text if text and has_no_address(text) else os.strerror(cause.errno)
    text = str(error)
    return text if text and has_no_address(text) else type(error).__name__


def has_no_address(text: str) -> bool:
    """Whether nothing in a text looks like the address of a machine or a file."""
    return len(text) <= _LONGEST and _ADDRESS.search(text) is None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that were raised before it, the latest first; of a group, its first."""
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            return
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__  # httpcore hides the system's error by `from None`
