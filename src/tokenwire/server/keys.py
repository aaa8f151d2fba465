"""The keys that clients send: which headers have them, and whether one of them is valid."""

from collections.abc import Iterable, Mapping
from hmac import compare_digest

from tokenwire import AuthenticationError

# The headers of OpenAI, whose value begins with a scheme; of Azure; and of Anthropic.
BEARER, PLAIN = b"authorization", (b"api-key", b"x-api-key")
# The headers that handlers do not get to see.
SECRET_HEADERS = frozenset((BEARER, *PLAIN, b"cookie", b"proxy-authorization"))


def check_key(headers: Mapping[bytes, bytes], known: Iterable[bytes]) -> None:
    """Check that the headers of a request have one of the `known` keys.

    Raises:
        AuthenticationError: they have none.
    """
    given = _keys_in(headers)
    if not given:
        message = "no API key: send one as `Authorization: Bearer KEY`, or as `api-key` or `x-api-key`"
        raise AuthenticationError(message, code="missing_api_key")
    matches = [compare_digest(key, one) for key in known for one in given]  # all, so that the time does not depend on the key
    if not any(matches):
        raise AuthenticationError("this API key is not known here", code="invalid_api_key")


def _keys_in(headers: Mapping[bytes, bytes]) -> list[bytes]:
    scheme, _, token = headers.get(BEARER, b"").partition(b" ")
    bearer = token.strip() if scheme.lower() == b"bearer" else b""
    return [key for key in (bearer, *(headers.get(name, b"").strip() for name in PLAIN)) if key]
