"""Compressed bodies: the same however they are split, bounded pieces, and no end that is none."""

import gzip
import zlib
from collections.abc import Iterable
from unittest import mock

import httpx
import pytest
from hypothesis import given, strategies as st

from tokenwire.http import decoding
from tokenwire.http.decoding import PIECE_BYTES, Inflater, inflater_for

TEXT = b"".join(b"data: token %d of a reply\n\n" % number for number in range(60))


def raw_deflate(data: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compress.compress(data) + compress.flush()


COMPRESS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "raw deflate": raw_deflate}
each_encoding = pytest.mark.parametrize("name", COMPRESS)


def inflater(name: str) -> Inflater:
    found = inflater_for(name.removeprefix("raw "))
    assert found is not None
    return found


def taken_from(inflater: Inflater, reads: Iterable[bytes], *, eof: bool = True, most: int = PIECE_BYTES) -> bytes:
    out = b""
    for data in reads:
        inflater.feed_data(data)
        while piece := inflater.take():
            assert len(piece) <= most
            out += piece
    if eof:
        inflater.feed_eof()
    return out


@each_encoding
def test_it_comes_out_as_it_went_in_however_it_is_split(name):
    data = COMPRESS[name](TEXT)
    assert taken_from(inflater(name), [data]) == TEXT
    assert taken_from(inflater(name), [data[index : index + 1] for index in range(len(data))]) == TEXT
    for place in range(1, len(data)):
        assert taken_from(inflater(name), [data[:place], data[place:]]) == TEXT


@each_encoding
@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 40), max_size=20))
def test_any_body_comes_out_as_it_went_in(name, body, sizes):
    data = COMPRESS[name](body)
    reads = []
    for size in sizes:
        reads.append(data[:size])
        data = data[size:]
    assert taken_from(inflater(name), [read for read in [*reads, data] if read]) == body


@each_encoding
def test_an_empty_body_comes_out_empty(name):
    assert taken_from(inflater(name), [COMPRESS[name](b"")]) == b""
    assert taken_from(inflater(name), []) == b""  # what HEAD, 204 and 304 have


@each_encoding
def test_a_body_cut_short_is_an_error_wherever_it_is_cut(name):
    data = COMPRESS[name](TEXT)
    for length in range(1, len(data)):
        with pytest.raises(httpx.RemoteProtocolError, match="ended before it was complete"):
            taken_from(inflater(name), [data[:length]])


@each_encoding
def test_events_come_out_as_they_are_flushed(name):
    bits = {"deflate": zlib.MAX_WBITS, "raw deflate": -zlib.MAX_WBITS}.get(name, zlib.MAX_WBITS | 16)
    compress, decompress = zlib.compressobj(wbits=bits), inflater(name)
    for number in range(20):
        event = b"data: %d\n\n" % number
        flushed = compress.compress(event) + compress.flush(zlib.Z_SYNC_FLUSH)
        assert taken_from(decompress, [flushed], eof=False) == event


@each_encoding
@pytest.mark.parametrize("size", [1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES + 7])
def test_nothing_is_held_back_where_a_piece_is_full(name, size):
    body = bytes(size)
    assert taken_from(inflater(name), [COMPRESS[name](body)]) == body
    flushing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    flushed = flushing.compress(body) + flushing.flush(zlib.Z_SYNC_FLUSH)
    assert taken_from(inflater("raw deflate"), [flushed], eof=False) == body


@each_encoding
@given(body=st.binary(max_size=40), times=st.integers(1, 60), piece=st.integers(1, 30))
def test_pieces_may_end_anywhere(name, body, times, piece):
    """Also in the middle of what one compressed byte stands for."""
    with mock.patch.object(decoding, "PIECE_BYTES", piece):
        assert taken_from(inflater(name), [COMPRESS[name](body * times)], most=piece) == body * times


@each_encoding
def test_a_bomb_comes_in_bounded_pieces(name):
    size = 16 * 1024 * 1024
    bomb = COMPRESS[name](bytes(size))
    assert len(bomb) < size / 500
    decompress = inflater(name)
    decompress.feed_data(bomb)
    taken = 0
    while piece := decompress.take():
        assert len(piece) <= PIECE_BYTES
        taken += len(piece)
    decompress.feed_eof()
    assert taken == size


def test_gzip_in_several_members_is_one_body():
    data = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    for place in range(1, len(data)):
        assert taken_from(inflater("gzip"), [data[:place], data[place:]]) == b"one two"


@pytest.mark.parametrize("name", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe plain", b"{}" * 10, b"\x1f\x8b\x99" + b"x" * 20, gzip.compress(b"x") + b"garbage"],
    ids=["no text", "text", "a bad head", "garbage behind the end"],
)
def test_what_is_not_compressed_is_an_error(name, data):
    # Some bytes may be the beginning of something.
    with pytest.raises((httpx.DecodingError, httpx.RemoteProtocolError), match=name):
        taken_from(inflater(name), [data])


def test_a_wrong_checksum_is_an_error():
    data = bytearray(gzip.compress(TEXT))
    data[-6] ^= 1
    with pytest.raises(httpx.DecodingError, match="gzip"):
        taken_from(inflater("gzip"), [bytes(data)])


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_there_may_be_nothing_to_undo(encoding):
    assert inflater_for(encoding) is None


@pytest.mark.parametrize("encoding", ["GZIP", " gzip ", "X-GZip"])
def test_an_encodings_name_has_any_case(encoding):
    decompress = inflater_for(encoding)
    assert decompress is not None
    assert taken_from(decompress, [gzip.compress(TEXT)]) == TEXT


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip", "br, gzip", "secret"])
def test_what_nobody_asked_for_is_an_error(encoding):
    with pytest.raises(httpx.DecodingError, match="accept-encoding offered"):
        inflater_for(encoding)
