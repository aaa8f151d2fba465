"""The server's side of HTTP/1.1, without a socket; h11 reads what it renders."""

import h11
import pytest

from tokenwire.testing import Reply
from tokenwire.testing._http import HTTPRequest, RequestError, RequestReader, render

PLAIN = b"POST /v1/chat/completions?a=1 HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two: 2\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
OLD = b"GET /models HTTP/1.0\r\n\r\n"

GET = HTTPRequest("GET", "/", {}, b"", "1.1", keep_alive=True)
FRAMINGS = ["chunked", "length", "close"]


def read(*parts: bytes) -> list[HTTPRequest]:
    reader, found = RequestReader(), []
    for part in parts:
        reader.feed_data(part)
        while (request := reader.next_request()) is not None:
            found.append(request)
    return found


def test_a_request_is_read():
    assert read(PLAIN) == [
        HTTPRequest(
            method="POST",
            target="/v1/chat/completions?a=1",
            headers={"host": "h", "x-two": "1, 2", "content-length": "5"},
            body=b"hello",
            http_version="1.1",
            keep_alive=True,
        )
    ]


def test_a_chunked_body_is_read():
    assert [request.body for request in read(CHUNKED)] == [b"hello"]


def test_an_old_clients_request_ends_the_connection():
    [request] = read(OLD)
    assert (request.http_version, request.keep_alive) == ("1.0", False)


def test_pipelined_requests_split_at_every_place_are_the_same():
    data = PLAIN + CHUNKED + PLAIN
    whole = read(data)
    assert len(whole) == 3
    assert read(*(data[i : i + 1] for i in range(len(data)))) == whole
    for place in range(len(data)):
        assert read(data[:place], data[place:]) == whole


def test_an_upgrade_is_ignored():
    [request] = read(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert request.headers["upgrade"] == "h2c"
    assert not request.keep_alive


def test_rubbish_behind_a_request_is_told_after_it():
    reader = RequestReader()
    reader.feed_data(PLAIN + b"\x00rubbish")
    reader.feed_data(PLAIN)
    assert reader.next_request() is not None
    for _ in range(2):
        with pytest.raises(RequestError, match="not an HTTP request") as caught:
            reader.next_request()
        assert caught.value.status == 400


@pytest.mark.parametrize("part", [b"GET /" + b"x" * 50, b"GET / HTTP/1.1\r\na: " + b"x" * 50 + b"\r\n\r\n", PLAIN + b"x" * 50])
def test_a_request_has_a_largest_size(part):
    reader = RequestReader(max_request_bytes=40)
    reader.feed_data(part)
    with pytest.raises(RequestError, match="max_request_bytes") as caught:
        reader.next_request()
    assert caught.value.status == 413


def parse(rendered: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(rendered)
    client.receive_data(b"")
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return head, body


def joined(reply: Reply, request: HTTPRequest = GET) -> bytes:
    rendering = render(reply, request)
    return b"".join([rendering.head, *rendering.pieces, rendering.end])


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    "fields", [{"json": {"a": 1}}, {"body": b"hello"}, {"body": b""}, {}, {"events": [b"a", b"", b"b"]}], ids=str
)
def test_another_parser_reads_every_framing(fields, framing):
    reply = Reply(framing=framing, **fields)
    _, body = parse(joined(reply))
    assert body == b"".join(reply.pieces())


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("request_", [GET._replace(method="HEAD"), GET], ids=["HEAD", "204"])
def test_where_no_body_is_allowed_there_is_none(request_, framing):
    reply = Reply(status=200 if request_.method == "HEAD" else 204, body=b"hello", framing=framing)
    data = joined(reply, request_)
    assert data.endswith(b"\r\n\r\n")
    assert parse(data, request_.method)[1] == b""


def test_a_head_reply_tells_the_size_of_the_body():
    assert b"content-length: 5\r\n" in joined(Reply(body=b"hello"), GET._replace(method="HEAD"))


def test_headers_stand_in_for_the_usual_ones():
    head, _ = parse(joined(Reply(json=[], headers={"Content-Type": "text/html", "x-request-id": "r1"})))
    headers = head.headers.raw_items()
    assert (b"content-type", b"text/html") in headers
    assert (b"x-request-id", b"r1") in headers
    assert len(headers) == 3


@pytest.mark.parametrize(
    "reply, request_, keep_alive",
    [
        (Reply(), GET, True),
        (Reply(events=[]), GET, True),
        (Reply(framing="close"), GET, False),
        (Reply(cut="fin"), GET, False),
        (Reply(headers={"Connection": "Close"}), GET, False),
        (Reply(), GET._replace(keep_alive=False), False),
        (Reply(events=[]), GET._replace(http_version="1.0"), False),
    ],
)
def test_what_ends_a_connection(reply, request_, keep_alive):
    rendering = render(reply, request_)
    assert rendering.keep_alive is keep_alive
    assert (b"connection: close" in rendering.head.lower()) is (not keep_alive and reply.is_complete)


def test_an_old_client_gets_no_chunked_body():
    assert b"chunked" not in joined(Reply(events=["Hi"]), GET._replace(http_version="1.0"))


@pytest.mark.parametrize("fields", [{"cut": "fin"}, {"stall": True}], ids=str)
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_an_unfinished_body_can_be_told_from_a_finished_one(framing, fields):
    data = joined(Reply(body=b"hello", framing=framing, **fields))
    with pytest.raises(h11.RemoteProtocolError):
        parse(data)


def test_a_status_of_no_renown_has_an_empty_phrase():
    head, _ = parse(joined(Reply(status=529)))
    assert (head.status_code, head.reason) == (529, b"")
