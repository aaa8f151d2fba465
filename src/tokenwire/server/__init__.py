"""Handlers and models as an OpenAI-compatible endpoint: `create_app` makes the ASGI app."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app as create_app

_HOMES = {"create_app": ".app"}

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value
