"""OpenTelemetry's SDK, set up for one test: what it exports stays in memory."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Exported:
    """What has been exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        """The only one that there is."""
        (span,) = self.spans
        return span

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    @property
    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """By name, the labels of each series with its sum, and its count where it is a histogram."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        for resource in [] if data is None else data.resource_metrics:
            for metric in [metric for scope in resource.scope_metrics for metric in scope.metrics]:
                points: Any = metric.data.data_points
                found[metric.name] = [
                    (dict(point.attributes), (point.sum, point.count) if hasattr(point, "count") else point.value)
                    for point in points
                ]
        return found


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return json.loads(span.to_json())["attributes"]


def events(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    return [(event["name"], event["attributes"]) for event in json.loads(span.to_json())["events"]]


@pytest.fixture
def nothing_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an application has only imported the API. The API lets providers be set once in a process."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", None)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, nothing_set_up: None) -> Iterator[Exported]:
    exported = Exported()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", exported.tracer_provider)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", exported.meter_provider)
    yield exported
    exported.meter_provider.shutdown()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """One loop: what is told of a call does not depend on it. Tests of what does name them all."""
    return "asyncio", {"use_uvloop": False}
