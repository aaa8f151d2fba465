"""OpenTelemetry's span of a request, where the application has set that up."""

import sys
from typing import TYPE_CHECKING

from .visit import Visit

if TYPE_CHECKING:
    from .._otel.server import ServerSpan

_OTEL = ("opentelemetry.trace", "opentelemetry.metrics")  # who sets OpenTelemetry up has imported one of them


def begin(visit: Visit) -> "ServerSpan | None":
    """The span of a request that has come, which is the current one until it ends; None where there is to be none."""
    if _OTEL[0] not in sys.modules and _OTEL[1] not in sys.modules:
        return None
    from .._otel.server import server_span

    scope = visit._scope
    return server_span(visit.method, visit.asked, scope.get("scheme", "http"), visit.headers, scope.get("server"))


def end(span: "ServerSpan", visit: Visit) -> None:
    """The request is answered, or will never be."""
    version = "/v1" if "/v1/" in visit.asked else ""
    route = None if visit.route is None else f"{version}{visit.route.path}"
    span.end(route, visit.status, visit.outcome or "cancelled")
