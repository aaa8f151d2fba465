"""Spans and metrics of served requests, by OpenTelemetry's HTTP conventions (v1.45).

Disabled if another instrumentation has a span around the app, as each request would be counted twice.
"""

import time
from collections.abc import Mapping
from typing import Final

from opentelemetry import context as contexts, propagate, trace
from opentelemetry.metrics import Histogram, Meter, UpDownCounter, get_meter
from opentelemetry.util.types import AttributeValue

from .setup import SCOPE, Telemetry, telemetry

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_FAILED = frozenset({"truncated", "error"})


def server_span(
    method: str, path: str, scheme: str, headers: Mapping[bytes, bytes], server: tuple[str, int | None] | None
) -> "ServerSpan | None":
    """The span of a request that has arrived; None if OpenTelemetry is not set up, or there is another span for it.

    Args:
        headers: the request's, names in lower case; only the trace's are read.
        server: host and port that the server listens on, if known.
    """
    found = telemetry()
    if found is None or trace.get_current_span().get_span_context().is_valid:
        return None
    return ServerSpan(found, method, path, scheme, headers, server)


class ServerSpan:
    """One request's span and metrics. It is the current span from its creation to `end`, both in the same task."""

    def __init__(
        self,
        found: Telemetry,
        method: str,
        path: str,
        scheme: str,
        headers: Mapping[bytes, bytes],
        server: tuple[str, int | None] | None,
    ) -> None:
        self._started = time.monotonic()
        self._method = method if method in _METHODS else "_OTHER"
        self._labels: dict[str, AttributeValue] = {"http.request.method": self._method, "url.scheme": scheme}
        self._instruments = None if found.instruments is None else _instruments(found)
        if self._instruments is not None:
            self._instruments.active.add(1, self._labels)
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        parent = propagate.extract(carrier)
        self._span: trace.Span = trace.INVALID_SPAN
        if found.tracer is not None:
            attributes = {**self._labels, "url.path": path}
            if (agent := carrier.get("user-agent")) is not None:
                attributes["user_agent.original"] = agent
            if server is not None:
                attributes["server.address"] = server[0]
                if server[1] is not None:
                    attributes["server.port"] = server[1]
            self._span = found.tracer.start_span(self._method, parent, trace.SpanKind.SERVER, attributes)
            parent = trace.set_span_in_context(self._span, parent)
        self._token = contexts.attach(parent)

    def end(self, route: str | None, status: int | None, outcome: str) -> None:
        """End the span, answered or not.

        Args:
            route: the route's path template, without clients' values; None if no route matched.
            status: the response's; None if none was sent.
            outcome: "complete", "truncated", "error" or "cancelled" (the client disconnected).
        """
        found: dict[str, AttributeValue] = {}
        if route is not None:
            found["http.route"] = route
        if status is not None:
            found["http.response.status_code"] = status
        if (status or 0) >= 500:  # clients' mistakes are not errors of the server
            found["error.type"] = str(status)
        elif status == 200 and outcome in _FAILED:  # in the middle of a stream
            found["error.type"] = outcome
        span = self._span
        if span.is_recording():
            span.update_name(self._method if route is None else f"{self._method} {route}")
            span.set_attributes({**found, "tokenwire.outcome": outcome})
            if "error.type" in found:
                span.set_status(trace.StatusCode.ERROR)
        span.end()
        contexts.detach(self._token)
        if self._instruments is not None:
            self._instruments.active.add(-1, self._labels)
            self._instruments.duration.record(time.monotonic() - self._started, {**self._labels, **found})


class _Instruments:
    """A server's two metrics by the HTTP conventions."""

    def __init__(self, meter: Meter) -> None:
        self.duration: Histogram = meter.create_histogram(
            "http.server.request.duration",
            "s",
            "From a request's beginning to the end of its response.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.active: UpDownCounter = meter.create_up_down_counter(
            "http.server.active_requests", "{request}", "Requests that are being answered."
        )


_made: tuple[Telemetry, _Instruments] | None = None


def _instruments(found: Telemetry) -> _Instruments:
    """The instruments of these providers."""
    global _made
    if _made is None or _made[0] is not found:
        _made = found, _Instruments(get_meter(SCOPE))
    return _made[1]
