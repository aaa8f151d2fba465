"""What this process does while it measures: its CPU, and how late its event loop is.

An event loop that is busy takes its time before it looks at what has arrived, and that time is in every figure. It is
measured by a timer: how much later than it was due it ran.
"""

import time
from array import array

import anyio

LOOK_SECONDS = 0.05
BUSY_SHARE = 0.8  # of a core, from which on the figures are as much the client's as the server's
LATE_SECONDS = 0.02  # in one look of a hundred


class Watch:
    """Watches this process.

    Attributes:
        lags: seconds by which each look was late.
        cpu_seconds: CPU that the process has used.
        seconds: how long it was watched.
    """

    def __init__(self) -> None:
        self.lags: array[float] = array("d")
        self.cpu_seconds: float = 0.0
        self.seconds: float = 0.0

    async def look(self) -> None:
        """Look again and again, until it is cancelled."""
        cpu, started = time.process_time(), time.monotonic()
        try:
            while True:
                before = time.monotonic()
                await anyio.sleep(LOOK_SECONDS)
                self.lags.append(max(0.0, time.monotonic() - before - LOOK_SECONDS))
        finally:
            self.cpu_seconds, self.seconds = time.process_time() - cpu, time.monotonic() - started

    @property
    def share(self) -> float:
        """The share of one core that was used."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0


def warning(*, share: float, late: float) -> str | None:
    """What to say where the client is the limit, else None.

    Args:
        share: of one core, as used by this process.
        late: the 99th percentile of the event loop's lag, in seconds.
    """
    if share < BUSY_SHARE and late < LATE_SECONDS:
        return None
    lag = f"its event loop was {late * 1000:.0f} ms late, or more, in one look of a hundred"
    if share < BUSY_SHARE:
        return f"other work on this machine delayed the client: {lag}, though it used {share:.0%} of a core. The figures contain that"
    return (
        f"the client is the limit: it used {share:.0%} of a core, and {lag}. The figures contain that: use less load, or several"
        " processes"
    )
