"""An endpoint's base address as callers write it: checked, and split into what is sent, what is shown and what is secret."""

from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote, urlencode, urlsplit

import msgspec

from ..exceptions import BadRequestError, refused, unreadable, without_secrets
from .backend import refuse_control_characters

EXPECTED = 'the base URL before "/chat/completions", such as "http://localhost:8000/v1"'


class Address(msgspec.Struct, frozen=True, eq=False):  # hashed by identity: `address_of` caches them
    """The address of one endpoint.

    Attributes:
        base: the URL before a call's path, without user and password.
        query: the part after its "?": Azure has an `api-version` there.
        shown: for messages: without anything that could be a key.
        authorization: user and password as a header (RFC 7617, Basic); None if there are none.
    """

    base: str
    query: str
    shown: str
    authorization: str | None

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"


@lru_cache(maxsize=256)
def address_of(api_base: str, paths: tuple[str, ...]) -> Address:
    """The address for an `api_base`.

    Args:
        paths: the paths of the API's endpoints; an address must not end with one of them.

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
        _ = parts.port  # reading it checks it
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
def placed(
    address: Address,
    place_of: Callable[[str, str, str, str | None], tuple[str, str | None]],
    model: str,
    path: str,
    version: str | None,
) -> tuple[Address, str | None]:
    """A host's address for a model and a path, and the API version; see `Provider.place_of`."""
    base, version = place_of(address.base, model, path, version)
    return msgspec.structs.replace(address, base=base, shown=without_secrets(base)), version


@lru_cache(maxsize=256)
def without_version(address: Address, version: str) -> Address:
    """The address without the version, for an API whose paths begin with it: callers write both forms."""
    if not address.base.endswith(version):
        return address
    base, shown = address.base.removesuffix(version), address.shown.removesuffix(version)
    return msgspec.structs.replace(address, base=base, shown=shown)


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    return f"Basic {b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"


def _not_an_address(api_base: str, where: str = "") -> BadRequestError:
    return refused("api_base", f"api_base must be {EXPECTED}{where}, not {unreadable(api_base)!r:.80}")


@lru_cache(maxsize=256)
def url_of(address: Address, path: str, api_version: str | None, query: str) -> str:
    """The URL of a path below the address, with the address's own query, then `api-version`, then `query`."""
    queries = address.query.split("&")
    if api_version is not None:
        queries = [*(text for text in queries if not text.startswith("api-version=")), urlencode({"api-version": api_version})]
    joined = "&".join(filter(None, (*queries, query)))
    return f"{address.base}{path}?{joined}" if joined else f"{address.base}{path}"
