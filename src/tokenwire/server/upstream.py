"""The headers of an endpoint's response that are passed on to the client."""

from collections.abc import Mapping

# Headers about rate limits, retries and the request's id; names in lower case.
_PREFIXES = ("x-ratelimit-", "x-rate-limit-", "anthropic-ratelimit-", "ratelimit")
_NAMES = frozenset("retry-after retry-after-ms x-should-retry request-id x-amzn-requestid apim-request-id".split())


def passed_on(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The endpoint's headers that are also true for the client."""
    return [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and is_safe(name) and is_safe(value)
    ]


def is_safe(text: str) -> bool:
    """Whether a text can be sent in a header: it may come from a handler."""
    return text.isascii() and text.isprintable()
