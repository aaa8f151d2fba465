"""Errors in the format of Messages: `{"type": "error", "error": {"type", "message"}}`."""

from collections.abc import Mapping
from typing import Any, Final

from ...types._source import Fields

# The API's error types, by status. An "overloaded_error" always has 529, so 503 becomes 529.
_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OVERLOADED: Final = 529


def failure_of(status: int, message: object, request_id: str) -> tuple[int, Fields]:
    """The status and the JSON for an error."""
    status = _OVERLOADED if status == 503 else status
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    return status, {
        "type": "error",
        "error": {"type": kind, "message": str(message or "the answer failed")},
        "request_id": request_id,
    }


def is_failure(beside: Mapping[str, Any], error: Mapping[str, Any]) -> bool:
    """Whether an error object, and the fields beside it, already have this API's format."""
    return beside.get("type") == "error" and isinstance(error.get("type"), str)
