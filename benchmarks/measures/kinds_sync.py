"""The same bursts, read by sync code. CPU of all threads counts."""

from .kinds_burst import cells as cells
from .sync_stream import METRICS as METRICS, run as run

TITLE = "Kinds: one stream as fast as it comes, read by sync code"
IN_QUICK = False
NEEDS = ("connect_sync", "read_sync_kind", "close_sync")
BASE = "text"
