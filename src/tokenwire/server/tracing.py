"""OpenTelemetry's span of a request, if the application has set OpenTelemetry up."""

import logging
from typing import TYPE_CHECKING

from .._settings import opentelemetry_is_loaded
from .visit import Visit

if TYPE_CHECKING:
    from .._otel.server import ServerSpan

logger: logging.Logger = logging.getLogger("tokenwire.server")


def begin(visit: Visit) -> "ServerSpan | None":
    """Begin the span of a request, which is the current one until it ends; None if there is to be none."""
    if not opentelemetry_is_loaded():
        return None
    from .._otel.server import server_span

    scope = visit.scope
    try:
        return server_span(visit.method, visit.asked, scope.get("scheme", "http"), visit.headers, scope.get("server"))
    except Exception:
        logger.warning("%s: a request's span could not begin", visit.request_id, exc_info=True)
        return None


def end(span: "ServerSpan", visit: Visit) -> None:
    """End the span of a request, answered or not."""
    version = "/v1" if "/v1/" in visit.asked else ""
    route = None if visit.route is None else f"{version}{visit.route.path}"
    span.end(route, visit.status, visit.outcome or "cancelled")
