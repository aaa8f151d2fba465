"""What of an endpoint's response goes on to the client, beside the body."""

from collections.abc import Mapping

# Headers by which clients pace themselves, retry, and are found again; names in lower case.
_PREFIXES = ("x-ratelimit-", "x-rate-limit-", "anthropic-ratelimit-", "ratelimit")
_NAMES = frozenset("retry-after retry-after-ms x-should-retry request-id x-amzn-requestid apim-request-id".split())


def passed_on(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Those of an endpoint's headers that say as much to the client."""
    return [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and is_safe(name) and is_safe(value)
    ]


def is_safe(text: str) -> bool:
    """Whether a text can stand in a response's head: a handler may have made it up."""
    return text.isascii() and text.isprintable()
