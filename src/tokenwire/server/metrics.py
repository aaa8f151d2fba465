"""What the server tells about itself: a log line for each request, and figures for Prometheus.

Each request has an `Exchange`, which the app fills in as it goes: plain assignments, so that a chunk costs an addition.
`Recorder.end` makes the log line and the figures of it, once. Neither holds a prompt, a reply, a key or an address.

The figures are prometheus_client's, in a registry of their own: several apps in one process don't mix.
"""

import logging
import time
from urllib.parse import quote

from msgspec import Struct, field

logger = logging.getLogger("tokenwire.server.access")

ENDPOINTS = frozenset(
    {
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/images/generations",
        "/models",
        "/health",
        "/metrics",
        "/openapi.json",
    }
)
FIRST_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CHUNKS_PER_SECOND = (1, 2.5, 5, 10, 20, 30, 50, 75, 100, 150, 200, 500, 1000, 10000)


class Exchange(Struct):
    """One request and its answer. Times are what `time.perf_counter()` gives.

    Attributes:
        method, path: of the request, the path without its query.
        request_id: what the answer's `x-request-id` header says.
        model: the name that the model is served under; "" until it is known to be one of those, for a client can ask for
            anything.
        status: the answer's; 0 while there is none.
        first: when the first chunk of a stream was ready.
        chunks: how many a stream had so far.
        outcome: how it ended: "complete", "truncated", "error" or "cancelled", as a stream's.
        started: when the request came.
    """

    method: str
    path: str
    request_id: str
    model: str = ""
    status: int = 0
    first: float | None = None
    chunks: int = 0
    outcome: str = ""
    started: float = field(default_factory=time.perf_counter)


class Recorder:
    """Notes the exchanges of one app.

    Args:
        metrics: whether figures are kept, which `exposition` gives; that needs prometheus_client.
    """

    def __init__(self, *, metrics: bool = False) -> None:
        self._figures = _Figures() if metrics else None

    def begin(self, exchange: Exchange) -> None:
        """A request has come."""
        if self._figures is not None:
            self._figures.in_flight.inc()

    def end(self, exchange: Exchange) -> None:
        """It is answered, or will never be. To be called once for each that has begun."""
        now = time.perf_counter()
        if self._figures is not None:
            self._figures.in_flight.dec()
            self._figures.note(exchange, now)
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", _line(exchange, now), extra={"exchange": exchange})

    def exposition(self) -> tuple[bytes, str]:
        """The figures so far, as `GET /metrics` answers: the body, and its content type.

        It is Prometheus's text format. Raises RuntimeError where no figures are kept.
        """
        if self._figures is None:
            raise RuntimeError("this Recorder keeps no figures: make it with metrics=True")
        return self._figures.exposition()


def _line(exchange: Exchange, now: float) -> str:
    """Such as `POST /v1/chat/completions 200 complete 0.812s first_token=0.093s chunks=41 model=m request_id=req_1`."""
    parts = [exchange.method, _word(exchange.path), str(exchange.status or "-"), exchange.outcome or "-"]
    parts.append(f"{now - exchange.started:.3f}s")
    if exchange.first is not None:
        parts.append(f"first_token={exchange.first - exchange.started:.3f}s")
        parts.append(f"chunks={exchange.chunks}")
    if exchange.model:
        parts.append(f"model={_word(exchange.model)}")
    parts.append(f"request_id={_word(exchange.request_id)}")
    return " ".join(parts)


def _word(text: str) -> str:
    """The text without spaces, line breaks and control characters: a client could write a line of its own with them."""
    return quote(text, safe="/:@!$&'()*+,;=[]~{}|<>#?")


def endpoint_of(path: str) -> str:
    """The endpoint that a path leads to, one of a few names: what clients ask for must not become a label's value."""
    bare = path.removeprefix("/v1")
    if bare.startswith("/models/"):
        return "/models/{model}"
    return bare if bare in ENDPOINTS else "other"


class _Figures:
    """The metrics, their names beginning with `tokenwire_`."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        registry = self._registry = CollectorRegistry()
        self.in_flight = Gauge("tokenwire_requests_in_flight", "Requests that are being answered.", registry=registry)
        self.requests = Counter(
            "tokenwire_requests",
            "Requests that have been answered, or were given up.",
            ["endpoint", "model", "status", "outcome"],
            registry=registry,
        )
        self.first_token = Histogram(
            "tokenwire_time_to_first_token_seconds",
            "From a request for a stream to the stream's first chunk.",
            ["model"],
            buckets=FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self.chunks = Counter(
            "tokenwire_chunks", "Chunks of streams, counted when their stream ends.", ["model"], registry=registry
        )
        self.pace = Histogram(
            "tokenwire_chunks_per_second",
            "The pace of each stream that had two chunks or more, from its first chunk to its end.",
            ["model"],
            buckets=CHUNKS_PER_SECOND,
            registry=registry,
        )

    def note(self, exchange: Exchange, now: float) -> None:
        model = exchange.model
        self.requests.labels(endpoint_of(exchange.path), model, str(exchange.status or ""), exchange.outcome).inc()
        if exchange.first is None:
            return
        self.first_token.labels(model).observe(exchange.first - exchange.started)
        self.chunks.labels(model).inc(exchange.chunks)
        if exchange.chunks > 1:
            self.pace.labels(model).observe((exchange.chunks - 1) / max(now - exchange.first, 1e-6))

    def exposition(self) -> tuple[bytes, str]:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST
