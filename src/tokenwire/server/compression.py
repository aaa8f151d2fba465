"""Decompresses the bodies of requests."""

from collections.abc import Awaitable, Callable

import httpx
from anyio import lowlevel

from tokenwire import BadRequestError
from tokenwire.http.decoding import ACCEPTED_ENCODINGS, Inflater, inflater_for

FED_BYTES = 8 * 1024  # between two checkpoints: so many can become 8 MiB, or be hundreds of gzip members


def undoing(encoding: str, max_bytes: int) -> Callable[[bytes], Awaitable[bytes]]:
    """A coroutine function that removes a `content-encoding` from a whole body.

    It raises BadRequestError for a body that is not encoded that way, or is longer than `max_bytes` decompressed (413).

    Raises:
        BadRequestError: the encoding is not supported (415; RFC 9110, 15.5.16).
    """
    try:
        inflater = inflater_for(encoding)
    except httpx.DecodingError:
        message = f"the content-encoding {encoding:.80} is not supported; supported are {ACCEPTED_ENCODINGS}"
        raise BadRequestError(
            message, status_code=415, code="unsupported_encoding", headers={"accept-encoding": ACCEPTED_ENCODINGS}
        ) from None

    async def decompress(body: bytes) -> bytes:
        return body if inflater is None else await _inflated(inflater, body, max_bytes)

    return decompress


def too_large(max_bytes: int) -> BadRequestError:
    """The error for a body of more than `max_bytes`."""
    return BadRequestError(f"the request's body is larger than {max_bytes} bytes", status_code=413, code="request_too_large")


async def _inflated(inflater: Inflater, body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        for start in range(0, len(body), FED_BYTES):
            if start:
                await lowlevel.checkpoint()
            inflater.feed_data(body[start : start + FED_BYTES])
            while piece := inflater.take():
                size += len(piece)
                if size > max_bytes:
                    raise too_large(max_bytes)
                pieces.append(piece)
        inflater.feed_eof()
    except (httpx.DecodingError, httpx.RemoteProtocolError) as error:
        raise BadRequestError(str(error), code="invalid_encoding") from None
    return b"".join(pieces)
