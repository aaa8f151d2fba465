"""What every test of handlers gets."""

import pytest

import tokenwire
from tokenwire._calls import routing


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(tokenwire, "custom_provider_map", [])
    monkeypatch.setattr(routing, "_registered", {})
