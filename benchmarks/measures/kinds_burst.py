"""One stream after another, each as fast as it comes, of each kind of chunks."""

from typing import Any

from ..kinds import KINDS
from . import burst
from .burst import METRICS as METRICS, run as run

TITLE = "Kinds: one stream as fast as it comes"
IN_QUICK = False
NEEDS = ("connect", "read_kind", "close")
BASE = "floor"


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    parameters = burst.cells(quick)[""]
    return {kind: {**parameters, "kind": kind} for kind in KINDS}
