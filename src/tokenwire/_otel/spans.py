"""A call's span: one for each call, from its beginning to its end, over all attempts.

It is the span `gen_ai.client.inference` (or `.embeddings`). It has events for what tokenwire does: each attempt that failed
or was cancelled, and the last one if there were several (`tokenwire.attempt`), each retry (`tokenwire.retry`), the switch to
another target (`tokenwire.fallback`) and the beginning of a hedge (`tokenwire.hedge`).

The span is the current one while attempts are running, but never while the caller has the stream: so no context is
attached across a yield. Chunks cost nothing. An error's message is not recorded, as a server's may quote the prompt.
"""

import logging
import time
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from opentelemetry import context as contexts, propagate, trace
from opentelemetry.util.types import AttributeValue

from .._settings import OTel
from ..exceptions import APIError
from ..llms.backend import Prepared, Request
from ..llms.bridge import Bridge
from ..types.attempts import Attempt, EndDetails
from . import nesting
from .attributes import OPERATIONS, labels_of, of_answer, of_request
from .content import Capture, as_text, said_by
from .metrics import Labels
from .setup import SCOPE, Telemetry, telemetry

logger: logging.Logger = logging.getLogger("tokenwire")
T = TypeVar("T")

_SUPPRESSED = ("suppress_instrumentation", getattr(contexts, "_SUPPRESS_INSTRUMENTATION_KEY", ""))
_WITH_CHOICES = frozenset({"chat", "text"})
_SECOND = 1_000_000_000  # in nanoseconds
_ENDED = {"complete": None, "cancelled": None, "truncated": "StreamTruncatedError", "error": "_OTHER"}  # without an error


class WatchedCall(Protocol):
    """The part of `CallDetails` that is needed here."""

    @property
    def name(self) -> str:
        """The current target, such as "openai/gpt-4o-mini"."""
        ...

    @property
    def beside(self) -> bool:
        """Whether its attempt is a hedge, concurrent with another one."""
        ...


def span_of(request: Request, prepared: Prepared) -> "CallSpan | None":
    """The span of a call that begins now; None if OpenTelemetry is not set up, or the call disables it."""
    found = telemetry()
    if found is None:
        return None
    parent = contexts.get_current()
    if parent and any(contexts.get_value(key, parent) for key in _SUPPRESSED):
        return None
    return CallSpan(found, request, prepared, parent)


class CallSpan:
    """One call's span and metrics; a `Watcher`. Makes no span if an outer instrumentation has one for the call.

    Attributes:
        context: the current context while attempts are running.
        gated: seconds that the call waited for a gate.
        chunks: the number of a stream's chunks.
        waits: seconds that its requests waited for a connection.
    """

    __slots__ = (
        *("_arrived", "_attempt_spans", "_has_begun", "_inner", "_labels", "_options", "_outer", "_parent", "_request"),
        *("_span", "_started", "_target", "_telemetry", "_told", "_waiting", "chunks", "context", "gated", "waits"),
    )

    def __init__(self, telemetry: Telemetry, request: Request, prepared: Prepared, parent: contexts.Context) -> None:
        options = request.options.otel
        assert options is not False, "a call that disables OpenTelemetry has no span"
        self._telemetry, self._request, self._parent = telemetry, request, parent
        self._options: OTel = options
        self._labels: Labels = labels_of(request, prepared.api_base)
        self._started = time.time_ns()
        self._has_begun = False
        self._outer = nesting.outer_of(request.kind, parent)
        self._inner: object = None
        self._span: trace.Span | None = None
        self._attempt_spans: dict[int, trace.Span] = {}
        self._target = f"{request.provider}/{request.model}"
        self._told: set[int] = set()  # the numbers of the attempts that have an event
        self._waiting = 0.0  # seconds before the next attempt
        self._arrived: float | None = None
        self.context: contexts.Context = parent
        self.gated: float = 0.0
        self.chunks: int = 0
        self.waits: list[float] = []

    @property
    def records_chunks(self) -> bool:
        """Whether `chunks_arrived` must be called for each batch of chunks."""
        return self._options.chunk_metrics and self._telemetry.instruments is not None and self._outer is None

    async def around(self, work: Awaitable[T]) -> T:
        """Await the attempts' work, with the span as the current one. Raises what the work raises."""
        try:
            self._begin()
        except Exception:
            logger.warning("a call's span could not begin", exc_info=True)
        token = contexts.attach(self.context)
        try:
            result = await work
        except GeneratorExit:  # the coroutine is closed, in another context
            raise
        except BaseException:
            contexts.detach(token)
            raise
        contexts.detach(token)
        return result

    def headers(self, number: int) -> dict[str, str]:
        """The trace headers for an attempt, so that the server can continue the trace."""
        carrier: dict[str, str] = {}
        if self._options.propagate:
            span = self._attempt_spans.get(number)
            try:
                propagate.inject(carrier, self.context if span is None else trace.set_span_in_context(span, self.context))
            except Exception:
                logger.warning("the trace's headers could not be made", exc_info=True)
        return {name.lower(): value for name, value in carrier.items() if value.isascii() and value.isprintable()}

    def chunks_arrived(self, count: int) -> None:
        """Record chunks of a stream that arrived together; only for `OTel(chunk_metrics=True)`."""
        now, before = time.monotonic(), self._arrived
        self._arrived = now
        instruments = self._telemetry.instruments
        if instruments is not None:
            for number in range(count):
                if before is not None:
                    instruments.between_chunks.record(now - before if number == 0 else 0.0, self._labels)
                before = now

    def on_attempt(self, call: WatchedCall, number: int) -> None:
        """See `Watcher`."""
        span = self._span
        if span is None or (number == 1 and not self._options.attempt_spans) or not span.is_recording():
            return
        attributes: Labels = {"tokenwire.attempt.number": number, "tokenwire.target": call.name}
        if call.beside:
            span.add_event("tokenwire.hedge", attributes)
        elif call.name != self._target:
            span.add_event("tokenwire.fallback", {**attributes, "tokenwire.target.before": self._target})
            self._target = call.name
        elif number > 1:
            span.add_event("tokenwire.retry", {**attributes, "tokenwire.seconds": self._waiting})
        if self._options.attempt_spans and self._telemetry.tracer is not None:
            self._attempt_spans[number] = self._telemetry.tracer.start_span(
                f"attempt {call.name}", self.context, trace.SpanKind.CLIENT, attributes
            )

    def on_attempt_failed(self, call: WatchedCall, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """See `Watcher`."""
        self._waiting = delay or 0.0
        self._tell(attempt)

    def on_attempt_left(self, call: WatchedCall, attempt: Attempt) -> None:
        """See `Watcher`."""
        self._tell(attempt)

    def on_end(self, call: WatchedCall, end: EndDetails) -> None:
        """See `Watcher`."""
        self._begin()
        provider = self._labels["gen_ai.provider.name"]
        error = _ENDED[end.outcome] if end.error is None else type(end.error).__name__
        found = of_answer(end, provider, self._request.choices if self._request.kind in _WITH_CHOICES else 0)
        if self._outer is not None:
            nesting.fill(self._outer, {**self._labels, **found}, end)
            return
        if self._inner is not None:
            told = nesting.filled(self._inner)
            found = {**told, **found}
            end = nesting.with_usage(end, told)
        self._end_span(end, found, error)
        instruments = self._telemetry.instruments
        if instruments is None or self._request.kind == "models":
            return
        labels = self._labels
        if (model := found.get("gen_ai.response.model")) is not None:
            labels = {**labels, "gen_ai.response.model": model}
        instruments.record(OPERATIONS[self._request.kind], labels, end, error, self._pace(end))

    def _begin(self) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        tracer, request = self._telemetry.tracer, self._request
        if tracer is None or self._outer is not None:
            return
        attributes = {**self._labels, **of_request(request)}
        if self._telemetry.old_names:
            attributes["gen_ai.system"] = attributes["gen_ai.provider.name"]
        name = OPERATIONS[request.kind]
        if (model := self._labels.get("gen_ai.request.model")) is not None:
            name = f"{name} {model}"
        in_process = isinstance(request.backend, Bridge) or bool(request.options.mock)
        kind = trace.SpanKind.INTERNAL if in_process else trace.SpanKind.CLIENT
        self._span = tracer.start_span(name, self._parent, kind, attributes, start_time=self._started)
        self.context, self._inner = nesting.marked(request.kind, trace.set_span_in_context(self._span, self._parent))

    def _end_span(self, end: EndDetails, found: Labels, error: str | None) -> None:
        said = {} if self._telemetry.capture is Capture.NO_CONTENT else self._said(end)
        span = self._span
        if span is not None and span.is_recording():
            if len(end.attempts) > 1:
                for attempt in end.attempts:
                    self._tell(attempt)
            span.set_attributes({**found, **self._own(end)})
            if self._telemetry.capture & Capture.SPAN_ONLY:
                span.set_attributes({name: as_text(value) for name, value in said.items()})
            if error is not None:
                span.set_attribute("error.type", error)
                span.set_status(trace.StatusCode.ERROR)
        if said and self._telemetry.capture & Capture.EVENT_ONLY:
            self._emit({**self._labels, **of_request(self._request), **found, **said}, error)
        for left in self._attempt_spans.values():
            left.end()
        if span is not None:
            span.end(self._started + int(end.seconds * _SECOND))

    def _own(self, end: EndDetails) -> Labels:
        """Our own attributes, which are not in the document."""
        own: Labels = {"tokenwire.outcome": end.outcome}
        if end.target != f"{self._request.provider}/{self._request.model}":
            own["tokenwire.target"] = end.target
        if len(end.attempts) > 1:
            own["tokenwire.attempts"] = len(end.attempts)
        if self.gated > 0:
            own["tokenwire.gate.seconds"] = self.gated
        if self.waits:
            own["tokenwire.connection.seconds"] = sum(self.waits)
        return own

    def _said(self, end: EndDetails) -> dict[str, list[object]]:
        try:
            return said_by(self._request, end)
        except Exception:
            logger.warning("the messages of a call could not be recorded", exc_info=True)
            return {}

    def _emit(self, attributes: dict[str, Any], error: str | None) -> None:
        from opentelemetry import _logs

        if error is not None:
            attributes["error.type"] = error
        record = _logs.LogRecord(
            timestamp=time.time_ns(),
            context=self.context,
            severity_number=_logs.SeverityNumber.DEBUG,
            attributes=attributes,
            event_name="gen_ai.client.inference.operation.details",
        )
        _logs.get_logger(SCOPE).emit(record)

    def _tell(self, attempt: Attempt) -> None:
        """Add the event of an attempt that has ended, or end its span."""
        span = self._span
        if span is None or attempt.number in self._told:
            return
        self._told.add(attempt.number)
        attributes: dict[str, AttributeValue] = {
            "tokenwire.attempt.number": attempt.number,
            "tokenwire.target": attempt.target,
            "tokenwire.seconds": attempt.seconds,
        }
        if attempt.deployment is not None:
            attributes["tokenwire.deployment"] = attempt.deployment
        if attempt.status is not None:
            attributes["http.response.status_code"] = attempt.status
        if attempt.error is not None:
            attributes["error.type"] = attempt.error
        own = self._attempt_spans.pop(attempt.number, None)
        if own is None:
            span.add_event("tokenwire.attempt", attributes)
            return
        own.set_attributes(attributes)
        if attempt.error is not None and attempt.error != "Cancelled":
            own.set_status(trace.StatusCode.ERROR)
        own.end()

    def _pace(self, end: EndDetails) -> float | None:
        """The mean of the seconds between two chunks."""
        if self._options.chunk_metrics or end.first_content is None or self.chunks < 2:
            return None
        return (end.seconds - end.first_content) / (self.chunks - 1)
