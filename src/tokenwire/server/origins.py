"""The origins of web pages, and which of them may send requests.

An origin is `scheme://host[:port]`, or `null` for a page that has none (a file, a sandboxed frame). Browsers put it into the
header `Origin` (RFC 6454; the Fetch standard, "origin header") of every request but a GET or HEAD to the page's own origin.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct

from tokenwire import BadRequestError

ANY, NONE = "*", "null"
DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?|\[[0-9a-f:.]+\]")


class Origins(Struct, frozen=True):
    """The origins whose pages may send requests.

    Attributes:
        any: whether the pages of all may.
        named: those that were named, as browsers write them.
    """

    any: bool = False
    named: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return self.any or bool(self.named)

    def has(self, origin: bytes) -> bool:
        """Whether pages of this origin may send requests."""
        return self.any or origin.lower() in self.named


def origins_of(given: Iterable[str], param: str) -> Origins:
    """Parse origins: `*` for all, `null`, and such as `https://chat.example:8443`.

    Raises:
        BadRequestError: one of them is not an origin; `param` names the argument.
    """
    texts = None if isinstance(given, str) else tuple(given)
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise BadRequestError(f'{param} must be a list of origins such as "https://chat.example"', param=param)
    named = [text.strip().lower() for text in texts]
    for text in named:
        if text not in (ANY, NONE) and not _is_origin(text):
            message = (
                f'{param} must be origins such as "https://chat.example:8443", without a path, or "*" for all, not {text!r:.80}'
            )
            raise BadRequestError(message, param=param)
    return Origins(ANY in named, frozenset(text.encode() for text in named if text != ANY))


def is_host(text: str) -> bool:
    """Whether a text in lower case is a host's name or address, without a port."""
    return _NAME.fullmatch(text) is not None


def host_and_port(netloc: str, scheme: str) -> tuple[str, int | None]:
    """Split `host[:port]`; the default port is the scheme's. ("", None) for a text of another form."""
    try:
        parts = urlsplit(f"//{netloc.lower()}")
        return (parts.hostname or "").removesuffix("."), parts.port or DEFAULT_PORTS.get(scheme)
    except ValueError:
        return "", None


def _is_origin(text: str) -> bool:
    scheme, separator, netloc = text.partition("://")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        return False
    name, colon, port = netloc.rpartition(":")
    if not colon or not port.isdigit():
        return is_host(netloc)
    return is_host(name) and 0 < int(port) <= 65535
