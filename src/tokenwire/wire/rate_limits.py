"""Reads a response's rate-limit headers: OpenAI's `x-ratelimit-...` and Anthropic's `anthropic-ratelimit-...`."""

import re
import time
from datetime import datetime

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")

# (the remaining amount, the time of the reset), for requests and for tokens.
_PAIRS = tuple(
    names
    for kind in ("requests", "tokens")
    for names in (
        (f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}"),
        (f"anthropic-ratelimit-{kind}-remaining", f"anthropic-ratelimit-{kind}-reset"),
    )
)


def pause_of(headers: dict[str, str]) -> float | None:
    """Seconds until the reset if nothing remains; None if something remains, or the headers do not say.

    Args:
        headers: a response's, names in lower case.
    """
    waits = [seconds_of(headers.get(reset)) for left, reset in _PAIRS if headers.get(left, "").strip() == "0"]
    known = [wait for wait in waits if wait is not None]
    return max(known, default=None)


def seconds_of(text: str | None) -> float | None:
    """The seconds from now in a reset header: "6m0s", "12ms", a number of seconds, or a time in RFC 3339's format."""
    if text is None:
        return None
    text = text.strip()
    parts = _PARTS.findall(text)
    if parts and "".join(map("".join, parts)) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp() - time.time())
    except ValueError:
        return None
