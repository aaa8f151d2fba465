"""`ssl_verify`, LiteLLM's keyword for which certificates are trusted, as an `ssl.SSLContext`."""

import os
import ssl
from typing import TypeAlias

import httpx

from ..exceptions import BadRequestError, refused

# True for certifi's authorities, False to accept any certificate, or the path of a file or folder of authorities' certificates.
Verify: TypeAlias = bool | str


def context_for(verify: Verify) -> ssl.SSLContext:
    """The context for a client.

    Raises:
        BadRequestError: the certificates can't be read; the message names the path.
    """
    try:
        context = httpx.create_ssl_context() if verify is True else _context_for(verify)
    except OSError as error:  # and ssl.SSLError, which is one
        if isinstance(verify, str):
            raise refused(
                "ssl_verify", f"ssl_verify must be True, False or a path of certificates, not {verify!r}: {error}"
            ) from error
        raise refused("SSL_CERT_FILE", f"the environment's SSL_CERT_FILE or SSL_CERT_DIR can't be read: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context_for(verify: Verify) -> ssl.SSLContext:
    if isinstance(verify, str):
        is_folder = os.path.isdir(verify)
        return ssl.create_default_context(cafile=None if is_folder else verify, capath=verify if is_folder else None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def not_ours(name: str) -> BadRequestError:
    """The error for `ssl_verify` together with a client or transport of the caller's, which has its own context."""
    return refused(
        "ssl_verify", f"ssl_verify can't change the {name} that was passed: create that with the ssl context you want"
    )
