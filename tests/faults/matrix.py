"""The faults, and what each must come to: data, which `running` puts to the test and `python -m tests.faults` prints.

Every fault happens to two calls: one that streams, and one that asks for the answer as a whole. Where the server's part
differs, `whole_replies` has the second one's. Calls are not tried again unless `call` says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tokenwire import Limits, Timeouts
from tokenwire.testing import Reply, chunk, chunks, completion, error, event

SHORT = 0.4  # seconds until a deadline that is to run out
LONGER = 1.5  # the same, where something is to happen before it

Connection = Literal["reused", "closed", "none"]


@dataclass(frozen=True)
class Ending:
    """What became of a call.

    Attributes:
        outcome: the stream's; for a whole answer "complete" or "error".
        error: the exception's class; "" for none.
        details: what the exception's attributes must be.
        text: the content that was assembled, "" where there was none.
        attempts: the attempts by their errors, "ok" for the one that succeeded; None for one, as the call itself ended.
        requests: how many reached the server; None for as many as attempts.
        connection: of the last attempt. "reused" by the next call; "closed", as the server soon saw;
            "none" if there was none.
    """

    outcome: Literal["complete", "truncated", "error"]
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    text: str = ""
    attempts: tuple[str, ...] | None = None
    requests: int | None = None
    connection: Connection = "closed"

    @property
    def all_attempts(self) -> tuple[str, ...]:
        return self.attempts or (self.error or "ok",)

    def __str__(self) -> str:
        words = [self.error or self.outcome, *(f"{name} {value}" for name, value in self.details.items())]
        if len(self.all_attempts) > 1:
            words.append(f"{len(self.all_attempts)} attempts")
        if self.outcome == "truncated" or (self.outcome == "error" and self.text):
            words.append(f"partial {self.text!r}")
        return ", ".join([*words, self.connection])


def complete(text: str = "Hello", connection: Connection = "reused", **fields: Any) -> Ending:
    return Ending("complete", text=text, connection=connection, **fields)


def truncated(text: str = "", **fields: Any) -> Ending:
    return Ending("truncated", "StreamTruncatedError", text=text, **fields)


def failed(name: str, connection: Connection = "closed", **details: Any) -> Ending:
    """`text`, `attempts` and `requests` are the ending's, all else are the exception's attributes."""
    fields = {key: details.pop(key) for key in ("text", "attempts", "requests") if key in details}
    return Ending("error", name, details, connection=connection, **fields)


@dataclass(frozen=True, eq=False)
class Fault:
    """One fault.

    Attributes:
        name: unique.
        replies: the server's script.
        streamed, whole: what it comes to.
        whole_replies: the script for the call that asks for a whole answer, where it is another one.
        call: keywords of the call.
        server: which of the servers in `running` is called.
        restless: whether the server never waits, so that its time must be real.
        open: why this does not hold yet, for "streamed" or "whole"; empty where it does.
    """

    name: str
    replies: Sequence[Reply]
    streamed: Ending
    whole: Ending
    whole_replies: Sequence[Reply] | None = None
    call: Mapping[str, Any] = field(default_factory=dict[str, Any])
    server: str = "http"
    restless: bool = False
    open: Mapping[str, str] = field(default_factory=dict[str, str])


HELLO = chunks("Hello", size=4)  # the role, "Hell", "o", the finish reason
GOOD = Reply(text="Hello")
NO_CONNECTION = failed("APIConnectionError", "none", requests=0)
BROKEN = failed("APIConnectionError")
AT_ONCE = {"retry-after-ms": "1"}
TWICE = {"num_retries": 1}
DONE = event("[DONE]")
PINGS = [b": hi\n\n"] * 500


def same(ending: Ending) -> tuple[Ending, Ending]:
    return ending, ending


def timeout(**budgets: Any) -> dict[str, Any]:
    return {"timeout": Timeouts(**budgets)}


def at_once(*events: str | bytes) -> list[bytes]:
    """All of them and `[DONE]` in one write, and so in one read."""
    return [b"".join(event(chunk(item)) if isinstance(item, str) else item for item in events) + DONE]


def both(name: str, reply: Reply | Sequence[Reply], ending: Ending, **fields: Any) -> Fault:
    """A fault that means the same to either call."""
    return Fault(name, [reply] if isinstance(reply, Reply) else reply, ending, ending, **fields)


def of_events(name: str, events: Sequence[Any], streamed: Ending, whole: tuple[Any, Ending], **fields: Any) -> Fault:
    """A fault in a stream's events, beside its like in a whole answer: a JSON value, bytes, or a reply."""
    answer, ending = whole
    if not isinstance(answer, Reply):
        answer = Reply(body=answer) if isinstance(answer, bytes) else Reply(json=answer)
    known = {key: fields.pop(key) for key in ("call", "open") if key in fields}
    return Fault(name, [Reply(events=events, **fields)], streamed, ending, whole_replies=[answer], **known)


CONNECTING = [
    both("nobody listens", [], NO_CONNECTION, server="refused"),
    both("a certificate that nobody vouches for", [], NO_CONNECTION, server="untrusted"),
    both("a certificate for another name", [], NO_CONNECTION, server="misnamed"),
    both("TLS asked of a server that has none", [], NO_CONNECTION, server="http as https"),
    both("no TLS asked of a server that wants it", [], NO_CONNECTION, server="https as http"),
    both(
        "a TLS handshake that is never answered",
        [],
        failed("Timeout", "none", budget="connect", requests=0),
        call=timeout(connect=SHORT),
        server="silent as https",
    ),
    both(
        "a connection that nobody accepts",
        [],
        failed("Timeout", "none", budget="first_content", requests=0),
        call=timeout(first_content=SHORT),
        server="silent",
    ),
    both(
        "a request that is never read",
        [],
        failed("Timeout", "none", budget="write", requests=0),
        call={**timeout(write=SHORT), "user": "x" * 16_000_000},
        server="silent",
    ),
    both("TLS that works", GOOD, complete(), server="https"),
    both("over TLS, a FIN instead of the head", Reply(raw=b"", cut="fin"), BROKEN, server="https"),
    Fault(
        "over TLS, a reset in the body",
        [Reply(text="Hello", cut="rst", after_bytes=300)],
        truncated(),
        BROKEN,
        whole_replies=[Reply(text="Hello", cut="rst", after_bytes=30)],
        server="https",
    ),
]

HEADS = [
    both("a FIN instead of the head", Reply(raw=b"", cut="fin"), BROKEN),
    both("a reset instead of the head", Reply(raw=b"", cut="rst"), BROKEN),
    both("a FIN in the head", Reply(raw=b"HTTP/1.1 200 OK\r\nconten", cut="fin"), BROKEN),
    both("a reset in the head", Reply(raw=b"HTTP/1.1 200 OK\r\nconten", cut="rst"), BROKEN),
    both("no HTTP at all", Reply(raw=b"220 mail.example ESMTP ready\r\n", stall=True), BROKEN),
    both("two lengths", Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}"), BROKEN),
    both("no HTTP, and no end of it", Reply(raw=b"x-header: yes\r\n" * 100, forever=True), BROKEN),
    both(
        "a head that is too long",
        Reply(text="Hello", headers={"x-header": "x" * 1_000_000}),
        failed("LimitExceededError", limit="max_header_bytes"),
    ),
    both(
        "a head byte by byte",
        Reply(raw=b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", drip=1),
        failed("ServiceUnavailableError", "reused"),
    ),
    both(
        "early hints in front of the head",
        Reply(raw=b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"),
        failed("ServiceUnavailableError", "reused"),
    ),
    both("an answer in HTTP/1.0", Reply(raw=b"HTTP/1.0 404 No\r\n\r\nno", cut="fin"), failed("NotFoundError", message="no")),
    both("no head", Reply(delay=60), failed("Timeout", budget="first_content"), call=timeout(first_content=SHORT)),
    both("no head, and one number for all waits", Reply(delay=60), failed("Timeout"), call={"timeout": SHORT}),
    both("no head before the total", Reply(delay=60), failed("Timeout", budget="total"), call=timeout(total=SHORT)),
    both(
        "a head and no body",
        Reply(text="Hello", first_delay=60),
        failed("Timeout", budget="first_content"),
        call=timeout(first_content=SHORT),
    ),
    both(
        "a kept connection that the server ends",
        [Reply(raw=b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", cut="fin")],
        failed("NotFoundError"),
    ),
    both(
        "more bytes than the length says",
        Reply(raw=b"HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\n{}{}"),
        failed("NotFoundError"),
    ),
]


def status(code: int, name: str, *, tries: int = 1, **fields: Any) -> Fault:
    reply = Reply(status=code, json=error("no", type="t", code="c", param="p"), headers={**AT_ONCE, "x-request-id": "r1"})
    details = {"status_code": code, "code": "c", "param": "p", "type": "t", "request_id": "r1", "message": "no"}
    return both(f"status {code}", reply, failed(name, "reused", attempts=(name,) * tries, **details), call=TWICE, **fields)


STATUSES = [
    status(400, "BadRequestError"),
    status(401, "AuthenticationError"),
    status(402, "PaymentRequiredError"),
    status(403, "PermissionDeniedError"),
    status(404, "NotFoundError"),
    status(408, "Timeout", tries=2),
    status(409, "ConflictError", tries=2),
    status(413, "BadRequestError"),
    status(422, "UnprocessableEntityError"),
    status(429, "RateLimitError", tries=2),
    status(500, "InternalServerError", tries=2),
    status(502, "BadGatewayError", tries=2),
    status(503, "ServiceUnavailableError", tries=2),
    status(504, "Timeout", tries=2),
    status(529, "InternalServerError", tries=2),
    both("a context that is too long", Reply(status=400, json=error("too long", code="context_length_exceeded")), failed("ContextWindowExceededError", "reused", status_code=400)),
    both("a content filter", Reply(status=400, json=error("no", code="content_filter")), failed("ContentPolicyViolationError", "reused")),
    both("an error page", Reply(status=502, body=b"<html><title>Bad gateway</title></html>"), failed("BadGatewayError", "reused")),
    both("an error without a body", Reply(status=500), failed("InternalServerError", "reused", status_code=500)),
    both("an error cut short", Reply(status=401, json=error("no key"), cut="fin", after_bytes=10), failed("AuthenticationError")),
    both("an error that stalls", Reply(status=401, json=error("no key"), stall=True), failed("AuthenticationError"), call=timeout(first_content=LONGER)),
    both("an error without end", Reply(status=401, body=b"no key, ", forever=True), failed("AuthenticationError")),
    both("an error compressed", Reply(status=429, json=error("slow down"), encoding="gzip"), failed("RateLimitError", "reused", message="slow down")),
    both("an error whose compression is broken", Reply(status=429, body=b"no gzip", headers={"content-encoding": "gzip"}, stall=True), failed("RateLimitError")),
    both("no content", Reply(status=204), failed("APIResponseValidationError", "reused")),
    both("an empty body", Reply(), failed("APIResponseValidationError", "reused")),
]  # fmt: skip


def flaky(name: str, replies: Sequence[Reply], first: str, **fields: Any) -> Fault:
    """Faults that are gone at the last attempt."""
    ending = complete(attempts=(first,) * len(replies) + ("ok",))
    return both(name, [*replies, GOOD], ending, **{"call": {"num_retries": 2}, **fields})


RETRIES = [
    flaky("busy, then good", [Reply(status=503, headers=AT_ONCE)] * 2, "ServiceUnavailableError"),
    flaky("a Retry-After in seconds", [Reply(status=429, headers={"retry-after": "0"})], "RateLimitError"),
    flaky("a Retry-After as a date", [Reply(status=429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})], "RateLimitError"),
    flaky("x-should-retry: true", [Reply(status=400, headers={"x-should-retry": "true", **AT_ONCE})], "BadRequestError"),
    both("x-should-retry: false", Reply(status=503, headers={"x-should-retry": "false"}), failed("ServiceUnavailableError", "reused"), call=TWICE),
    both("a Retry-After beyond the cap", Reply(status=429, headers={"retry-after": "120"}), failed("RateLimitError", "reused", retry_after=120.0), call=TWICE),
    both("a Retry-After beyond the total", Reply(status=429, headers={"retry-after": "30"}), failed("RateLimitError", "reused", retry_after=30.0), call={**TWICE, **timeout(total=5)}),
    flaky("a FIN instead of the head, then good", [Reply(raw=b"", cut="fin")], "APIConnectionError"),
    flaky("a reset in the head, then good", [Reply(raw=b"HTTP/1.1 2", cut="rst")], "APIConnectionError"),
    flaky("no head, then good", [Reply(delay=60)], "Timeout", call={**TWICE, **timeout(first_content=LONGER)}),
    Fault(
        "cut before the first content, then good",
        [Reply(events=HELLO, cut="fin", after=1), GOOD],
        complete(attempts=("StreamTruncatedError", "ok")),
        complete(attempts=("APIConnectionError", "ok")),
        whole_replies=[Reply(json=completion("Hello"), cut="fin", after_bytes=30), GOOD],
        call=TWICE,
    ),
    Fault(
        "overloaded before the first content, then good",
        [Reply(events=[HELLO[0], event(error("overloaded", code=529), "error")], headers=AT_ONCE), GOOD],
        complete(attempts=("InternalServerError", "ok")),
        complete(attempts=("InternalServerError", "ok")),
        whole_replies=[Reply(json=error("overloaded", code=529), headers=AT_ONCE), GOOD],
        call=TWICE,
    ),
    Fault(
        "a rate limit behind the first content",
        [Reply(events=["Hell", event(error("slow down", code="rate_limit_exceeded"), "error")], headers=AT_ONCE, stall=True), GOOD],
        failed("RateLimitError", "closed", text="Hell"),
        complete(attempts=("RateLimitError", "ok")),
        whole_replies=[Reply(json=error("slow down", code="rate_limit_exceeded"), headers=AT_ONCE), GOOD],
        call=TWICE,
    ),
    Fault(
        "a cut behind the first content",
        [Reply(text="Hello", cut="rst", after=2), GOOD],
        truncated("Hell"),
        complete(attempts=("APIConnectionError", "ok")),
        whole_replies=[Reply(json=completion("Hello"), cut="rst", after_bytes=30), GOOD],
        call=TWICE,
    ),
    both("broken JSON is not tried again", [Reply(body=b'{"choices": [}'), GOOD], failed("APIResponseValidationError", "reused"), call=TWICE),
]  # fmt: skip

REDIRECTS = [
    both("redirected to itself, once", [Reply(status=307, headers={"location": "/v1/chat/completions"}), GOOD], complete(requests=2)),
    both("moved for good, on the same server", [Reply(status=308, headers={"location": "/v1/elsewhere"}), GOOD], complete(requests=2)),
    both("redirected in circles", Reply(status=307, headers={"location": "?"}), failed("APIConnectionError", "reused", requests=6)),
    both("redirected to another server", Reply(status=307, headers={"location": "http://127.0.0.2:9/v1"}), failed("APIError", "reused", status_code=307)),
    both("redirected to a GET", Reply(status=303, headers={"location": "/v1/other"}), failed("APIError", "reused", status_code=303)),
    both("redirected to nowhere", Reply(status=308), failed("APIError", "reused", status_code=308)),
]  # fmt: skip

INVALID = failed("APIResponseValidationError", "reused")
BAD_EVENT = failed("APIResponseValidationError", text="Hell")
LIMITED = {"limits": Limits(max_event_bytes=10_000, max_body_bytes=10_000, max_error_body_bytes=1000)}


def cut_in_the_body(cut: Any, framing: Any, whole: Ending) -> Fault:
    streamed_reply = Reply(text="Hello", cut=cut, after=2, framing=framing)
    whole_reply = Reply(text="Hello", cut=cut, after_bytes=40, framing=framing)
    name = f"a {cut.upper()} in the body, its end given by {framing}"
    return Fault(name, [streamed_reply], truncated("Hell"), whole, whole_replies=[whole_reply])


ENDINGS = [
    both("a good answer", GOOD, complete()),
    both("byte by byte", Reply(text="Hello", drip=1), complete()),
    both("a body that ends with the connection", Reply(text="Hello", framing="close"), complete(connection="closed")),
    both("a whole completion, asked for or not", Reply(json=completion("Hello")), complete()),
    Fault("events, asked for or not", [Reply(events=HELLO)], complete(), INVALID),
    of_events("[DONE] and no finish reason", HELLO[:3], complete(), (completion("Hello", finish_reason=None), complete())),
    of_events("a finish reason and no [DONE]", HELLO, complete(), (completion("Hello"), complete()), done=False),
    of_events("a reset behind the finish reason", HELLO, complete(connection="closed"), (Reply(raw=b"", cut="rst"), BROKEN), done=False, cut="rst"),
    of_events("a reset behind [DONE]", HELLO, complete(connection="closed"), (Reply(raw=b"", cut="rst"), BROKEN), cut="rst"),
    of_events("a stall behind [DONE]", HELLO, complete(connection="closed"), (completion("Hello"), complete()), stall=True),
    of_events("a cut behind [DONE] and no finish reason", HELLO[:3], truncated("Hello"), (Reply(raw=b"", cut="fin"), BROKEN), cut="fin"),
    of_events("a reset behind [DONE] and no finish reason", HELLO[:3], truncated("Hello"), (Reply(raw=b"", cut="rst"), BROKEN), cut="rst"),
    of_events("more behind [DONE] and no finish reason", [*HELLO[:3], DONE + event(chunk("more")), event("{broken")], complete(), (b"{}" * 2, INVALID), done=False),
    Fault(
        "a stall behind [DONE] and no finish reason",
        [Reply(events=HELLO[:3], stall=True)],
        truncated("Hello"),
        failed("Timeout", budget="first_content"),
        whole_replies=[Reply(json=completion("Hello"), stall=True, after_bytes=30)],
        call=timeout(first_content=10),
    ),
    of_events("an end without either", HELLO[:3], truncated("Hello", connection="reused"), (b'{"choices": []', INVALID), done=False),
    of_events("an end with nothing in it", [], failed("APIResponseValidationError", "reused"), (b"", INVALID), done=False),
    of_events("only [DONE]", [], complete(""), ({"choices": []}, complete(""))),
    of_events("only comments", [b": hi\n\n"] * 3, truncated(connection="reused"), (b"  ", INVALID), done=False),
    of_events(
        "one of two choices without an end",
        [chunk("Hello", finish_reason="stop"), chunk("Hal", index=1)],
        truncated("Hello", connection="reused"),
        (completion("Hello"), complete()),
        done=False,
    ),
    of_events(
        "one of two choices without an end, and [DONE]",
        [chunk("Hello", finish_reason="stop"), chunk("Hal", index=1)],
        truncated("Hello", connection="reused"),
        (completion("Hello"), complete()),
    ),
    cut_in_the_body("fin", "chunked", BROKEN),
    cut_in_the_body("fin", "length", BROKEN),
    cut_in_the_body("fin", "close", failed("APIResponseValidationError")),
    cut_in_the_body("rst", "chunked", BROKEN),
    cut_in_the_body("rst", "length", BROKEN),
    cut_in_the_body("rst", "close", BROKEN),
    Fault(
        "a FIN in the middle of an event",
        [Reply(text="Hello", cut="fin", after_bytes=500)],
        truncated("Hell"),
        BROKEN,
        whole_replies=[Reply(text="Hello", cut="fin", after_bytes=100)],
    ),
    of_events("more behind [DONE]", [*HELLO, DONE + event(chunk("more")) + event("{broken")], complete(), (b"{}" * 2, INVALID), done=False),
]  # fmt: skip

CONTENTS = [
    of_events("malformed JSON", ["Hell", event('{"choices": [{')], BAD_EVENT, (b'{"choices": [{', INVALID), stall=True),
    of_events("invalid UTF-8", ["Hell", event(b'{"choices": [{"delta": {"content": "\xff"}}]}')], BAD_EVENT, (b'{"choices": [{"message": {"content": "\xff"}}]}', INVALID), stall=True),
    of_events("no choices, but a word", ["Hell", {"choices": "none"}], BAD_EVENT, ({"choices": "none"}, INVALID), stall=True),
    of_events("a list", ["Hell", event("[1, 2]")], BAD_EVENT, ([1, 2], INVALID), stall=True),
    of_events("a number", ["Hell", event("1")], BAD_EVENT, (1, INVALID), stall=True),
    of_events("null", at_once("Hell", event("null"), "o"), complete(), (None, INVALID), done=False),
    of_events("named events", at_once(*[event(item, "chunk") for item in HELLO]), complete(), (completion("Hello"), complete()), done=False),
    of_events("a page of HTML", [b"<!doctype html><title>Sign in</title>"], INVALID, (b"<!doctype html><title>Sign in</title>", INVALID), done=False),
    of_events("plain text", [b"Welcome!\n"], truncated(connection="reused"), (b"Welcome!\n", INVALID), done=False),
    of_events("an error object", ["Hell", error("boo", code="c")], failed("InternalServerError", text="Hell", code="c"), (error("boo", code="c"), failed("InternalServerError", "reused", code="c")), stall=True),
    of_events("an event called error", ["Hell", event(error("boo", type="overloaded_error"), "error")], failed("InternalServerError", text="Hell", status_code=529), (error("boo", type="overloaded_error"), failed("InternalServerError", "reused", status_code=529)), stall=True),
    of_events("an error that is a text", ["Hell", event({"error": "boo"})], failed("InternalServerError", text="Hell", message="boo"), ({"error": "boo"}, failed("InternalServerError", "reused", message="boo")), stall=True),
    of_events("an event called error without JSON", ["Hell", event("boo", "error")], failed("InternalServerError", text="Hell"), (b"boo", INVALID), stall=True),
    of_events("a byte order mark, comments, CRLF, empty data", [b"\xef\xbb\xbf: hi\r\n\r\n", b"data:\n\n", b"retry: 1\n\n", b"id: 1\r\r", *HELLO], complete(), (b"\r\n" + b'{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}', complete())),
    of_events("events that are too long", ["Hell", chunk("x" * 20_000)], failed("LimitExceededError", text="Hell", limit="max_event_bytes"), (Reply(json=completion("x" * 20_000), stall=True), failed("LimitExceededError", limit="max_body_bytes")), call=LIMITED, forever=True),
    Fault(
        "an event that is too long, and then nothing",
        [Reply(events=at_once("Hell", "x" * 20_000), done=False, stall=True)],
        failed("LimitExceededError", text="Hell", limit="max_event_bytes"),
        failed("LimitExceededError", limit="max_body_bytes"),
        call={**LIMITED, "timeout": Timeouts(idle=SHORT)},
    ),
    of_events("an event that is long", ["x" * 1_000_000, "y"], complete("x" * 1_000_000 + "y"), (completion("x" * 1_000_000), complete("x" * 1_000_000))),
    of_events("a line without end", [b"data: " + b"x" * 65_536], failed("LimitExceededError", limit="max_event_bytes"), (Reply(body=b"[" * 65_536, forever=True), failed("LimitExceededError", limit="max_body_bytes")), call=LIMITED, forever=True),
]  # fmt: skip

NO_GZIP = Reply(body=b"data: {}\n\n", headers={"content-encoding": "gzip"}, stall=True)
NO_SIZE = Reply(raw=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n")

CODINGS = [
    *[both(f"{encoding}, undone", Reply(text="Hello", encoding=encoding), complete()) for encoding in ("gzip", "deflate")],
    both("gzip byte by byte", Reply(text="Hello", encoding="gzip", drip=1), complete()),
    Fault(
        "gzip cut short",
        [Reply(text="Hello", encoding="gzip", cut="fin", after=2)],
        truncated("Hell"),
        BROKEN,
        whole_replies=[Reply(json=completion("Hello"), encoding="gzip", cut="fin", after_bytes=40)],
    ),
    both("gzip that is none", NO_GZIP, failed("APIResponseValidationError")),
    both("a coding that nobody knows", Reply(body=b"data: {}\n\n", headers={"content-encoding": "zebra"}, stall=True), failed("APIResponseValidationError")),
    both("a gzip bomb", Reply(body=b"[" * 100_000, encoding="gzip", forever=True), failed("LimitExceededError", limit="max_body_bytes"), call=LIMITED),
    Fault("a size of an HTTP chunk that is no number", [NO_SIZE], truncated(), BROKEN),
]  # fmt: skip


def stalled(name: str, reply: Reply, budget: str, *, text: str = "", restless: bool = False) -> Fault:
    """A stream in which no content comes, beside a whole answer of which only the beginning does."""
    call = {"timeout": Timeouts(**{budget: SHORT})}
    whole = failed("Timeout", budget="first_content")
    answer = Reply(json=completion("Hello"), stall=True, after_bytes=30)
    return Fault(
        name,
        [reply],
        failed("Timeout", budget=budget, text=text),
        whole,
        whole_replies=[answer],
        call=call if budget == "first_content" else {"timeout": Timeouts(first_content=LONGER, idle=SHORT)},
        restless=restless,
    )


def left_open(name: str, reply: Reply, text: str = "Hello", **budgets: float) -> Fault:
    """A stream that has said all and does not end, beside a whole answer of which only the beginning comes."""
    return Fault(
        name,
        [reply],
        complete(text, connection="closed"),
        failed("Timeout", budget="first_content"),
        whole_replies=[Reply(json=completion("Hello"), stall=True, after_bytes=30)],
        call=timeout(first_content=LONGER, **budgets),
    )


STALLS = [
    stalled("a stall before the content", Reply(events=[HELLO[0]], done=False, stall=True), "first_content"),
    stalled("comments for ever before the content", Reply(events=[b": hi\n\n"], forever=True, event_delay=SHORT / 9), "first_content"),
    stalled("comments as fast as they go", Reply(events=[b": hi\n\n"] * 100, forever=True), "first_content", restless=True),
    stalled("roles for ever", Reply(events=[HELLO[0]], forever=True, event_delay=SHORT / 9), "first_content"),
    left_open("a stall behind the finish reason", Reply(events=HELLO, done=False, stall=True), idle=SHORT),
    left_open("comments for ever behind the finish reason", Reply(events=[*HELLO, *PINGS], event_delay=SHORT / 9), ending=SHORT),
    left_open("a finish reason, and no content for ever", Reply(events=[HELLO[0], HELLO[-1]], done=False, stall=True), text="", ending=SHORT),
    Fault(
        "another choice is to come behind the finish reason",
        [Reply(events=HELLO, done=False, stall=True)],
        failed("Timeout", budget="idle", text="Hello"),
        failed("Timeout", budget="first_content"),
        whole_replies=[Reply(json=completion("Hello"), stall=True, after_bytes=30)],
        call={"n": 2, **timeout(first_content=LONGER, idle=LONGER, ending=SHORT)},
    ),
    stalled("a stall behind the content", Reply(text="Hello", stall=True, after=2), "idle", text="Hell"),
    stalled("comments for ever behind the content", Reply(events=["Hell", *PINGS], event_delay=SHORT / 9), "idle", text="Hell"),
    Fault(
        "content for longer than the total",
        [Reply(events=[chunk(reasoning_content="hm")] * 1000, event_delay=SHORT / 4)],
        failed("Timeout", budget="total"),
        failed("Timeout", budget="total"),
        whole_replies=[Reply(json=completion("Hello"), stall=True, after_bytes=30)],
        call=timeout(total=SHORT * 2),
    ),
]  # fmt: skip

GROUPS = {
    "connecting": CONNECTING,
    "the head": HEADS,
    "statuses": STATUSES,
    "attempts": RETRIES,
    "redirects": REDIRECTS,
    "the end": ENDINGS,
    "contents": CONTENTS,
    "codings": CODINGS,
    "waiting": STALLS,
}
FAULTS = [fault for faults in GROUPS.values() for fault in faults]
