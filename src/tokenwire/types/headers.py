"""Reads a call's details from response headers."""

from collections.abc import Mapping

_REQUEST_ID_NAMES = ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray")


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The server's id for the request, from headers with names in lower case; None if it sent none."""
    for name in _REQUEST_ID_NAMES:
        if value := headers.get(name):
            return value
    return None
