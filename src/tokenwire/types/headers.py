"""What response headers say of a call."""

from collections.abc import Mapping

_REQUEST_ID_NAMES = ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray")


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The server's id for the request; None where it gave none. Names in lower case."""
    for name in _REQUEST_ID_NAMES:
        if value := headers.get(name):
            return value
    return None
