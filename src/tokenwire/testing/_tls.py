"""TLS for the endpoint: generated certificates, and anyio's TLS over the endpoint's own sockets."""

import ssl
from importlib import import_module
from typing import Any

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream

CLOSE_SECONDS = 0.2  # to wait for the client's close_notify
NAMES = ("localhost", "127.0.0.1", "::1")


def contexts(names: tuple[str, ...] = NAMES) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a new certificate, and a client's context that trusts only that.

    Args:
        names: the certificate's host names and addresses.

    Raises:
        ModuleNotFoundError: trustme is not installed.
    """
    try:
        trustme: Any = import_module("trustme")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a certificate is made by the package trustme: install tokenwire[test], or pass an ssl.SSLContext as tls"
        ) from error
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert(*names).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def secured(stream: anyio.abc.ByteStream, context: ssl.SSLContext) -> TLSStream:
    """The stream after a TLS handshake.

    Raises:
        ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError: the handshake failed.
    """
    return await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)


async def send_close_notify(stream: anyio.abc.ByteStream) -> None:
    """Send close_notify if there is TLS: without it, the end of the connection would be a truncation."""
    if isinstance(stream, TLSStream):
        with anyio.move_on_after(CLOSE_SECONDS):
            try:
                await stream.unwrap()
            except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                pass
