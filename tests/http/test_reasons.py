"""What is shown of a failure: the system's fixed words, or texts in which nothing looks like an address."""

import errno
import os
import socket
import ssl
from itertools import pairwise

import httpx
import pytest

from tokenwire.http.reasons import has_no_address, shown_reason


@pytest.mark.parametrize(
    "text",
    [
        "Connect call failed ('10.0.0.7', 8000)",
        "Connect call failed ('fd00::7', 8000, 0, 0)",
        "all attempts to connect to inference.internal:8000 failed",
        "no such place: http://inference/v1",
        "inference:8000 did not answer",
        "Hostname mismatch, certificate is not valid for 'inference.internal'",
        "No such file or directory: '/run/inference.sock'",
        "HTTPConnectionPool(host='inference', port=80): Max retries exceeded",
        "x" * 1000,
    ],
)
def test_what_looks_like_an_address_is_not_shown(text: str) -> None:
    assert not has_no_address(text)
    assert shown_reason(RuntimeError(text)) == "RuntimeError"


@pytest.mark.parametrize(
    "text",
    [
        "the server closed the connection before the body was complete",
        "Server disconnected without sending a response.",
        "peer closed connection without sending complete message body (incomplete chunked read)",
        "no free connection within 0.25 s",
        "Expected HTTP/1.1",
        "more than 5 redirects",
    ],
)
def test_other_texts_are_shown(text: str) -> None:
    assert shown_reason(httpx.RemoteProtocolError(text)) == text


def chained(*errors: BaseException) -> BaseException:
    """The last one, raised because of the one before it, and so on."""
    for cause, error in pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.7', 8000)"), os.strerror(errno.ECONNREFUSED)),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/run/x.sock"), os.strerror(errno.ENOENT)),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            "[SSL: WRONG_VERSION_NUMBER] wrong version number",
        ),
        (
            ssl.SSLCertVerificationError(
                1, "certificate verify failed: Hostname mismatch, certificate is not valid for 'inference.internal'. (_ssl.c:1)"
            ),
            "certificate verify failed: Hostname mismatch",
        ),
        (ssl.SSLError(1, "no TLS at inference.internal"), "TLS failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_systems_words_are_shown_however_deep_they_are(error: OSError, words: str) -> None:
    assert shown_reason(error) == words
    assert shown_reason(chained(error, httpx.ConnectError("10.0.0.7 failed"))) == words
    group = ExceptionGroup("multiple connection attempts failed", [error])
    assert shown_reason(chained(group, OSError("all failed"), httpx.ConnectError("10.0.0.7 failed"))) == words


def test_an_exception_without_words_is_named() -> None:
    assert shown_reason(httpx.ReadError("")) == "ReadError"
