"""What the server reports about itself: a log line for each request, and metrics for Prometheus.

Both are recorded once, when a request has ended: a chunk costs nothing here. Neither contains a prompt, a reply or a key.

prometheus_client keeps the metrics, in a registry for each app, so that several apps in one process do not mix. It adds up
those of several processes if PROMETHEUS_MULTIPROC_DIR named a folder before it was imported.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._settings import environment
from .visit import Visit

logger: logging.Logger = logging.getLogger("tokenwire.server.access")

# The label `endpoint` is the path of a route, or this for all other paths: clients can ask for any.
OTHER = "other"
FIRST_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CHUNKS_PER_SECOND = (1, 2.5, 5, 10, 20, 30, 50, 75, 100, 150, 200, 500, 1000, 10000)


class Recorder:
    """Records the requests of one app.

    Args:
        metrics: whether to keep metrics, which `exposition` returns; needs prometheus_client.
    """

    def __init__(self, *, metrics: bool = False) -> None:
        self._metrics = _Metrics() if metrics else None

    def begin(self) -> None:
        """Record that a request has begun."""
        if self._metrics is not None:
            self._metrics.in_flight.inc()

    def end(self, visit: Visit) -> None:
        """Record that a request has ended, answered or not. To be called once for each."""
        ended_at = time.monotonic() if visit.ended_at is None else visit.ended_at
        if self._metrics is not None:
            self._metrics.in_flight.dec()
            self._metrics.note(visit, ended_at)
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", _line(visit, ended_at), extra={"visit": visit})

    def exposition(self) -> tuple[bytes, str]:
        """The metrics so far: a body in Prometheus's text format, and its media type.

        Raises:
            RuntimeError: no metrics are kept.
        """
        if self._metrics is None:
            raise RuntimeError("this Recorder keeps no metrics: make it with metrics=True")
        return self._metrics.exposition()


def _line(visit: Visit, ended_at: float) -> str:
    """The line in the log, such as `POST /path 200 complete 0.812s first_token=0.093s chunks=41 model=m request_id=req_1`.

    A dash stands for the status of a request that was never answered.
    """
    words = [_word(visit.method), _word(visit.path), str(visit.status or "-"), visit.outcome or "-"]
    words.append(f"{ended_at - visit.started_at:.3f}s")
    if visit.first_chunk_at is not None:
        words.append(f"first_token={visit.first_chunk_at - visit.started_at:.3f}s chunks={visit.chunks}")
    if visit.model is not None:
        words.append(f"model={_word(visit.model)}")
    words.append(f"request_id={_word(visit.request_id)}")
    if visit.client_id not in (None, visit.request_id):  # an endpoint behind this server gave it another id
        words.append(f"client_request_id={_word(visit.client_id)}")
    return " ".join(words)


def _word(text: str) -> str:
    """The text with spaces, line breaks and control characters escaped: a client could forge lines with them."""
    return quote(text, safe="/:@!$&'()*+,;=[]~{}|<>#?")


class _Metrics:
    """The metrics. Their names begin with `tokenwire_`."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        registry = self._registry = CollectorRegistry()
        self.in_flight = Gauge(
            "tokenwire_requests_in_flight",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.requests = Counter(
            "tokenwire_requests",
            "Requests that were answered or given up.",
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
            "The pace of each stream of two chunks or more, from its first chunk to its end.",
            ["model"],
            buckets=CHUNKS_PER_SECOND,
            registry=registry,
        )

    def note(self, visit: Visit, ended_at: float) -> None:
        model, status, outcome = visit.model or "", str(visit.status or ""), visit.outcome or ""
        endpoint = OTHER if visit.route is None else visit.route.path
        self.requests.labels(endpoint, model, status, outcome).inc()
        first = visit.first_chunk_at
        if first is None:
            return
        self.first_token.labels(model).observe(first - visit.started_at)
        self.chunks.labels(model).inc(visit.chunks)
        if visit.chunks > 1 and ended_at > first:
            self.pace.labels(model).observe((visit.chunks - 1) / (ended_at - first))

    def exposition(self) -> tuple[bytes, str]:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._all_processes() or self._registry), CONTENT_TYPE_LATEST

    def _all_processes(self) -> Any:
        """The metrics of all processes that share a folder; None if no folder is named."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

        registry = CollectorRegistry()
        for process in filter(_has_ended, _processes_with_gauges()):
            mark_process_dead(process)  # its requests in flight have ended with it
        try:
            MultiProcessCollector(registry)
        except ValueError:  # no folder is named
            return None
        return registry


def _processes_with_gauges() -> set[int]:
    """The processes that have written their requests in flight, from the names of prometheus_client's files."""
    folder = environment("PROMETHEUS_MULTIPROC_DIR")
    numbers = (path.stem.rpartition("_")[2] for path in Path(folder).glob("gauge_live*.db")) if folder else ()
    return {int(number) for number in numbers if number.isdigit()}


def _has_ended(process: int) -> bool:
    if os.name != "posix":  # Windows would interrupt the process
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # another user's process has the number now, or the system can't tell
    return False
