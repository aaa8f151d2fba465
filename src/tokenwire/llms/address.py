"""An endpoint's base address, as callers write it: checked, and taken apart into what is sent, what is shown and what is secret."""

from base64 import b64encode
from functools import lru_cache
from urllib.parse import unquote, urlencode, urlsplit

import msgspec

from ..exceptions import BadRequestError, refused, unreadable, without_secrets
from .backend import refuse_control_characters

EXPECTED = 'the base URL in front of "/chat/completions", such as "http://localhost:8000/v1"'


class Address(msgspec.Struct, frozen=True, eq=False):  # hashed by identity: `address_of` keeps each
    """One endpoint's.

    Attributes:
        base: the URL in front of a call's path, without user and password.
        query: what follows its "?": Azure has an `api-version` there.
        shown: for people: without anything that could be a key.
        authorization: what user and password in it mean, as RFC 7617 has it; None where there are none.
    """

    base: str
    query: str
    shown: str
    authorization: str | None

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"


@lru_cache(maxsize=256)
def address_of(api_base: str, paths: tuple[str, ...]) -> Address:
    """The address that an `api_base` means.

    Args:
        paths: of the API's endpoints; an address that ends with one is one path too long.

    Raises:
        BadRequestError: it is not a base URL. The message has no password in it.
    """
    if not api_base.startswith(("http://", "https://")):
        raise _not_an_address(api_base, ", with http:// or https://")
    url, _, query = api_base.partition("#")[0].partition("?")
    base = url.rstrip("/")
    for path in paths:
        if base.endswith(path):
            raise _not_an_address(api_base, f", without {path}")
    refuse_control_characters("api_base", api_base)
    try:
        parts = urlsplit(base)
        _ = parts.port  # looked at, it is checked
    except ValueError as error:
        reason = "user and password in it must be percent-encoded" if "@" in api_base else str(error)
        raise refused("api_base", f"api_base must be {EXPECTED}: {reason}") from None
    if " " in parts.netloc:
        raise refused("api_base", f"api_base must be {EXPECTED}: there is a space in it")
    if not parts.hostname:
        raise _not_an_address(api_base)
    credentials, at, host = parts.netloc.rpartition("@")
    if at:
        base = f"{parts.scheme}://{host}{parts.path}"
    return Address(base, query, without_secrets(base), _basic(credentials) if credentials else None)


@lru_cache(maxsize=256)
def without_version(address: Address, version: str) -> Address:
    """The address for an API whose paths begin with their version: callers write it with and without."""
    if not address.base.endswith(version):
        return address
    return Address(
        address.base.removesuffix(version), address.query, address.shown.removesuffix(version), address.authorization
    )


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    return f"Basic {b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"


def _not_an_address(api_base: str, where: str = "") -> BadRequestError:
    return refused("api_base", f"api_base must be {EXPECTED}{where}, not {unreadable(api_base)!r:.80}")


@lru_cache(maxsize=256)
def url_of(address: Address, path: str, api_version: str | None, query: str) -> str:
    """The URL of a path below the address: with the address's own query, with `api-version`, and with `query` at the end."""
    queries = address.query.split("&")
    if api_version is not None:
        queries = [*(text for text in queries if not text.startswith("api-version=")), urlencode({"api-version": api_version})]
    joined = "&".join(filter(None, (*queries, query)))
    return f"{address.base}{path}?{joined}" if joined else f"{address.base}{path}"
