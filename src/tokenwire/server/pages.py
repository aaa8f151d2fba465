"""The web pages of the server: one file each, which loads nothing from anywhere else.

A page contains no model, key or answer: it requests what it shows from this server, as any client does. Its policy (CSP
Level 3) allows only its own script and style, and requests to this server.
"""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

HTML = "text/html; charset=utf-8"


class Page(Struct, frozen=True):
    """One page.

    Attributes:
        body: its HTML.
        headers: those of its response.
    """

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def answer(self, *_: object) -> tuple[bytes, str]:
        """What its route answers: the body and its media type."""
        return self.body, HTML


def page_of(name: str) -> Page:
    """The page in the file of that name, in this folder."""
    body = Path(__file__).with_name(name).read_bytes()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash_of(body, b'script')}",
            f"style-src {_hash_of(body, b'style')}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return Page(
        body,
        (
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-cache"),
        ),
    )


def _hash_of(body: bytes, element: bytes) -> str:
    """The source in a policy that allows the content of the page's only element of that name."""
    (content,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), body, re.DOTALL)
    return f"'sha256-{b64encode(sha256(content).digest()).decode()}'"
