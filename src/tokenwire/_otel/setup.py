"""Whether the application has set OpenTelemetry up, and what calls need of it.

`opentelemetry-api` alone does nothing: an application sets providers, as those of `opentelemetry-sdk`. Until then the API
has stand-ins of its own, and a call that finds nothing else has nobody to tell.
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
    """What calls tell, with the providers that were set when it was made.

    Attributes:
        tracer: makes spans; None where only metrics are set up.
        instruments: records metrics; None where only spans are.
        capture: where what was said may be recorded.
        old_names: whether spans and metrics have the names of before v0.1.0 too.
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
        """Whether there is anybody to tell."""
        return self.tracer is not None or self.instruments is not None


def _is_stand_in(provider: object) -> bool:
    return type(provider).__module__.startswith(_STAND_INS)


_current: Telemetry | None = None
_asked = False


def telemetry() -> Telemetry | None:
    """What to tell now; None where nothing is set up, or `TOKENWIRE_OTEL` says "off"."""
    global _current
    if not _may_be_set():
        return None
    tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
    found = _current
    if found is None or found.providers[0] is not tracer_provider or found.providers[1] is not meter_provider:
        found = _current = Telemetry(tracer_provider, meter_provider)
    return found if found.is_on and (environment("TOKENWIRE_OTEL") or "").lower() not in _OFF else None


def _may_be_set() -> bool:
    """Whether a provider may be there. The API's own functions look into the environment each time: two microseconds."""
    global _asked
    if not _asked:  # they load what OTEL_PYTHON_TRACER_PROVIDER and its like name, so they are asked once
        _asked = True
        return True
    set_tracer = getattr(trace, "_TRACER_PROVIDER", trace)
    set_meter = getattr(getattr(metrics, "_internal", metrics), "_METER_PROVIDER", metrics)
    return set_tracer is not None or set_meter is not None
