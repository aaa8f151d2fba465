"""Many streams at once, each at the pace of a model and of each kind of chunks, one event per packet."""

from typing import Any

from ..kinds import KINDS
from .paced import METRICS as METRICS, run as run

TITLE = "Kinds: 100 streams at once, 50 events/s each, one event per packet"
IN_QUICK = False
NEEDS = ("connect", "read_kind", "close")
BASE = "floor"


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {kind: {"streams": 100, "rate": 50, "events": 25 if quick else 50, "kind": kind} for kind in KINDS}
