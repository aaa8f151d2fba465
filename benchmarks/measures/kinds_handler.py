"""Streams of each kind of chunks that a handler of the user's makes, with no network."""

from typing import Any

from ..kinds import FLAT_KINDS
from . import handler
from .handler import METRICS as METRICS, run as run

TITLE = "Kinds: the chunks of a custom handler, without a network"
IN_QUICK = False
NEEDS = ("read_handler_kind",)
BASE = "text"


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    parameters = handler.cells(quick)[""]
    return {kind: {**parameters, "kind": kind} for kind in FLAT_KINDS}
