"""Detects whether the application has set OpenTelemetry up, and holds what calls need of it.

`opentelemetry-api` alone does nothing: an application sets providers, such as those of `opentelemetry-sdk`. Until then the
API has its own placeholders, and calls record nothing.
"""

from typing import Final

from opentelemetry import metrics, trace

from .. import _version
from .._settings import environment
from .content import Capture, capture_of
from .metrics import Instruments

SCOPE: Final = "tokenwire"
_OFF = frozenset({"off", "false", "0"})
_STAND_INS = ("opentelemetry.trace", "opentelemetry.metrics")  # where the API's own providers are defined
_OPT_IN, _DUPLICATE = "OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai/dup"


class Telemetry:
    """Tracer and instruments, of the providers that were set when it was made.

    Attributes:
        tracer: makes spans; None if only metrics are set up.
        instruments: records metrics; None if only spans are.
        capture: where messages may be recorded.
        old_names: whether to record spans and metrics also under their names before v0.1.0.
    """

    def __init__(self, tracer_provider: trace.TracerProvider, meter_provider: metrics.MeterProvider) -> None:
        self.providers: tuple[object, object] = tracer_provider, meter_provider
        self.tracer: trace.Tracer | None = None
        self.instruments: Instruments | None = None
        self.capture: Capture = capture_of(environment("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"))
        wanted = [value.strip() for value in (environment(_OPT_IN) or "").split(",")]
        self.old_names: bool = _DUPLICATE in wanted
        if not _is_stand_in(tracer_provider):
            self.tracer = tracer_provider.get_tracer(SCOPE, _version.__version__)
        if not _is_stand_in(meter_provider):
            meter = meter_provider.get_meter(SCOPE, _version.__version__)
            self.instruments = Instruments(meter, old_names=self.old_names)

    @property
    def is_on(self) -> bool:
        """Whether spans or metrics are set up."""
        return self.tracer is not None or self.instruments is not None


def _is_stand_in(provider: object) -> bool:
    return type(provider).__module__.startswith(_STAND_INS)


_current: Telemetry | None = None
_are_loaded = False


def telemetry() -> Telemetry | None:
    """The current telemetry; None if nothing is set up, or `TOKENWIRE_OTEL` is "off"."""
    global _current
    if not _may_be_set():
        return None
    tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
    found = _current
    if found is None or found.providers[0] is not tracer_provider or found.providers[1] is not meter_provider:
        found = _current = Telemetry(tracer_provider, meter_provider)
    return found if found.is_on and (environment("TOKENWIRE_OTEL") or "").lower() not in _OFF else None


def _may_be_set() -> bool:
    """Whether a provider may be set. The API's own functions read the environment each time, which costs two microseconds."""
    global _are_loaded
    if not _are_loaded:  # called once, as they load the providers named by OTEL_PYTHON_TRACER_PROVIDER and similar variables
        _are_loaded = True
        return True
    set_tracer = getattr(trace, "_TRACER_PROVIDER", trace)
    set_meter = getattr(getattr(metrics, "_internal", metrics), "_METER_PROVIDER", metrics)
    return set_tracer is not None or set_meter is not None
